import { assert, assertEquals } from "@std/assert";

/** A message of the page's stream. */
export interface PageMessage {
  readonly name: string;
  // deno-lint-ignore no-explicit-any -- tests look into it
  readonly data: any;
}

/** Reads the stream of the page from a handler, without a server in between. */
export class PageViewer implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  readonly #messages: PageMessage[] = [];
  #text = "";
  /** How many bytes have been read. */
  bytes = 0;

  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader();
  }

  /** Comes to a page that is mounted at the root. */
  static async open(
    page: (request: Request) => Promise<Response>,
    query = "",
  ): Promise<PageViewer> {
    const response = await page(new Request(`http://localhost/events${query}`));
    assertEquals(response.status, 200);
    return new PageViewer(response.body!);
  }

  /** The next message; `undefined` at the end. */
  async next(): Promise<PageMessage | undefined> {
    while (this.#messages.length === 0) {
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.bytes += value.length;
      this.#text += this.#decoder.decode(value, { stream: true });
      const texts = this.#text.split("\n\n");
      this.#text = texts.pop()!;
      for (const text of texts) {
        const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(text)!;
        this.#messages.push({ name, data: JSON.parse(data) });
      }
    }
    return this.#messages.shift();
  }

  /**
   * The data of the next message of this name, for which a condition holds. It fails
   * if it does not come before the second heartbeat.
   */
  // deno-lint-ignore no-explicit-any -- tests look into it
  async find(name: string, isMeant: (data: any) => boolean = () => true) {
    for (let beats = 0; beats < 2;) {
      const message = await this.next();
      assert(message !== undefined, `the stream ended before a ${name}`);
      if (message.name === name && isMeant(message.data)) return message.data;
      if (message.name === "beat") beats++;
    }
    throw new Error(`no such ${name} came`);
  }

  /** The rest of the messages. */
  async rest(): Promise<PageMessage[]> {
    const rest: PageMessage[] = [];
    while (true) {
      const message = await this.next();
      if (message === undefined) return rest;
      rest.push(message);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel();
  }
}
