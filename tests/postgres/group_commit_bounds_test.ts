import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { RepositoryError } from "../../src/model/errors.ts";
import {
  GroupCommit,
  type GroupCommitItem,
  type GroupCommitOptions,
} from "../../src/postgres/write/group_commit.ts";
import { assertPending, runMicrotasks } from "../assert_pending.ts";
import { fixRandom } from "../fix_random.ts";
import { passTime } from "../pass_time.ts";
import { turn } from "./turn.ts";

/** A group commit of texts, each its own key, whose groups a test writes. */
class Trial {
  readonly groups: {
    readonly items: readonly string[];
    readonly settle: PromiseWithResolvers<ReadonlyMap<string, Error>>;
  }[] = [];
  readonly troubles: unknown[] = [];
  readonly commit: GroupCommit<string>;

  constructor(options: Partial<GroupCommitOptions<string>> = {}) {
    this.commit = new GroupCommit<string>({
      writer: {
        write: (items) => {
          const settle = Promise.withResolvers<ReadonlyMap<string, Error>>();
          this.groups.push({ items, settle });
          return settle.promise;
        },
      },
      maxItems: 100,
      maxBytes: 1_000,
      maxQueuedBytes: 1_000,
      onTrouble: (error) => this.troubles.push(error),
      ...options,
    });
  }

  add(item: string, options: Partial<GroupCommitItem> = {}): Promise<void> {
    const { key = item, bytes = 1, timeout = Infinity, ...rest } = options;
    return this.commit.add(item, { key, bytes, timeout, ...rest });
  }

  /** Takes the group that has waited longest. */
  get next() {
    const { items, settle } = this.groups.shift()!;
    return {
      items,
      write: () => settle.resolve(new Map()),
      fail: () => settle.reject(new RepositoryError("down")),
    };
  }

  /** The items of the groups that are being written. */
  get items(): string[] {
    return this.groups.map(({ items }) => items.join(" "));
  }

  async writeAll(): Promise<void> {
    await turn();
    while (this.groups.length > 0) {
      this.next.write();
      await turn();
    }
  }
}

const IN_TIME: Partial<GroupCommitItem> = { timeout: 60_000 };

Deno.test("GroupCommit.add() refuses only droppable items when too much is pending", async () => {
  const trial = new Trial({ maxQueuedBytes: 10 });
  const adds = [trial.add("a", { bytes: 6 })];
  const message = "Too much waits to be written: 6 bytes";
  for (const droppable of [{ timeout: 50 }, { timeout: 50, droppable: true }]) {
    await assertRejects(
      () => trial.add("b", { bytes: 5, ...droppable }),
      RepositoryError,
      message,
    );
  }
  adds.push(trial.add("c", { bytes: 4, droppable: true }));
  adds.push(trial.add("d", { bytes: 5 }));
  adds.push(trial.add("e", { bytes: 5, ...IN_TIME, droppable: false }));
  await turn();
  assertEquals(trial.items, ["a c d e"]);
  await trial.writeAll();
  await Promise.all(adds);
});

Deno.test("GroupCommit.add() counts out what is written, once", async () => {
  const trial = new Trial({ maxQueuedBytes: 10 });
  const late = trial.add("a", { bytes: 6, timeout: 10, droppable: false });
  await turn();
  await assertRejects(() => late, RepositoryError, "in 10 ms");
  trial.next.write();
  await turn();
  await assertRejects(
    () => trial.add("b", { bytes: 11, timeout: 50 }),
    RepositoryError,
    "Too much waits to be written: 0 bytes",
  );
  const fits = trial.add("c", { bytes: 10, droppable: true });
  await trial.writeAll();
  await fits;
});

Deno.test("GroupCommit.add() rejects with the error of the writer though it has a timeout", async () => {
  const trial = new Trial();
  const added = trial.add("a", IN_TIME);
  await turn();
  const no = new Error("no");
  trial.groups[0].settle.resolve(new Map([["a", no]]));
  assertStrictEquals(await assertRejects(() => added), no);
});

Deno.test("GroupCommit.add() refuses at once after close()", async () => {
  const trial = new Trial();
  await trial.commit.close(1_000);
  let refused: unknown;
  trial.add("a").catch((error) => refused = error);
  await runMicrotasks();
  assertEquals(
    (refused as Error | undefined)?.message,
    "The repository was closed",
  );
});

Deno.test("GroupCommit.close() waits for a group that is being written", async () => {
  const trial = new Trial();
  const added = trial.add("a");
  await turn();
  const closed = trial.commit.close(5_000);
  await turn();
  await assertPending(closed);
  trial.next.write();
  await Promise.all([closed, added]);
});

Deno.test("GroupCommit splits a backlog of 32 keys", async () => {
  const trial = new Trial();
  for (let i = 0; i < 32; i++) trial.add(`${i}`);
  await turn();
  assertEquals(trial.groups.map(({ items }) => items.length), [16, 16]);
  await trial.writeAll();
});

Deno.test("GroupCommit writes at most so many items at a time, in order", async () => {
  const trial = new Trial({ maxItems: 3 });
  for (const item of ["a1", "a2", "a3", "a4", "a5"]) {
    trial.add(item, { key: "a" });
  }
  trial.add("b");
  await turn();
  assertEquals(trial.items, ["a1 a2 a3", "b"]);
  trial.next.write();
  await turn();
  assertEquals(trial.items, ["b", "a4 a5"]);
  await trial.writeAll();
});

Deno.test("GroupCommit writes at most so many bytes at a time, but for one large item", async () => {
  const trial = new Trial({ maxBytes: 10 });
  trial.add("a", { bytes: 5 });
  trial.add("b", { bytes: 5 });
  trial.add("c", { bytes: 1 });
  trial.add("d", { bytes: 50 });
  trial.add("e", { bytes: 1 });
  await turn();
  assertEquals(trial.items, ["a b", "c"]);
  trial.next.write();
  await turn();
  assertEquals(trial.items, ["c", "d"]);
  trial.next.write();
  await turn();
  assertEquals(trial.items, ["d", "e"]);
  await trial.writeAll();
});

Deno.test("GroupCommit counts the bytes of an item in one group only", async () => {
  const trial = new Trial({ maxBytes: 8 });
  for (const item of ["a1", "a2", "a3", "a4"]) {
    trial.add(item, { key: "a", bytes: 4 });
  }
  await turn();
  assertEquals(trial.items, ["a1 a2"]);
  trial.next.write();
  await turn();
  assertEquals(trial.items, ["a3 a4"]);
  await trial.writeAll();
});

Deno.test("GroupCommit leaves room in a group for what is not settled", async () => {
  const trial = new Trial({ maxItems: 2 });
  const [first, second] = [trial.add("a"), trial.add("b")];
  await turn();
  trial.add("c", { key: "a" });
  await turn();
  const late = trial.add("d", { key: "b", timeout: 10 });
  const rest = [trial.add("e", { key: "b" }), trial.add("f", { key: "b" })];
  await assertRejects(() => late, RepositoryError, "in 10 ms");
  trial.next.write();
  await Promise.all([first, second]);
  await turn();
  assertEquals(trial.items, ["c e"]);
  await trial.writeAll();
  await Promise.all(rest);
});

Deno.test("GroupCommit retries a group, at most 1 s later, until it is written", async () => {
  using time = new FakeTime();
  using _ = fixRandom(0);
  const trial = new Trial();
  const sentAt: number[] = [];
  const added = trial.add("a");
  await turn();
  const start = Date.now();
  while (sentAt.length < 8 && Date.now() - start < 5_000) {
    for (const { settle } of trial.groups.splice(0)) {
      sentAt.push(Date.now() - start);
      if (sentAt.length < 8) settle.reject(new RepositoryError("down"));
      else settle.resolve(new Map());
    }
    await time.tickAsync(25);
  }
  assertEquals(sentAt, [0, 50, 150, 350, 750, 1_550, 2_550, 3_550]);
  await added;
});

Deno.test("GroupCommit leaves out of a retry what missed its time", async () => {
  const trial = new Trial();
  const late = trial.add("a", { timeout: 20 });
  const added = trial.add("b");
  await turn();
  const { items, fail } = trial.next;
  assertEquals(items, ["a", "b"]);
  await assertRejects(() => late, RepositoryError, "in 20 ms");
  fail();
  while (trial.groups.length === 0) await turn();
  assertEquals(trial.items, ["b"]);
  await trial.writeAll();
  await added;
});

Deno.test("GroupCommit tells of trouble once until it has written again", async () => {
  using time = new FakeTime();
  const trial = new Trial();
  const attempt = async (outcome: "fail" | "write") => {
    while (trial.groups.length === 0) {
      await passTime(time, 100);
      await turn();
    }
    trial.next[outcome]();
    await turn();
    return trial.troubles.length;
  };
  trial.add("a");
  assertEquals(await attempt("fail"), 1);
  assertEquals(await attempt("fail"), 1);
  assertEquals(await attempt("write"), 1);
  trial.add("b");
  assertEquals(await attempt("fail"), 2);
  assertEquals(await attempt("write"), 2);
});

Deno.test("GroupCommit writes the second half of a backlog whose first half missed its time", async () => {
  const trial = new Trial();
  const keys = Array.from({ length: 40 }, (_, index) => `${index}`);
  trial.add("alone");
  await turn();
  for (const key of keys) trial.add(key);
  await turn();
  trial.next.write();
  const late = keys.slice(0, 20).map((key) =>
    trial.add(`late ${key}`, { key, timeout: 10 })
  );
  for (const key of keys.slice(20)) trial.add(`rest ${key}`, { key });
  await Promise.allSettled(late);
  trial.next.write();
  await turn();
  assertEquals(trial.groups.length, 1);
  await trial.writeAll();
});
