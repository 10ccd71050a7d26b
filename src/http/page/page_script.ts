/**
 * The source of the page's script: JavaScript with JSDoc, without backticks.
 *
 * It is text, not a function that is turned into text: bundlers rewrite functions for
 * the engine of the server, with helpers that the page has not, and some platforms keep
 * no source of them. A test checks its format, lint and types.
 */
export const PAGE_SOURCE: string = String.raw`
/**
 * @typedef {{
 *   seq: number, kind: string, at: string, text?: string, code?: string,
 *   item?: HTMLElement,
 * }} RunEvent
 * @typedef {{
 *   run: string, pipeline: string, dataset?: string, status: string,
 *   began?: string, ended?: string, error?: string,
 * }} Run
 */

/** How many events of a run are kept. */
const MAX_EVENTS = 200;
/** How many runs are kept, unless more are live. */
const MAX_RUNS = 300;
/** How many endings of one moment are told one by one. */
const MAX_TOLD = 5;
/** How long a value in the details may be. */
const MAX_TEXT = 5_000;
const SECOND = 1_000;

const config = JSON.parse(document.documentElement.dataset.config ?? "");
const base = new URL(location.pathname.replace(/\/*$/, "/"), location.origin);
const api = new URL(config.api.replace(/\/*$/, "/"), base);

/** @param {string} selector @param {ParentNode} [parent] */
function find(selector, parent = document) {
  const found = parent.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(selector);
  return found;
}

/**
 * Sets a text only if it is another one: a live region tells it again otherwise.
 * @param {Element} element @param {string} text
 */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {string} tag @param {string} text */
function make(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} id */
function short(id) {
  return id.slice(0, 8);
}

/** @param {string} iso @param {boolean} [isExact] */
function timeOf(iso, isExact = false) {
  const time = new Date(iso);
  if (isExact) {
    return time.toLocaleString([], {
      dateStyle: "medium",
      timeStyle: "medium",
    });
  }
  return time.toDateString() === new Date().toDateString()
    ? time.toLocaleTimeString()
    : time.toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}

/** @param {number} ms */
function durationOf(ms) {
  if (ms < SECOND) return Math.max(ms, 0) + " ms";
  const s = Math.floor(ms / SECOND);
  if (s < 60) return (ms / SECOND).toFixed(1) + " s";
  if (s < 3_600) return Math.floor(s / 60) + " min " + s % 60 + " s";
  return Math.floor(s / 3_600) + " h " + Math.floor(s % 3_600 / 60) + " min";
}

/** What the server says is wrong. */
class Refusal extends Error {}

/**
 * Sends a request.
 * @param {URL} url @param {RequestInit} [init]
 */
async function ask(url, init) {
  const response = await fetch(url, { cache: "no-store", ...init });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const detail = problem.errors?.[0]?.detail ?? problem.detail;
  throw new Refusal(detail ?? "The server said " + response.status);
}

/**
 * Reads server-sent events until the server ends them.
 * @param {URL} url @param {AbortSignal} signal
 * @param {(name: string, data: any) => void} onEvent
 * @param {() => void} [onBytes]
 */
async function read(url, signal, onEvent, onBytes) {
  const { body } = await ask(url, { signal });
  if (body === null) return; // No event will follow.
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (true) {
    onBytes?.();
    const { done, value } = await reader.read();
    if (done) return;
    const messages = (text + value).split("\n\n");
    text = messages.pop() ?? "";
    for (const message of messages) {
      const [, name] = /^event: (.*)$/m.exec(message) ?? [];
      const [, data] = /^data: (.*)$/m.exec(message) ?? [];
      if (name !== undefined) onEvent(name, JSON.parse(data ?? "null"));
    }
  }
}

/** @type {Map<string, RunView>} */
const views = new Map();
/** @type {Set<RunView>} */
const changed = new Set();
/** @type {string[]} */
let endings = [];

/** A run on the page. */
class RunView {
  /** @param {Run} run */
  constructor(run) {
    this.run = run;
    const template = /** @type {HTMLTemplateElement} */ (find("#run"));
    const copy = /** @type {DocumentFragment} */ (
      template.content.cloneNode(true)
    );
    this.body = find("tbody", copy);
    this.details = find(".details", this.body);
    this.list = find(".events", this.body);
    this.toggle = find(".toggle", this.body);
    this.abort = find(".abort", this.body);
    /** @type {RunEvent[]} */
    this.events = [];
    this.lastSeq = 0;
    /** @type {RunEvent | undefined} */
    this.last = undefined;
    this.isAborting = false;
    this.body.dataset.run = run.run;
    this.details.id = "details-" + run.run;
    const name = run.pipeline + " " + short(run.run);
    this.name = name;
    this.toggle.setAttribute("aria-label", "Details of run " + name);
    this.toggle.setAttribute("aria-controls", this.details.id);
    this.abort.setAttribute("aria-label", "Abort run " + name);
    this.list.setAttribute("aria-label", "Events of run " + name);
    this.toggle.onclick = () => this.open(this.details.hidden === true);
    this.abort.onclick = () => this.requestAbort();
    this.abort.onblur = () => this.change();
    const id = find(".id code", this.body);
    id.textContent = short(run.run);
    id.title = run.run;
    const dataset = find(".dataset code", this.body);
    dataset.textContent = short(run.dataset ?? "");
    dataset.title = run.dataset ?? "";
    find(".pipeline", this.body).textContent = run.pipeline;
    suggest("pipelines", run.pipeline);
    suggest("datasets", run.dataset);
    this.change();
  }

  get isLive() {
    return ["pending", "running"].includes(this.run.status);
  }

  get hasFocus() {
    return this.body.contains(document.activeElement);
  }

  change() {
    changed.add(this);
    drawSoon();
  }

  /** @param {Run} run */
  update(run) {
    const wasLive = this.isLive;
    const { began, ended } = this.run;
    this.run = run;
    if (!this.isLive) {
      run.began ??= began;
      run.ended ??= ended;
      if (wasLive) this.end();
    } else if (!wasLive) {
      // A new attempt, whose events may be numbered from 1 again.
      this.events = [];
      this.lastSeq = 0;
      this.last = undefined;
      this.list.replaceChildren();
    }
    this.change();
  }

  /** @param {RunEvent} event */
  take(event) {
    if (event.seq <= this.lastSeq) return;
    this.lastSeq = event.seq;
    this.add(event);
    if (event.kind === "Yield") this.last = event;
    const isEnd = event.kind === "Completed" || event.kind === "Errored";
    if (isEnd) {
      const wasLive = this.isLive;
      this.run.status = event.code ?? "completed";
      this.run.ended ??= event.at;
      this.run.error = event.text;
      if (wasLive) this.end();
    } else if (this.run.status === "pending") this.run.status = "running";
    this.change();
  }

  /** @param {RunEvent} event */
  add(event) {
    const { events } = this;
    let index = events.length;
    while (index > 0 && (events[index - 1]?.seq ?? 0) > event.seq) index--;
    if (events[index - 1]?.seq === event.seq) return;
    events.splice(index, 0, event);
    if (events.length > MAX_EVENTS) events.shift()?.item?.remove();
  }

  end() {
    const { status, error } = this.run;
    const word = config.words[status].toLowerCase();
    const why = status === "work" && error ? ": " + error.slice(0, 80) : "";
    endings.push("Run " + this.name + " " + word + why + ".");
    setTimeout(tellEndings, 500);
    this.isAborting = false;
    if (!this.details.hidden) this.load();
  }

  async requestAbort() {
    if (this.isAborting || !this.isLive) return;
    this.isAborting = true;
    this.change();
    try {
      const url = new URL("runs/" + this.run.run, api);
      url.searchParams.set("reason", "aborted on the page");
      await ask(url, { method: "DELETE" });
      inform("", true);
    } catch (error) {
      this.isAborting = false;
      this.change();
      inform("Run " + this.name + ": " + messageOf(error), false);
    }
  }

  /** @param {boolean} isOpen */
  open(isOpen) {
    this.details.hidden = !isOpen;
    this.toggle.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.load();
    this.change();
  }

  /** Loads what the stream does not tell: facts, and events that it left out. */
  async load() {
    const loading = find(".loading", this.details);
    if (this.events.length === 0) say(loading, "Loading …");
    try {
      const url = new URL("runs/" + this.run.run, api);
      const run = await (await ask(url)).json();
      this.showFacts(run);
      const after = Math.max(run.last_seq - MAX_EVENTS, 0);
      const known = this.events.filter(({ seq }) => seq > after).length;
      if (after + known < run.last_seq) {
        await this.loadEvents(after, run.last_seq);
      }
      say(loading, this.events.length === 0 ? "No events are kept." : "");
    } catch (error) {
      say(loading, "The run cannot be read: " + messageOf(error));
    }
  }

  /** @param {number} after @param {number} last */
  async loadEvents(after, last) {
    const url = new URL("runs/" + this.run.run + "/events", api);
    url.searchParams.set("after", String(after));
    const enough = new AbortController();
    try {
      await read(url, enough.signal, (kind, wire) => {
        const { seq, at, code, payload, message, missed } = wire;
        const text = kind === "Yield"
          ? textOf(payload, 300)
          : message ?? (missed && missed + " missed");
        const event = { seq, kind, at, code, text };
        if (seq > this.lastSeq) this.take(event);
        else this.add(event);
        this.change();
        if (seq >= last) enough.abort();
      });
    } catch (error) {
      if (!enough.signal.aborted) throw error;
    }
  }

  /** @param {any} run */
  showFacts({ message, name, payload, result, result_error }) {
    const { run, dataset, began, ended } = this.run;
    const facts = [
      ["Run id", run],
      ["Dataset", dataset],
      ["Began", began && timeOf(began, true)],
      ["Ended", ended && timeOf(ended, true)],
      ["Error", message && (name ? name + ": " : "") + message],
      ...Object.entries(payload),
      ["Result", result],
      ["Result not stored", result_error],
    ].filter(([, value]) => value !== undefined && value !== null);
    find("dl", this.details).replaceChildren(...facts.map(([key, value]) => {
      const pair = document.createElement("div");
      pair.append(make("dt", key), make("dd", textOf(value, MAX_TEXT)));
      return pair;
    }));
  }

  draw() {
    const { run, last } = this;
    const { status, began, error } = run;
    this.body.dataset.status = status;
    this.body.dataset.state = this.isLive
      ? "live"
      : ["completed", "aborted", "shutdown"].includes(status)
      ? status
      : "failed";
    const word = this.isLive && this.isAborting
      ? "Aborting …"
      : config.words[status];
    say(find(".word", this.body), word);
    const time = find("time", this.body);
    if (began) {
      time.setAttribute("datetime", began);
      time.title = timeOf(began, true);
      say(time, timeOf(began));
    }
    this.drawDuration();
    const text = error ?? (last && last.text) ?? "";
    const cell = find(".last", this.body);
    say(cell, text);
    cell.title = text;
    // It would lose the focus if it were disabled or hidden now.
    this.abort.setAttribute(
      "aria-disabled",
      String(this.isAborting || !this.isLive),
    );
    this.abort.hidden = !this.isLive && document.activeElement !== this.abort;
    if (!this.details.hidden) this.drawEvents();
  }

  drawDuration() {
    const { began, ended } = this.run;
    const end = ended ? new Date(ended) : this.isLive ? new Date() : undefined;
    const ms = began && end && end.getTime() - new Date(began).getTime();
    say(
      find(".took", this.body),
      typeof ms === "number" ? durationOf(ms) : "",
    );
  }

  drawEvents() {
    const { list, events } = this;
    const below = list.scrollHeight - list.scrollTop - list.clientHeight;
    let next = events[0]?.seq ?? 0;
    events.forEach((event, index) => {
      const item = event.item ??= eventItem(event);
      const missing = event.kind === "Lagged" ? 0 : event.seq - next;
      say(find("i", item), missing > 0 ? "… " + missing + " not shown" : "");
      next = event.seq + 1;
      const other = list.children[index];
      if (other !== item) list.insertBefore(item, other ?? null);
    });
    if (below < 20) list.scrollTop = list.scrollHeight;
  }
}

/** @param {RunEvent} event */
function eventItem({ seq, kind, at, text = "" }) {
  const item = make("li", "");
  item.dataset.seq = String(seq);
  item.dataset.kind = kind;
  const time = make("time", new Date(at).toLocaleTimeString());
  time.setAttribute("datetime", at);
  const parts = [make("span", String(seq)), time, make("b", kind), text];
  item.append(make("i", ""), ...parts.flatMap((part) => [part, " "]));
  return item;
}

/** @param {unknown} value @param {number} length */
function textOf(value, length) {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  return text.length > length ? text.slice(0, length) + "…" : text;
}

/** @param {string} list @param {string | undefined} value */
function suggest(list, value) {
  const { children } = find("#" + list);
  const known = Array.from(children, (option) => option.getAttribute("value"));
  if (!value || known.includes(value) || known.length > 200) return;
  const option = document.createElement("option");
  option.value = value;
  find("#" + list).append(option);
}

function tellEndings() {
  if (endings.length === 0) return;
  const told = endings.slice(0, MAX_TOLD);
  const rest = endings.length - told.length;
  if (rest > 0) told.push("And " + rest + " more runs ended.");
  endings = [];
  const log = find("#endings");
  log.append(...told.map((sentence) => make("p", sentence)));
  while (log.childElementCount > 20) log.firstElementChild?.remove();
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let drawing;

function drawSoon() {
  drawing ??= setTimeout(draw, 100);
}

function draw() {
  drawing = undefined;
  for (const view of changed) view.draw();
  changed.clear();
  const live = [...views.values()].filter(({ isLive }) => isLive).length;
  say(find("#count"), live + " live · " + (views.size - live) + " ended");
  find("#none").hidden = views.size > 0;
  find("#runs").hidden = views.size === 0;
}

/** @param {Run} run */
function show(run) {
  const known = views.get(run.run);
  if (known !== undefined) return known.update(run);
  const view = new RunView(run);
  views.set(run.run, view);
  const began = beganOf(view);
  const next = Array.from(table.tBodies, viewOf)
    .find((other) => other && beganOf(other) < began);
  table.insertBefore(view.body, next?.body ?? null);
  if (views.size <= MAX_RUNS) return;
  const old = Array.from(table.tBodies, viewOf)
    .findLast((view) => view && !view.isLive && !view.hasFocus);
  if (old !== undefined) forget(old);
}

/** @param {HTMLElement} body */
function viewOf(body) {
  return views.get(body.dataset.run ?? "");
}

/** @param {RunView} view */
function beganOf({ run }) {
  return run.began ?? run.ended ?? "";
}

/** @param {RunView} view */
function forget(view) {
  view.body.remove();
  views.delete(view.run.run);
  changed.delete(view);
}

const notice = find("#notice");
const table = /** @type {HTMLTableElement} */ (find("#runs"));
const filters = /** @type {HTMLFormElement} */ (find("#filters"));
const connection = find("#connection");

/** @param {string} text @param {boolean} isGood */
function inform(text, isGood) {
  notice.dataset.state = isGood ? "" : "bad";
  say(notice, text);
}

/** What the stream tells, by the names of its events. */
const told = {
  /** @param {Run[]} runs */
  snapshot(runs) {
    const ids = new Set(runs.map(({ run }) => run));
    for (const view of views.values()) {
      if (!ids.has(view.run.run) && !view.hasFocus) forget(view);
    }
    for (const run of runs.reverse()) show(run);
    for (const view of views.values()) if (!view.details.hidden) view.load();
    draw();
  },
  /** @param {Run} run */
  run: (run) => show(run),
  /** @param {RunEvent & { run: string }} event */
  event: (event) => views.get(event.run)?.take(event),
  /** @param {number} count */
  waiting(count) {
    const text = count > 0
      ? count + " more live runs are not followed. Filter to see others."
      : "";
    say(find("#waiting"), text);
  },
  trouble: () => tell("trouble", "The server cannot read its runs now."),
  fine: () => tell("live", "Live"),
  beat() {},
};

/** @param {string} state @param {string} text */
function tell(state, text) {
  connection.dataset.state = state;
  say(connection, text);
}

let following = new AbortController();
let wake = () => {};

/** Follows the stream for ever. */
async function follow() {
  let wait = SECOND;
  while (true) {
    following = new AbortController();
    const { signal } = following;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let silence;
    try {
      const url = new URL("events" + location.search, base);
      await read(url, signal, (name, data) => {
        told[/** @type {keyof typeof told} */ (name)]?.(data);
        if (name !== "snapshot") return;
        wait = SECOND;
        tell("live", "Live");
      }, () => {
        // A connection can die without a word.
        clearTimeout(silence);
        silence = setTimeout(
          () => following.abort(),
          3 * config.heartbeat + 2 * SECOND,
        );
      });
      throw new Error("The server has closed the stream");
    } catch (error) {
      if (signal.reason === "anew") continue;
      console.warn(error);
      tell(
        "gone",
        error instanceof Refusal
          ? messageOf(error) + ". Trying again …"
          : "The server is gone. Trying again …",
      );
    } finally {
      clearTimeout(silence);
      following.abort();
    }
    await new Promise((resolve) => {
      wake = () => resolve(undefined);
      setTimeout(wake, wait);
    });
    wait = Math.min(2 * wait, 15 * SECOND);
  }
}

function followAnew() {
  following.abort("anew");
  wake();
}

function filter() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(filters)) {
    if (String(value).trim() !== "") query.set(name, String(value).trim());
  }
  const search = query.size > 0 ? "?" + query : "";
  if (search === location.search) return;
  history.replaceState(null, "", location.pathname + search);
  followAnew();
}

for (const [name, value] of new URLSearchParams(location.search)) {
  const field = filters.elements.namedItem(name);
  if (
    field instanceof HTMLInputElement || field instanceof HTMLSelectElement
  ) field.value = value;
}
filters.onchange = filter;
filters.addEventListener("submit", (event) => {
  event.preventDefault();
  filter();
});
filters.onreset = () => setTimeout(filter);
addEventListener("online", () => wake());
setInterval(() => {
  for (const view of views.values()) if (view.isLive) view.drawDuration();
}, SECOND);

const start = document.querySelector("#start form");
if (start instanceof HTMLFormElement) {
  const name = /** @type {HTMLSelectElement} */ (start.elements[0]);
  const input = /** @type {HTMLTextAreaElement} */ (start.elements[1]);
  name.onchange = () => {
    input.value = JSON.stringify(config.pipelines[name.value], null, 2);
  };
  name.dispatchEvent(new Event("change"));
  start.onsubmit = async (event) => {
    event.preventDefault();
    try {
      const path = "pipelines/" + encodeURIComponent(name.value);
      const response = await ask(new URL(path, api), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(JSON.parse(input.value)),
      });
      const run = await response.json();
      const id = short(run.pipeline_run_id);
      inform("Run " + name.value + " " + id + " has begun.", true);
    } catch (error) {
      inform("The run was not started: " + messageOf(error), false);
    }
  };
}

follow();
`;

/** The page's script, as the browser gets it: without comments and indentation. */
export const PAGE_SCRIPT: string = PAGE_SOURCE
  .replaceAll(/^ *((\/\*\*|\* |\*\/|\/\/).*\n)?/gm, "");
