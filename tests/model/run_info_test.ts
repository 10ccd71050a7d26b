import { assertEquals } from "@std/assert";
import {
  dataInfo,
  runInfoForErrored,
  runInfoForInitiated,
  runInfoForRunning,
} from "../../mod.ts";

const ONE = "0f14d0ab-9605-4a62-a9e4-5ed26688389b";
const TWO = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

Deno.test("dataInfo() gives the ids in their order", () => {
  assertEquals(JSON.stringify(dataInfo([TWO, ONE])), `["${TWO}","${ONE}"]`);
});

Deno.test("dataInfo() gives the string None when there are no ids", () => {
  assertEquals(JSON.stringify(dataInfo([])), '"None"');
});

Deno.test("runInfoForInitiated() is an empty object", () => {
  assertEquals(JSON.stringify(runInfoForInitiated()), "{}");
});

Deno.test("runInfoForInitiated() gives a new object each time", () => {
  const info = runInfoForInitiated();
  info.error = "boom";
  assertEquals(runInfoForInitiated(), {});
});

Deno.test("runInfoForRunning() holds the ids", () => {
  assertEquals(
    JSON.stringify(runInfoForRunning([ONE, TWO])),
    `{"data":["${ONE}","${TWO}"]}`,
  );
});

Deno.test("runInfoForRunning() says None when there are no ids", () => {
  assertEquals(JSON.stringify(runInfoForRunning([])), '{"data":"None"}');
});

Deno.test("runInfoForErrored() holds the ids, then the error", () => {
  assertEquals(
    JSON.stringify(runInfoForErrored([ONE], 'a "quoted" error')),
    `{"data":["${ONE}"],"error":"a \\"quoted\\" error"}`,
  );
});

Deno.test("runInfoForErrored() says None when there are no ids", () => {
  assertEquals(
    JSON.stringify(runInfoForErrored([], "boom")),
    '{"data":"None","error":"boom"}',
  );
});

Deno.test("runInfoForErrored() keeps an empty error", () => {
  assertEquals(
    JSON.stringify(runInfoForErrored([], "")),
    '{"data":"None","error":""}',
  );
});
