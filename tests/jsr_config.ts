/**
 * Writes `.jsr.deno.json`: the configuration without the workspace, so that the
 * suite runs with the packages of JSR and not with what stands for them.
 *
 * @module
 */
const root = new URL("../", import.meta.url);
const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
delete config.workspace;
await Deno.writeTextFile(
  new URL(".jsr.deno.json", root),
  JSON.stringify(config, null, 2),
);
