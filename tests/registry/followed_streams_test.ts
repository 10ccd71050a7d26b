import { assertEquals, assertThrows } from "@std/assert";
import { RegistryFullError } from "../../mod.ts";
import { FollowedStreams } from "../../src/registry/followed_streams.ts";
import type { FollowedStream } from "../../src/repository/run_log.ts";
import { assertPending } from "../assert_pending.ts";
import { noop, OTHER_RUN_ID, RUN_ID } from "../known_run.ts";

/** Takes up a stream that ends when it is closed. */
function add(streams: FollowedStreams, runId: string, closed: string[]): void {
  const stream: FollowedStream = streams.add(runId, true, () => {
    closed.push(runId);
    stream.onEnd();
  });
}

Deno.test("FollowedStreams.add() refuses a stream when too many wait for unknown runs", () => {
  const streams = new FollowedStreams(2);
  for (const runId of [RUN_ID, OTHER_RUN_ID]) streams.add(runId, false, noop);
  const error = assertThrows(
    () => streams.add(RUN_ID, false, noop),
    RegistryFullError,
    `Cannot subscribe to run ${RUN_ID}: 2 subscriptions wait for unknown runs already`,
  );
  assertEquals(error.runId, RUN_ID);
  streams.add(RUN_ID, true, noop);
});

for (const name of ["onEvent", "onEnd"] as const) {
  Deno.test(`FollowedStreams.add() counts a stream as waiting until ${name}(), once`, () => {
    const streams = new FollowedStreams(1);
    const first = streams.add(RUN_ID, false, noop);
    assertThrows(() => streams.add(RUN_ID, false, noop), RegistryFullError);
    first[name]();
    first[name]();
    const second = streams.add(RUN_ID, false, noop);
    assertThrows(() => streams.add(RUN_ID, false, noop), RegistryFullError);
    second.onEvent();
    second.onEnd();
    streams.add(RUN_ID, false, noop);
    assertThrows(() => streams.add(RUN_ID, false, noop), RegistryFullError);
  });
}

Deno.test("FollowedStreams.drain() closes the streams of other runs and waits for the rest", async () => {
  const streams = new FollowedStreams(1);
  const closed: string[] = [];
  add(streams, OTHER_RUN_ID, closed);
  const own = streams.add(RUN_ID, true, () => closed.push(RUN_ID));
  const drained = streams.drain((runId) => runId === RUN_ID);
  assertEquals(closed, [OTHER_RUN_ID]);
  await assertPending(drained);
  own.onEnd();
  await drained;
  assertEquals(closed, [OTHER_RUN_ID]);
});

Deno.test("FollowedStreams.drain() waits for the last stream", async () => {
  const streams = new FollowedStreams(1);
  const [first, last] = [RUN_ID, OTHER_RUN_ID]
    .map((runId) => streams.add(runId, true, noop));
  const drained = streams.drain(() => true);
  first.onEnd();
  await assertPending(drained);
  last.onEnd();
  await drained;
});

Deno.test("FollowedStreams.drain() waits for nothing when nothing is left", async () => {
  const streams = new FollowedStreams(1);
  const closed: string[] = [];
  add(streams, OTHER_RUN_ID, closed);
  await streams.drain(() => false);
  assertEquals(closed, [OTHER_RUN_ID]);
});

Deno.test("FollowedStreams.close() closes the streams that have not ended", async () => {
  const streams = new FollowedStreams(1);
  const closed: string[] = [];
  add(streams, RUN_ID, closed);
  streams.add(OTHER_RUN_ID, true, () => closed.push(OTHER_RUN_ID)).onEnd();
  const drained = streams.drain(() => true);
  streams.close();
  await drained;
  assertEquals(closed, [RUN_ID]);
});
