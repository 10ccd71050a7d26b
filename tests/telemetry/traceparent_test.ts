import { assertEquals } from "@std/assert";
import {
  formatTraceparent,
  parseTraceparent,
} from "../../src/telemetry/traceparent.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID = "b7ad6b7169203331";

Deno.test("parseTraceparent() reads what formatTraceparent() writes", () => {
  const span = { traceId: TRACE_ID, spanId: SPAN_ID, traceFlags: 1 };
  const text = formatTraceparent(span);
  assertEquals(text, `00-${TRACE_ID}-${SPAN_ID}-01`);
  assertEquals(parseTraceparent(text), { ...span, isRemote: true });
});

Deno.test("formatTraceparent() writes none for a span that is not traced", () => {
  const span = { traceId: "0".repeat(32), spanId: SPAN_ID, traceFlags: 0 };
  assertEquals(formatTraceparent(span), undefined);
});

for (
  const text of [
    undefined,
    null,
    7,
    "",
    { toString: null },
    `00-${TRACE_ID}-${SPAN_ID}`,
    `00-${TRACE_ID}-${SPAN_ID}-01-00`,
    ` 00-${TRACE_ID}-${SPAN_ID}-01`,
    `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`,
    `00-${"0".repeat(32)}-${SPAN_ID}-01`,
    `00-${TRACE_ID}-${"0".repeat(16)}-01`,
  ]
) {
  Deno.test(`parseTraceparent() takes ${JSON.stringify(text)} for none`, () => {
    assertEquals(parseTraceparent(text), undefined);
  });
}
