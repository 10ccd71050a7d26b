/**
 * The page of a registry: its headers, and its stream until the registry is shut down.
 *
 * @module
 */
import assert from "node:assert/strict";
import { PipelineRunRegistry } from "@pipeline/run-registry";
import { allowAll, createRunPage } from "@pipeline/run-registry/http";

const registry = new PipelineRunRegistry();
await registry.registerBackground(
  { pipelineName: "wait" },
  ({ publish, signal }) => {
    publish("waiting");
    return new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason))
    );
  },
);
const page = createRunPage(registry, { authorize: allowAll });

const shown = await page(new Request("http://localhost/"));
assert.match(
  shown.headers.get("Content-Security-Policy")!,
  /script-src 'sha256-[\w+/]{43}='/,
);
assert.match(await shown.text(), /<h1>Pipeline runs<\/h1>/);

const { body } = await page(new Request("http://localhost/events"));
let text = "";
for await (const part of body!.pipeThrough(new TextDecoderStream())) {
  text += part;
  if (text.includes('"text":"waiting"')) await registry.shutdown();
}
assert.deepEqual(
  Array.from(text.matchAll(/"kind":"(\w+)"/g), ([, kind]) => kind),
  ["Started", "Yield", "Errored"],
);
console.log("ok");
