import { assert, assertEquals } from "@std/assert";
import { PipelineRunRegistry } from "../../../mod.ts";
import {
  allowAll,
  createRunHandler,
  type WireEvent,
} from "../../../src/http/mod.ts";
import { noop } from "../../known_run.ts";
import { hasNginx, startCache } from "./nginx.ts";

const VIEWERS = 2_000;
const YIELDS = 5;

Deno.test({
  name:
    "GET /runs/:id/stream answers 10,000 long-polls behind a cache with fewer than 200",
  ignore: !await hasNginx(),
  async fn() {
    await using registry = new PipelineRunRegistry();
    const handler = createRunHandler(registry, { authorize: allowAll });
    let requests = 0;
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: noop },
      (request) => {
        requests++;
        return handler(request);
      },
    );
    await using cache = await startCache(server.addr.port);
    const steps = Array.from(
      { length: YIELDS },
      () => Promise.withResolvers<void>(),
    );
    const { runId } = await registry.registerBackground(
      { pipelineName: "count" },
      async function* () {
        for (const [i, { promise }] of steps.entries()) {
          await promise;
          yield i;
        }
      },
    );
    const seen = new Array<number>(YIELDS + 3).fill(0);
    let polls = 0;
    const view = async () => {
      let query = "offset=-1";
      for (let last = 0;;) {
        polls++;
        const response = await fetch(
          `${cache.origin}/runs/${runId}/stream?${query}&live=long-poll`,
        );
        const events: WireEvent[] = response.status === 204
          ? []
          : await response.json();
        for (const { seq } of events) {
          assertEquals(seq, ++last);
          // The next event comes when all have seen this one.
          if (++seen[seq] === VIEWERS) steps[seq - 1]?.resolve();
        }
        const { headers } = response;
        if (headers.get("Stream-Closed") === "true") return;
        const offset = headers.get("Stream-Next-Offset");
        query = `offset=${offset}&cursor=${headers.get("Stream-Cursor")}`;
      }
    };
    await Promise.all(Array.from({ length: VIEWERS }, view));
    assertEquals(seen.slice(1), new Array(YIELDS + 2).fill(VIEWERS));
    const counts = `${polls} long-polls reached it ${requests} times`;
    console.log(counts);
    assert(polls >= 10_000 && requests < 200, counts);
    await server.shutdown();
  },
});
