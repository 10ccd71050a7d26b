import { STATUS_WORDS } from "./listed_run.ts";
import { STATUS_FILTERS } from "./page_filter.ts";
import { PAGE_SCRIPT } from "./page_script.ts";
import { PAGE_STYLE } from "./page_style.ts";
import type { RunPageSettings } from "./run_page_options.ts";

/** The columns of a run between its two buttons. */
const COLUMNS: readonly string[] = [
  "Status",
  "Pipeline",
  "Run",
  "Dataset",
  "Began",
  "Took",
  "Last event",
];

/** The page. Its script reads its configuration from an attribute of its root. */
export function pageHtml(
  { title, api, heartbeat, pipelines }: RunPageSettings,
): string {
  const config = JSON.stringify({
    api,
    heartbeat,
    pipelines,
    words: STATUS_WORDS,
  });
  const names = Object.keys(pipelines);
  return `<!doctype html>
<html lang="en" data-config="${escape(config)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)}</title>
<link rel="icon" href="data:,">
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>${escape(title)}</h1>
<p id="connection" role="status">Connecting …</p>
<p id="notice" role="status"></p>
</header>
<main>
${names.length === 0 ? "" : startForm(names)}
<form id="filters" role="search" aria-label="Filter runs">
<label>Pipeline
<input name="pipeline" list="pipelines" autocomplete="off" spellcheck="false"></label>
<label>Dataset
<input name="dataset" list="datasets" autocomplete="off" spellcheck="false" placeholder="UUID"></label>
<label>Status
<select name="status">${
    options({ "": "Any", ...STATUS_FILTERS })
  }</select></label>
<button type="reset">Clear filters</button>
<datalist id="pipelines"></datalist>
<datalist id="datasets"></datalist>
</form>
<div class="bar">
<h2 id="runs-heading">Runs</h2>
<p id="count"></p>
</div>
<p id="waiting" role="status"></p>
<table id="runs" role="table" aria-labelledby="runs-heading">
<thead role="rowgroup"><tr role="row">
<th role="columnheader" scope="col"><span class="unseen">Details</span></th>
${
    COLUMNS.map((name) => `<th role="columnheader" scope="col">${name}</th>`)
      .join("\n")
  }
<th role="columnheader" scope="col"><span class="unseen">Abort</span></th>
</tr></thead>
</table>
<p id="none" hidden>No runs to show.</p>
<div id="endings" class="unseen" role="log" aria-label="Endings" aria-live="polite"></div>
</main>
<template id="run"><tbody role="rowgroup">
<tr role="row" class="run">
<td role="cell" class="more"><button type="button" class="toggle" aria-expanded="false"></button></td>
<td role="cell" class="status"><span class="mark" aria-hidden="true"></span><span class="word"></span></td>
<th role="rowheader" scope="row" class="pipeline"></th>
<td role="cell" class="id"><code></code></td>
<td role="cell" class="dataset"><code></code></td>
<td role="cell" class="began"><time></time></td>
<td role="cell" class="took"></td>
<td role="cell" class="last"></td>
<td role="cell" class="act"><button type="button" class="abort" hidden>Abort</button></td>
</tr>
<tr role="row" class="details" hidden><td role="cell" colspan="9">
<dl></dl>
<h3>Events</h3>
<p class="loading" role="status"></p>
<ol class="events" role="list" tabindex="0"></ol>
</td></tr>
</tbody></template>
<script type="module">${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

function startForm(names: readonly string[]): string {
  return `<details id="start">
<summary>Start a run</summary>
<form>
<label>Pipeline
<select name="name">${
    options(Object.fromEntries(names.map((name) => [name, name])))
  }</select></label>
<label>Input, as JSON
<textarea name="input" rows="6" spellcheck="false"></textarea></label>
<button type="submit">Start</button>
</form>
</details>`;
}

function options(words: Readonly<Record<string, string>>): string {
  return Object.entries(words).map(([value, word]) =>
    `<option value="${escape(value)}">${escape(word)}</option>`
  ).join("");
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll('"', "&quot;");
}
