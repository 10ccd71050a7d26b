const MIN_LENGTH = 3;
const MAX_LENGTH = 64;
const WORD = /[\p{L}\p{M}\p{N}_]+/gu;
const BEGINS_WITH_LETTER = /^\p{L}/u;

/**
 * Counts the terms of a text that arrives in chunks.
 *
 * A term is a word of 3 to 64 characters that begins with a letter, in lower
 * case.
 */
export class TermCounter {
  /** How often each term occurs. Complete after `end()`. */
  readonly counts: Map<string, number> = new Map();
  /** How many terms have been counted. */
  total: number = 0;
  /** The last word of the previous chunk, which the next one may continue. */
  #open = "";

  /** Counts the terms of the next chunk; words may span chunks. */
  add(chunk: string): void {
    const text = this.#open + chunk;
    this.#open = "";
    for (const { 0: word, index } of text.matchAll(WORD)) {
      // A word that is too long to count stays too long when cut here.
      if (index + word.length < text.length) this.#count(word);
      else this.#open = word.slice(0, MAX_LENGTH + 1);
    }
  }

  /** Ends the text. */
  end(): void {
    this.#count(this.#open);
    this.#open = "";
  }

  #count(word: string): void {
    if (word.length < MIN_LENGTH || word.length > MAX_LENGTH) return;
    if (!BEGINS_WITH_LETTER.test(word)) return;
    const term = word.toLowerCase();
    this.counts.set(term, (this.counts.get(term) ?? 0) + 1);
    this.total++;
  }
}
