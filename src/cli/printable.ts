/** What control sequences begin with, or what changes the direction of text. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Escapes control and format characters, which payloads and messages may contain and a
 * terminal would obey. The escapes are those of JSON: text that is JSON stays the same
 * value.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (found) => {
    if (found === "\n") return "\\n";
    if (found === "\t") return "\\t";
    return Array.from(
      { length: found.length },
      (_, at) => `\\u${found.charCodeAt(at).toString(16).padStart(4, "0")}`,
    ).join("");
  });
}
