import { basename, relative } from "node:path";
import type { RunContext } from "../../mod.ts";
import { findFiles } from "./find_files.ts";
import { TermCounter } from "./term_counter.ts";
import type { TermCounts } from "./term_counts.ts";
import { errorMessage } from "./terminal.ts";
import { NotTextError, readText } from "./text_file.ts";

/** The progress of a run. */
export interface IndexProgress {
  /** The current file, relative to the path; empty before the first. */
  readonly file: string;
  /** How many files have been found. */
  readonly files: number;
  /** How many of them are done, indexed or skipped. */
  readonly done: number;
  /** How many were skipped because they are not text or cannot be read. */
  readonly skipped: number;
  /** How many terms have been counted. */
  readonly terms: number;
}

/** The progress of a run that has just begun. */
export const NO_PROGRESS: IndexProgress = {
  file: "",
  files: 0,
  done: 0,
  skipped: 0,
  terms: 0,
};

/**
 * The work of one run: it reads the text files of a path in chunks, counts their
 * terms, and stores the counts of each file.
 *
 * It publishes its progress, and sets the payload fields `path`, `files`,
 * `terms` and `skipped`. In a folder it skips files that are not text or cannot
 * be read; it fails if it skips all of them.
 */
export async function* indexFiles(
  path: string,
  store: TermCounts,
  { runId, signal, setPayload }: RunContext<IndexProgress>,
): AsyncGenerator<IndexProgress, void, undefined> {
  await setPayload("path", path);
  const { isDirectory, isFile } = await readable(path, Deno.stat(path));
  if (!isDirectory && !isFile) {
    throw new Error(`${path} is neither a file nor a folder`);
  }

  const files: string[] = [];
  const progress = { ...NO_PROGRESS };
  if (isFile) files.push(path);
  else {
    const found = findFiles(path);
    while (true) {
      signal.throwIfAborted();
      const { done, value } = await readable(path, found.next());
      if (done) break;
      files.push(...value);
      yield { ...progress, files: files.length };
    }
  }
  progress.files = files.length;

  for (const file of files) {
    progress.file = isFile ? basename(path) : relative(path, file);
    const counter = new TermCounter();
    const before = progress.terms;
    try {
      for await (const text of readText(file)) {
        signal.throwIfAborted();
        counter.add(text);
        yield { ...progress, terms: before + counter.total };
      }
      counter.end();
    } catch (error) {
      signal.throwIfAborted();
      if (isFile) throw unreadable(path, error);
      progress.skipped++;
      progress.done++;
      continue;
    }
    await store.add(runId, progress.file, counter.counts, signal);
    progress.terms += counter.total;
    progress.done++;
    yield { ...progress };
  }

  yield { ...progress };
  const { skipped, terms } = progress;
  await Promise.all([
    setPayload("files", files.length - skipped),
    setPayload("terms", terms),
    setPayload("skipped", skipped),
  ]);
  if (skipped === files.length) {
    throw new Error(`no text files in ${path}`);
  }
}

async function readable<T>(path: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): Error {
  return new Error(whyUnreadable(path, cause), { cause });
}

function whyUnreadable(path: string, error: unknown): string {
  if (error instanceof NotTextError) return error.message;
  if (error instanceof Deno.errors.NotFound) return `${path} does not exist`;
  if (error instanceof Deno.errors.PermissionDenied) {
    return `${path} may not be read by this user`;
  }
  if (error instanceof Deno.errors.NotCapable) {
    return `${path} may not be read without --allow-read`;
  }
  return `${path} cannot be read: ${errorMessage(error)}`;
}
