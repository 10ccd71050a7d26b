/** How a {@linkcode ProxyLink} treats what passes through it. */
export type LinkMode = "open" | "cut" | "half-open" | "slow";

/** How long a slow link holds back what it passes on, in milliseconds. */
const SLOWNESS = 300;

/** A connection of a client, and its own to the server. */
interface Pair {
  readonly client: Deno.TcpConn;
  readonly server: Deno.TcpConn;
  /** Whether bytes disappear on their way, both ways, for good. */
  swallows: boolean;
  /** Whether the server's next bytes are dropped and both connections closed. */
  losesAnswer: boolean;
  /** Whether the server has not closed its own. */
  serverIsOpen: boolean;
}

/**
 * A way to a server that can fail: a port on the loopback interface whose connections
 * are passed on to a server, which can change.
 */
export class ProxyLink implements AsyncDisposable {
  /** The port that clients connect to. */
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #target: () => number;
  readonly #pairs = new Set<Pair>();
  readonly #closedAt: number[] = [];
  readonly #tasks = new Set<Promise<void>>();
  #mode: LinkMode = "open";
  #closed = false;

  /** @param target The port of the server, asked for each connection. */
  constructor(target: () => number) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.#target = target;
    this.#track(this.#accept());
  }

  /** How many of the server's connections stay open of which nobody knows any more. */
  get swallowed(): number {
    let swallowed = 0;
    for (const pair of this.#pairs) {
      if (pair.swallows && pair.serverIsOpen) swallowed++;
    }
    return swallowed;
  }

  /** How many connections the link has closed by itself since a time. */
  closedSince(time: number): number {
    return this.#closedAt.filter((at) => at >= time).length;
  }

  /**
   * Changes how bytes pass from now on. `cut` closes what is open and refuses what is
   * new; `half-open` swallows all bytes, for good, and closes nothing.
   */
  set mode(mode: LinkMode) {
    this.#mode = mode;
    if (mode === "cut") this.drop();
    if (mode === "half-open") {
      for (const pair of this.#pairs) pair.swallows = true;
    }
  }

  /** Closes all connections. */
  drop(): void {
    for (const pair of this.#pairs) if (!pair.swallows) this.#fail(pair);
  }

  /** Lets the server get what was sent, drops its next answers, and closes. */
  loseAnswers(): void {
    for (const pair of this.#pairs) pair.losesAnswer = true;
  }

  /** Opens the way, and closes what swallows. */
  heal(): void {
    this.#mode = "open";
    for (const pair of this.#pairs) if (pair.swallows) this.#fail(pair);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#listener.close();
    for (const pair of this.#pairs) this.#close(pair);
    await Promise.all(this.#tasks);
  }

  #track(task: Promise<void>): void {
    const tracked = task.finally(() => this.#tasks.delete(tracked));
    this.#tasks.add(tracked);
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      if (this.#mode === "cut") client.close();
      else this.#track(this.#connect(client));
    }
  }

  async #connect(client: Deno.TcpConn): Promise<void> {
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect({
        hostname: "127.0.0.1",
        port: this.#target(),
      });
    } catch {
      client.close();
      return;
    }
    client.setNoDelay();
    server.setNoDelay();
    const pair = {
      client,
      server,
      swallows: this.#mode === "half-open",
      losesAnswer: false,
      serverIsOpen: true,
    };
    this.#pairs.add(pair);
    if (this.#mode === "cut" || this.#closed) this.#fail(pair);
    await Promise.all([
      this.#pass(pair, client, server),
      this.#pass(pair, server, client),
    ]);
  }

  /** Passes bytes on until an end closes; of a pair that swallows, none is told. */
  async #pass(
    pair: Pair,
    from: Deno.TcpConn,
    to: Deno.TcpConn,
  ): Promise<void> {
    const buffer = new Uint8Array(65_536);
    try {
      while (true) {
        const length = await from.read(buffer);
        if (length === null) break;
        if (this.#mode === "slow") await this.#holdBack();
        if (pair.swallows) continue;
        if (pair.losesAnswer && from === pair.server) {
          this.#fail(pair);
          break;
        }
        for (let sent = 0; sent < length;) {
          sent += await to.write(buffer.subarray(sent, length));
        }
      }
    } catch {
      // An end was closed, by whomever.
    }
    if (from === pair.server) pair.serverIsOpen = false;
    if (!pair.swallows) this.#close(pair);
  }

  async #holdBack(): Promise<void> {
    await new Promise((go) => setTimeout(go, SLOWNESS));
  }

  /** Closes a connection that neither end wants to close. */
  #fail(pair: Pair): void {
    this.#closedAt.push(Date.now());
    this.#close(pair);
  }

  #close(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return;
    pair.client.close();
    pair.server.close();
  }
}
