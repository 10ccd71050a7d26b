import { PipelineRunRegistry, type RunContext } from "../../../mod.ts";
import {
  allowAll,
  createRunHandler,
  type WireEvent,
} from "../../../src/http/mod.ts";
import { noop } from "../../known_run.ts";

/** A stream that tests write: a run that publishes what it is sent. */
interface Written {
  readonly runId: string;
  readonly contentType: string;
  readonly run: RunContext;
  readonly end: () => void;
  readonly ended: Promise<unknown>;
  isEmpty: boolean;
}

/**
 * Durable Streams that can be written, for tests of how runs are read: a `PUT` starts a
 * run, a `POST` makes it publish a value, or end. Reading is left to the run handler, of
 * whose responses only the messages change: from wire events to the values alone.
 */
export class WritableStreams implements AsyncDisposable {
  readonly #registry = new PipelineRunRegistry({ channelCapacity: 1_000 });
  readonly #read: (request: Request) => Promise<Response>;
  readonly #streams = new Map<string, Promise<Written>>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.#read = createRunHandler(this.#registry, {
      authorize: allowAll,
      cors: { origins: "*" },
      longPollTimeout: 1_000,
    });
    this.#server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: noop },
      (request) => this.#handle(request),
    );
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry.shutdown();
    await this.#server.shutdown();
  }

  async #handle(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const stream = await this.#streams.get(pathname);
    if (request.method === "PUT") {
      if (stream !== undefined) return new Response(null, { status: 409 });
      const created = this.#create(request);
      this.#streams.set(pathname, created);
      return await this.#write(await created, request, 201);
    }
    // A run id that is not registered.
    const runId = stream?.runId ?? crypto.randomUUID();
    if (request.method === "POST" && stream !== undefined) {
      return await this.#write(stream, request, 204);
    }
    const url = new URL(`/runs/${runId}/stream${search}`, this.origin);
    const offset = url.searchParams.getAll("offset");
    if (stream?.isEmpty && offset.length === 1 && offset[0] === "-1") {
      // Behind the Started event, which a run has before the first value.
      url.searchParams.set("offset", "0000000000000001");
    }
    const { method, headers } = request;
    const response = await this.#read(new Request(url, { method, headers }));
    return stream === undefined ? response : toValues(response, stream);
  }

  async #create(request: Request): Promise<Written> {
    const begun = Promise.withResolvers<RunContext>();
    const ending = Promise.withResolvers<void>();
    const { runId, outcome } = await this.#registry.registerBackground(
      { pipelineName: "write" },
      (run) => {
        begun.resolve(run);
        return ending.promise;
      },
    );
    return {
      runId,
      contentType: request.headers.get("Content-Type") ?? "text/plain",
      run: await begun.promise,
      end: ending.resolve,
      ended: outcome,
      isEmpty: true,
    };
  }

  async #write(
    stream: Written,
    request: Request,
    status: number,
  ): Promise<Response> {
    const text = await request.text();
    const values = text === "" ? [] : toBeSent(text, stream);
    const isEmpty = values?.length === 0 && text !== "";
    if (values === undefined || isEmpty && request.method === "POST") {
      return new Response(null, { status: 400 });
    }
    for (const value of values) {
      stream.run.publish(value);
      stream.isEmpty = false;
    }
    if (request.headers.get("Stream-Closed") === "true") {
      stream.end();
      await stream.ended;
    }
    const url = new URL(`/runs/${stream.runId}/stream`, this.origin);
    const { headers } = await this.#read(new Request(url, { method: "HEAD" }));
    headers.set("Content-Type", stream.contentType);
    headers.set("Location", request.url);
    return new Response(null, { status, headers });
  }
}

/** The values in the body of a request; `undefined` if it is not JSON and should be. */
function toBeSent(
  text: string,
  { contentType }: Written,
): unknown[] | undefined {
  if (!contentType.startsWith("application/json")) return [text];
  try {
    return [JSON.parse(text)].flat();
  } catch {
    return undefined;
  }
}

/** A response with the values of the Yields alone, in the type that they were sent in. */
function toValues(response: Response, stream: Written): Response {
  const { status, headers, body } = response;
  if (headers.get("Content-Type")?.startsWith("text/event-stream")) {
    const events = body!.pipeThrough(new TextDecoderStream())
      .pipeThrough(
        new TransformStream<string, string>({
          transform: (text, controller) =>
            controller.enqueue(
              text.replaceAll(
                /event: data\ndata:(.*)\n\n/g,
                (_, json) => dataOf(valuesOf(json, stream)),
              ),
            ),
        }),
      )
      .pipeThrough(new TextEncoderStream());
    return new Response(events, { status, headers });
  }
  if (headers.get("Content-Type") !== "application/json") return response;
  headers.set("Content-Type", stream.contentType);
  headers.delete("Content-Length");
  if (body === null) return new Response(null, { status, headers });
  const text = body.pipeThrough(new TextDecoderStream());
  const values = new ReadableStream<string>({
    async start(controller) {
      const json = (await Array.fromAsync(text)).join("");
      controller.enqueue(valuesOf(json, stream));
      controller.close();
    },
  });
  return new Response(values.pipeThrough(new TextEncoderStream()), {
    status,
    headers,
  });
}

function valuesOf(json: string, { contentType }: Written): string {
  const values = (JSON.parse(json) as WireEvent[])
    .filter(({ status }) => status === "PipelineRunYield")
    .map(({ payload }) => payload);
  return contentType.startsWith("application/json")
    ? JSON.stringify(values)
    : values.join("");
}

function dataOf(values: string): string {
  if (values === "" || values === "[]") return "";
  const lines = values.split(/\r\n|[\r\n]/)
    .map((line) => `data:${line}\n`);
  return `event: data\n${lines.join("")}\n`;
}
