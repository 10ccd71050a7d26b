import { assertEquals } from "@std/assert";
import { PipelineRunRegistry } from "../../../mod.ts";
import { allowAll, createRunPage } from "../../../src/http/mod.ts";
import { connect } from "../../../src/postgres/mod.ts";
import { registerHeld } from "../../known_run.ts";
import { openDatabase } from "../../postgres/open_database.ts";
import { PageViewer } from "./page_viewer.ts";

Deno.test("createRunPage() follows the runs of another instance, and begins again with their last events", async () => {
  await using database = await openDatabase();
  await using hereRows = await connect(database.url);
  await using thereRows = await connect(database.url);
  await using here = new PipelineRunRegistry({ repository: hereRows });
  await using there = new PipelineRunRegistry({ repository: thereRows });
  const runs = await Promise.all(
    Array.from({ length: 10 }, () =>
      registerHeld(there, {
        pipelineName: "ingest",
        runId: crypto.randomUUID(),
      })),
  );
  for (const { run } of runs) {
    for (let n = 1; n <= 40; n++) run.publish(n);
  }
  for (const { runId } of runs) {
    const events = there.subscribe(runId, { after: 40, durable: true });
    for await (const _ of events) break;
  }
  const ids = runs.map(({ runId }) => runId).sort();
  const page = createRunPage(here, { authorize: allowAll });

  for (const [step, first] of [["first", 22], ["second", 23]] as const) {
    await using viewer = await PageViewer.open(page);
    const shown = await viewer.find("snapshot");
    assertEquals(
      shown.map(({ run }: { run: string }) => run).sort(),
      ids,
    );
    for (const { run } of runs) run.publish(step);
    const seqs = new Map<string, number[]>(ids.map((id) => [id, []]));
    let heard = 0;
    while (heard < runs.length) {
      const { run, seq, text } = await viewer.find("event");
      seqs.get(run)!.push(seq);
      if (text === step) heard++;
    }
    for (const id of ids) {
      const [start] = seqs.get(id)!;
      assertEquals(
        seqs.get(id),
        Array.from({ length: first + 21 - start }, (_, i) => start + i),
      );
    }
  }

  await using viewer = await PageViewer.open(page);
  await viewer.find("snapshot");
  for (const run of runs) run.complete();
  const ended: string[] = [];
  while (ended.length < runs.length) {
    const { run, kind } = await viewer.find("event");
    if (kind === "Completed") ended.push(run);
  }
  assertEquals(ended.sort(), ids);
});
