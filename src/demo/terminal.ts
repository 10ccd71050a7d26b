/** What standard output is connected to. */
export interface Terminal {
  /** Whether lines can be redrawn in place. */
  readonly interactive: boolean;
  /** How many characters fit into a line. */
  readonly columns: number;
  /** How many lines fit on the screen. */
  readonly rows: number;
}

/** Describes standard output; it has 80 columns if it is not a terminal. */
export function standardOutput(): Terminal {
  if (!Deno.stdout.isTerminal()) {
    return { interactive: false, columns: 80, rows: 25 };
  }
  const { columns, rows } = Deno.consoleSize();
  return { interactive: true, columns, rows };
}

/** Returns the message of an error, or its name if the message is empty. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/**
 * Replaces control characters, which file names may contain and a terminal would
 * obey, with U+FFFD.
 */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, "\ufffd");
}

/** Cuts a text to at most `width` characters, with an ellipsis at its end. */
export function cut(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  return characters.slice(0, Math.max(width - 1, 0)).join("") + "…";
}

/** Like {@linkcode cut}, but keeps the end of a path, which says more. */
export function cutPath(path: string, width: number): string {
  const characters = Array.from(path);
  if (characters.length <= width) return path;
  return "…" + characters.slice(characters.length - width + 1).join("");
}
