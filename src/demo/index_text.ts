import type { RunContext } from "../../mod.ts";
import { type IndexProgress, NO_PROGRESS } from "./index_files.ts";
import { TermCounter } from "./term_counter.ts";
import type { TermCounts } from "./term_counts.ts";

/** A text is cut into at most this many parts; each is one step of progress. */
const MAX_PARTS = 100;
const LABEL_LENGTH = 60;

/**
 * The work of one run: it counts the terms of a text part by part, as `indexFiles()`
 * does file by file.
 */
export async function* indexText(
  text: string,
  store: TermCounts,
  { runId, signal, setPayload }: RunContext<IndexProgress>,
): AsyncGenerator<IndexProgress, void, undefined> {
  await setPayload("text", text.trim().slice(0, LABEL_LENGTH));
  const parts = partsOf(text);
  const progress = { ...NO_PROGRESS, files: parts.length };
  for (const part of parts) {
    signal.throwIfAborted();
    progress.file = `part ${progress.done + 1}`;
    const counter = new TermCounter();
    counter.add(part);
    counter.end();
    await store.add(runId, progress.file, counter.counts, signal);
    progress.terms += counter.total;
    progress.done++;
    yield { ...progress };
  }
  await setPayload("terms", progress.terms);
}

/** Cuts the text between lines into parts of similar length. */
function partsOf(text: string): string[] {
  const length = Math.ceil(text.length / MAX_PARTS);
  const parts: string[] = [];
  let part = "";
  for (const line of text.split(/(?<=\n)/)) {
    part += line;
    if (part.length < length) continue;
    parts.push(part);
    part = "";
  }
  return part === "" ? parts : [...parts, part];
}
