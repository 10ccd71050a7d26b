/** The page's style. */
export const PAGE_STYLE: string = `
:root {
  color-scheme: light dark;
  --page: light-dark(#fbfbfc, #121417);
  --raised: light-dark(#ffffff, #191c20);
  --sunken: light-dark(#f2f3f5, #0d0f11);
  --line: light-dark(#dfe2e6, #2b3037);
  --edge: light-dark(#868e99, #6b7480);
  --text: light-dark(#1a1d21, #e4e7eb);
  --quiet: light-dark(#5a626d, #9aa3af);
  --accent: light-dark(#1f5fc4, #82b1ff);
  --good: light-dark(#1a6e3c, #6ecb8f);
  --bad: light-dark(#b3201a, #ff938a);
  --warn: light-dark(#7d5700, #e3b341);
}
* { box-sizing: border-box; }
body {
  margin: 0 auto;
  max-width: 90rem;
  padding: 0 clamp(0.75rem, 2vw, 2rem) 4rem;
  background: var(--page);
  color: var(--text);
  font: 0.875rem/1.5 system-ui, sans-serif;
}
html { scroll-padding: 5rem 0; }
header {
  position: sticky;
  z-index: 1;
  top: 0;
  padding: 0.75rem 0;
  background: var(--page);
}
[hidden] { display: none !important; }
.unseen {
  position: absolute;
  width: 1px;
  height: 1px;
  margin: -1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}
header, .bar {
  display: flex;
  flex-wrap: wrap;
  align-items: baseline;
  justify-content: space-between;
  gap: 0.25rem 1rem;
}
h1 { margin: 0; font-size: 1.25rem; font-weight: 650; letter-spacing: -0.01em; }
h2 { margin: 0; font-size: 1rem; font-weight: 650; }
h3 { margin: 0.75rem 0 0.25rem; font-size: 0.875rem; font-weight: 650; }
p { margin: 0; }
code, .events { font-family: ui-monospace, monospace; font-size: 0.8125rem; }
#connection::before {
  content: "";
  display: inline-block;
  width: 0.5rem;
  height: 0.5rem;
  margin-right: 0.5rem;
  border-radius: 50%;
  background: var(--edge);
}
#connection[data-state="live"] { color: var(--quiet); }
#connection[data-state="live"]::before { background: var(--good); }
#connection[data-state="gone"], #connection[data-state="trouble"] {
  padding: 0.25rem 0.75rem;
  border: 1px solid var(--bad);
  border-radius: 0.375rem;
  color: var(--bad);
  font-weight: 600;
}
#connection[data-state="gone"]::before, #connection[data-state="trouble"]::before {
  background: var(--bad);
  border-radius: 0;
}
form {
  display: flex;
  flex-wrap: wrap;
  align-items: end;
  gap: 0.75rem;
  margin: 0.25rem 0 1.25rem;
}
label { display: grid; gap: 0.25rem; color: var(--quiet); font-size: 0.8125rem; }
#filters label { flex: 1 1 9rem; max-width: 24rem; }
input, select, textarea, button, summary { min-height: 2.75rem; font: inherit; }
input, select, textarea {
  width: 100%;
  padding: 0.375rem 0.625rem;
  border: 1px solid var(--edge);
  border-radius: 0.375rem;
  background: var(--raised);
  color: var(--text);
  font-size: 0.875rem;
}
textarea { font-family: ui-monospace, monospace; resize: vertical; }
button {
  min-width: 2.75rem;
  padding: 0.375rem 0.875rem;
  border: 1px solid var(--edge);
  border-radius: 0.375rem;
  background: var(--raised);
  color: var(--text);
  cursor: pointer;
}
button:hover { border-color: currentColor; }
button[type="submit"] {
  border-color: var(--accent);
  background: var(--accent);
  color: var(--page);
  font-weight: 600;
}
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
summary {
  display: inline-flex;
  align-items: center;
  padding-right: 0.75rem;
  color: var(--accent);
  cursor: pointer;
}
summary::before { content: "+"; margin-right: 0.5rem; }
#start[open] summary::before { content: "−"; }
#start form {
  flex-direction: column;
  align-items: stretch;
  max-width: 36rem;
  margin: 0 0 0.5rem;
  padding: 1rem;
  border: 1px solid var(--line);
  border-radius: 0.5rem;
  background: var(--raised);
}
#start button { align-self: start; }
#count, #waiting, #none, .loading { color: var(--quiet); }
#count, td, time { font-variant-numeric: tabular-nums; }
#notice[data-state="bad"] { color: var(--bad); }
#notice { flex-basis: 100%; font-weight: 600; }
#none { padding: 2rem 0; }
table {
  width: 100%;
  margin-top: 0.5rem;
  border-collapse: collapse;
  table-layout: fixed;
}
thead th {
  padding: 0.375rem 0.5rem;
  border-bottom: 1px solid var(--edge);
  color: var(--quiet);
  font-size: 0.75rem;
  font-weight: 500;
  text-align: left;
}
thead th:nth-child(1) { width: 3rem; }
thead th:nth-child(2) { width: 8.5rem; }
thead th:nth-child(3) { width: 14%; }
thead th:nth-child(4), thead th:nth-child(5) { width: 5.5rem; }
thead th:nth-child(6) { width: 8rem; }
thead th:nth-child(7) { width: 6rem; }
thead th:nth-child(9) { width: 5.5rem; }
.run > * {
  padding: 0.125rem 0.5rem;
  overflow: hidden;
  text-align: left;
  text-overflow: ellipsis;
  white-space: nowrap;
}
.run > .more, .run > .act { padding: 0.125rem; overflow: visible; }
.run { height: 3rem; }
tbody { border-bottom: 1px solid var(--line); }
tbody:hover { background: var(--raised); }
.pipeline { font-weight: 600; }
.id, .dataset, .began, .took, .last { color: var(--quiet); }
.status { font-weight: 600; }
.mark { display: inline-block; width: 1.25rem; text-align: left; }
.toggle { border-color: transparent; background: none; }
.toggle::before { content: "▸"; display: inline-block; color: var(--quiet); }
.toggle[aria-expanded="true"]::before { rotate: 90deg; }
.act { text-align: right; }
.abort { position: relative; border-color: transparent; background: none; }
.abort::before {
  content: "";
  position: absolute;
  inset: 0.3125rem 0;
  border: 1px solid var(--line);
  border-radius: 0.375rem;
}
.abort:hover { border-color: transparent; color: var(--bad); }
.abort:hover::before { border-color: currentColor; }
.abort[aria-disabled="true"] { color: var(--quiet); cursor: default; }
.abort[aria-disabled="true"]::before { border: 1px dashed var(--edge); }
[data-state="live"] .status { color: var(--accent); }
[data-state="live"] .mark::before { content: "●"; }
[data-state="live"] .last { color: var(--text); }
[data-state="completed"] .status { color: var(--good); }
[data-state="completed"] .mark::before { content: "✓"; }
[data-state="aborted"] .status, [data-state="shutdown"] .status { color: var(--warn); }
[data-state="aborted"] .mark::before, [data-state="shutdown"] .mark::before { content: "■"; }
[data-state="failed"] .status, [data-state="failed"] .last { color: var(--bad); }
[data-state="failed"] .mark::before { content: "✕"; }
[data-status="running"] .mark::before { animation: pulse 2s ease-in-out infinite; }
@keyframes pulse { 50% { opacity: 0.35; } }
.mark::before { display: inline-block; }
.details > td { padding: 0.25rem 0.5rem 1.25rem 3.5rem; }
dl { margin: 0; }
dl > div { display: grid; grid-template-columns: 9rem 1fr; gap: 0 0.75rem; }
dt { color: var(--quiet); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.events {
  max-height: 18rem;
  margin: 0.25rem 0 0;
  padding: 0.5rem 0.75rem;
  overflow: auto;
  border: 1px solid var(--line);
  border-radius: 0.375rem;
  background: var(--sunken);
  list-style: none;
}
.events:empty { display: none; }
.events li { overflow-wrap: anywhere; color: var(--quiet); }
.events span { display: inline-block; min-width: 3ch; text-align: right; }
.events i { display: block; }
.events i:empty { display: none; }
.events b { color: var(--text); font-weight: 600; }
.events [data-kind="Errored"] b { color: var(--bad); }
@media (max-width: 60rem) {
  table, tbody { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .run {
    display: grid;
    grid-template:
      "more pipeline pipeline status" auto
      "more id began took" auto
      "more dataset dataset act" auto
      "more last last act" 1fr / 2.75rem auto 1fr auto;
    height: auto;
    padding: 0.5rem 0;
  }
  .run > * { padding: 0 0.25rem; }
  .run > .more { grid-area: more; }
  .run > .pipeline { grid-area: pipeline; }
  .run > .status { grid-area: status; }
  .run > .id { grid-area: id; }
  .run > .began { grid-area: began; }
  .run > .took { grid-area: took; text-align: right; }
  .run > .dataset { grid-area: dataset; }
  .dataset:has(code:empty) { display: none; }
  .dataset::before { content: "Dataset "; }
  .run > .last {
    grid-area: last;
    display: -webkit-box;
    -webkit-box-orient: vertical;
    -webkit-line-clamp: 3;
    white-space: normal;
    overflow-wrap: anywhere;
  }
  .run > .act { grid-area: act; align-self: end; }
  .details { display: block; }
  .details > td { display: block; padding: 0 0.25rem 1rem; }
  dl > div { grid-template-columns: 1fr; margin-bottom: 0.25rem; }
}
@media (prefers-reduced-motion: reduce) {
  * { animation: none !important; transition: none !important; }
}
`;
