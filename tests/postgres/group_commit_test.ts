import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { RepositoryError } from "../../src/model/errors.ts";
import { GroupCommit } from "../../src/postgres/write/group_commit.ts";
import { assertPending } from "../assert_pending.ts";
import { FakeClock } from "../fake_clock.ts";
import { turn } from "./turn.ts";

interface Item {
  readonly key: string;
  readonly index: number;
}

const PATIENCE = 50;

/** Lets everything happen that needs no time; that may be the time of setImmediate too. */
async function settleAt(time: FakeClock): Promise<void> {
  for (let i = 0; i < 3; i++) await time.tickAsync();
}

/** A group commit whose groups a test writes. */
class Trial {
  readonly groups: {
    readonly items: readonly Item[];
    readonly settle: PromiseWithResolvers<ReadonlyMap<Item, Error>>;
  }[] = [];
  /** The items that were written, in order. */
  readonly written: Item[] = [];
  readonly commit = new GroupCommit<Item>({
    writer: {
      write: async (items) => {
        const settle = Promise.withResolvers<ReadonlyMap<Item, Error>>();
        this.groups.push({ items, settle });
        const refused = await settle.promise;
        this.written.push(...items.filter((item) => !refused.has(item)));
        return refused;
      },
    },
    maxItems: 100,
    maxBytes: 1_000,
    maxQueuedBytes: 10_000,
    onTrouble: () => {},
  });
  readonly #added = new Map<string, number>();
  #unsettled = 0;

  add(key: string, timeout = Infinity, patience = 0): Promise<void> {
    const index = this.#added.get(key) ?? 0;
    this.#added.set(key, index + 1);
    this.#unsettled++;
    const options = { key, bytes: 1, timeout, patience };
    const added = this.commit.add({ key, index }, options);
    const onSettled = () => this.#unsettled--;
    added.then(onSettled, onSettled);
    return added;
  }

  /** Adds an item that can wait for later ones of its key. */
  addPatient(key: string): Promise<void> {
    return this.add(key, Infinity, PATIENCE);
  }

  /** The keys of the groups that are being written. */
  get keys(): string[][] {
    return this.groups.map(({ items }) => items.map(({ key }) => key));
  }

  /** Writes the group that has waited longest. */
  writeOne(): void {
    this.groups.shift()?.settle.resolve(new Map());
  }

  async writeAll(): Promise<void> {
    await turn();
    while (this.#unsettled > 0) {
      this.writeOne();
      await turn();
    }
  }
}

/** Writes an item in a group that takes so many milliseconds. */
async function writeIn(
  trial: Trial,
  time: FakeClock,
  duration: number,
): Promise<void> {
  const added = trial.add("a");
  await settleAt(time);
  while (trial.groups.length === 0 && time.next()) await settleAt(time);
  time.tick(duration);
  trial.writeOne();
  await added;
  await settleAt(time);
}

Deno.test("GroupCommit writes the items of one turn as one group, and a large backlog as two halves", async () => {
  const few = new Trial();
  for (let i = 0; i < 31; i++) few.add(`${i}`);
  await turn();
  assertEquals(few.groups.map(({ items }) => items.length), [31]);
  await few.writeAll();

  const many = new Trial();
  for (let i = 0; i < 64; i++) many.add(`${i}`);
  for (let i = 0; i < 64; i++) many.add(`${i}`);
  await turn();
  assertEquals(many.groups.map(({ items }) => items.length), [64, 64]);
  const [first] = many.groups;
  assertEquals(new Set(first.items.map(({ key }) => key)).size, 32);
  await many.writeAll();
  assertEquals(many.written.length, 128);
});

Deno.test("GroupCommit writes two groups at a time, and no key in both", async () => {
  const trial = new Trial();
  const first = trial.add("a");
  await turn();
  trial.add("a");
  trial.add("b");
  await turn();
  assertEquals(trial.groups.map(({ items }) => items), [
    [{ key: "a", index: 0 }],
    [{ key: "b", index: 0 }],
  ]);
  trial.add("c");
  await turn();
  assertEquals(trial.groups.length, 2, "no third one");
  trial.writeOne();
  await first;
  await turn();
  assertEquals(trial.groups[1].items, [
    { key: "a", index: 1 },
    { key: "c", index: 0 },
  ]);
  await trial.writeAll();
});

Deno.test("GroupCommit leaves patient items out, unless a later one of their key is not", async () => {
  const trial = new Trial();
  for (const key of ["a", "b", "c"]) trial.addPatient(key);
  await turn();
  assertEquals(trial.keys, []);
  trial.add("b");
  await turn();
  assertEquals(trial.keys, [["b", "b"]]);
  trial.add("c");
  await turn();
  assertEquals(trial.keys, [["b", "b"], ["c", "c"]]);
  trial.writeOne();
  await turn();
  assertEquals(trial.keys, [["c", "c"]]);
  await trial.writeAll();
});

Deno.test("GroupCommit lets the first half of a large backlog wait for nothing", async () => {
  const trial = new Trial();
  for (let i = 0; i < 31; i++) trial.addPatient(`${i}`);
  await turn();
  assertEquals(trial.keys, []);
  trial.addPatient("31");
  await turn();
  assertEquals(trial.keys.map(({ length }) => length), [16]);
  await trial.writeAll();
});

Deno.test("GroupCommit writes a patient item once its patience is over", async () => {
  using time = new FakeClock();
  const trial = new Trial();
  trial.addPatient("a");
  await time.tickAsync(1);
  trial.addPatient("b");
  await time.tickAsync(PATIENCE - 2);
  assertEquals(trial.keys, []);
  await time.tickAsync(1);
  assertEquals(trial.keys, [["a"]]);
  await time.tickAsync(1);
  assertEquals(trial.keys, [["a"], ["b"]]);
  trial.writeOne();
  trial.writeOne();
  await settleAt(time);
});

Deno.test("GroupCommit writes a patient item beside a group that hangs, but not one of its keys", async () => {
  using time = new FakeClock();
  const trial = new Trial();
  trial.add("a");
  await settleAt(time);
  trial.addPatient("a");
  await settleAt(time);
  assertEquals(time.next(), false, "it waits for the group, not for a timer");
  trial.addPatient("b");
  await time.tickAsync(PATIENCE);
  assertEquals(trial.keys, [["a"], ["b"]]);
  trial.writeOne();
  await settleAt(time);
  assertEquals(trial.keys, [["b"], ["a"]]);
  trial.writeOne();
  trial.writeOne();
  await settleAt(time);
});

Deno.test("GroupCommit.close() waits for patient items", async () => {
  using time = new FakeClock();
  const trial = new Trial();
  const added = trial.addPatient("a");
  const closed = trial.commit.close(1_000);
  await time.tickAsync(PATIENCE);
  trial.writeOne();
  await added;
  await closed;
});

Deno.test("GroupCommit gathers items for some time after groups that took long", async () => {
  using time = new FakeClock();
  const settle = () => settleAt(time);
  const trial = new Trial();
  const writeSlowly = async () => {
    for (let i = 0; i < 4; i++) await writeIn(trial, time, 6);
  };
  await writeIn(trial, time, 1);
  await writeSlowly();
  trial.add("b");
  await settle();
  time.tick(15);
  trial.add("c");
  await settle();
  assertEquals(trial.groups, []);
  time.tick(1);
  await settle();
  assertEquals(trial.groups.map(({ items }) => items.length), [2]);
  trial.writeOne();
  await settle();

  await writeSlowly();
  for (let i = 0; i < 63; i++) trial.add("b");
  await settle();
  assertEquals(trial.groups, []);
  trial.add("b");
  await settle();
  assertEquals(trial.groups.map(({ items }) => items.length), [64]);
  trial.writeOne();
  await settle();

  await writeSlowly();
  trial.add("b").catch(() => {});
  await settle();
  const closed = trial.commit.close(0);
  await settle();
  await closed;
  assertEquals(time.next(), false, "no timer is left");
});

Deno.test("GroupCommit.close() leaves no timer though a group takes long and more is pending", async () => {
  using time = new FakeClock();
  const trial = new Trial();
  for (const duration of [1, 6, 6, 6]) await writeIn(trial, time, duration);
  trial.add("a").catch(() => {});
  await settleAt(time);
  trial.add("a").catch(() => {});
  const closed = trial.commit.close(0);
  await settleAt(time);
  await closed;
  time.tick(6);
  trial.writeOne();
  await settleAt(time);
  assertEquals(time.next(), false);
});

Deno.test("GroupCommit keeps the order of each key, whatever fails", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          adds: fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 8 }),
          outcome: fc.constantFrom("write", "refuse", "fail", "wait"),
        }),
        { maxLength: 30 },
      ),
      async (rounds) => {
        const trial = new Trial();
        const settled: Promise<unknown>[] = [];
        for (const { adds, outcome } of rounds) {
          for (const key of adds) settled.push(trial.add(key).catch(() => {}));
          await turn();
          const group = outcome === "wait" ? undefined : trial.groups.shift();
          if (group === undefined) continue;
          if (outcome === "write") group.settle.resolve(new Map());
          else if (outcome === "refuse") {
            group.settle.resolve(new Map([[group.items[0], new Error("no")]]));
          } else {
            const message = "constraint";
            group.settle.reject(
              new RepositoryError(message, { transient: false }),
            );
          }
        }
        await trial.writeAll();
        await Promise.all(settled);
        for (const key of ["a", "b", "c", "d"]) {
          const indexes = trial.written.filter((item) => item.key === key)
            .map(({ index }) => index);
          assertEquals(indexes, indexes.toSorted((a, b) => a - b));
          assertEquals(new Set(indexes).size, indexes.length);
        }
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("GroupCommit.add() rejects once its item can never be written", async () => {
  const trial = new Trial();
  const added = trial.add("a");
  await turn();
  const error = new RepositoryError("constraint", { transient: false });
  trial.groups[0].settle.reject(error);
  await assertRejects(() => added, RepositoryError, "constraint");
});

Deno.test("GroupCommit.add() rejects at its timeout, and later items of the key are written", async () => {
  const trial = new Trial();
  const slow = trial.add("a");
  await turn();
  const late = trial.add("a", 10);
  const next = trial.add("a");
  await assertRejects(() => late, RepositoryError, "in 10 ms");
  trial.writeOne();
  await slow;
  await turn();
  assertEquals(trial.groups[0].items, [{ key: "a", index: 2 }]);
  trial.writeOne();
  await next;
});

Deno.test("GroupCommit.close() waits until all pending items are written", async () => {
  const trial = new Trial();
  const adds = ["a", "a", "b"].map((key) => trial.add(key));
  const closed = trial.commit.close(5_000);
  await turn();
  await assertPending(closed);
  await trial.writeAll();
  await closed;
  await Promise.all(adds);
  await assertRejects(() => trial.add("a"), RepositoryError);
});

Deno.test("GroupCommit.close() refuses items that are not written by its timeout", async () => {
  const trial = new Trial();
  const first = trial.add("a");
  await turn();
  const second = trial.add("a");
  const refused = Promise.all([
    assertRejects(() => first, RepositoryError),
    assertRejects(() => second, RepositoryError),
  ]);
  await trial.commit.close(1);
  trial.groups[0].settle.reject(new RepositoryError("gone"));
  await refused;
});
