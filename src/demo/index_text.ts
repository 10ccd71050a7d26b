import type { PipelineWork } from "../../mod.ts";
import { type IndexProgress, NO_PROGRESS } from "./index_pipeline.ts";
import { TermCounter } from "./term_counter.ts";
import type { TermCounts } from "./term_counts.ts";

/** Into how many parts a text is cut, at most: as many steps has its progress. */
const MAX_PARTS = 100;
const LABEL_LENGTH = 60;

/**
 * The work of one run: counts the terms of a text, part by part, as `indexFiles()`
 * does those of files.
 *
 * @param text The text.
 * @param store Where the counts go.
 * @returns The work, for a registry.
 */
export function indexText(
  text: string,
  store: TermCounts,
): PipelineWork<IndexProgress> {
  return async function* (
    { runId, signal, setPayload },
  ): AsyncGenerator<IndexProgress> {
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
  };
}

/** The text in parts of about the same length, cut between lines. */
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
