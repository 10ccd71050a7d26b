/** What the demo writes to. */
export interface Terminal {
  /** Whether lines can be redrawn in place. */
  readonly interactive: boolean;
  /** How many characters fit into a line. */
  readonly columns: number;
  /** How many lines fit. */
  readonly rows: number;
}

/**
 * Finds out what standard output is.
 *
 * @returns What it is; 80 columns where it is no terminal.
 */
export function standardOutput(): Terminal {
  if (!Deno.stdout.isTerminal()) {
    return { interactive: false, columns: 80, rows: 25 };
  }
  const { columns, rows } = Deno.consoleSize();
  return { interactive: true, columns, rows };
}

/**
 * A text of one line: names of files may hold control characters, which a
 * terminal would obey.
 *
 * @param text Any text.
 * @returns The text with U+FFFD for each control character.
 */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, "\ufffd");
}

/**
 * Cuts a text to a width.
 *
 * @param text A printable text.
 * @param width How many characters to keep.
 * @returns The text, or as much of its beginning as fits with an ellipsis.
 */
export function cut(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  return characters.slice(0, Math.max(width - 1, 0)).join("") + "…";
}

/**
 * Cuts a path to a width, from its beginning, since its end tells more.
 *
 * @param path A printable path.
 * @param width How many characters to keep.
 * @returns The path, or as much of its end as fits with an ellipsis.
 */
export function cutPath(path: string, width: number): string {
  const characters = Array.from(path);
  if (characters.length <= width) return path;
  return "…" + characters.slice(characters.length - width + 1).join("");
}
