import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { makePlan, SLOTS } from "./plan.ts";

const MINUTES = 5 * 60_000;

Deno.test("makePlan() makes the same plan of the same seed, and another of another", () => {
  assertEquals(makePlan(7, MINUTES), makePlan(7, MINUTES));
  assertNotEquals(makePlan(7, MINUTES), makePlan(8, MINUTES));
});

Deno.test("makePlan() plans every kind of step and fault in five minutes", () => {
  const { steps, server, links, processes } = makePlan(7, MINUTES);
  assertEquals(
    new Set(steps.map((step) => step.do)),
    new Set(["register", "follow", "resume", "abort"]),
  );
  assertEquals(
    new Set([...server, ...links, ...processes].map(({ fault }) => fault)),
    new Set([
      ...["crash", "restart", "freeze", "lock", "failover"],
      ...["drop", "cut", "delay", "half-open", "lose answers"],
      ...["kill", "stop"],
    ]),
  );
  assertEquals(new Set(steps.map(({ slot }) => slot)).size, SLOTS);
});

Deno.test("makePlan() orders steps by time, each within the duration or soon after", () => {
  const { steps } = makePlan(7, MINUTES);
  const times = steps.map(({ at }) => at);
  assertEquals(times, times.toSorted((a, b) => a - b));
  assert(times[0] >= 0);
  const registered = steps.filter((step) => step.do === "register");
  assert(registered.at(-1)!.at < MINUTES - 1_000);
});
