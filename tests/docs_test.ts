import { assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);

const { exports } = JSON.parse(
  await Deno.readTextFile(new URL("deno.json", ROOT)),
) as { exports: Record<string, string> };

interface Doc {
  readonly doc?: string;
  readonly tags?: readonly { kind: string; value?: string }[];
}

interface Property {
  readonly name: string;
  readonly optional: boolean;
  readonly jsDoc?: Doc;
}

interface Documented {
  readonly module_doc: Doc;
  readonly symbols: readonly {
    name: string;
    declarations: readonly { def: { properties?: readonly Property[] } }[];
  }[];
}

/** What `deno doc` says of an entry. */
async function documented(entry: string): Promise<Documented> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", entry],
    cwd: ROOT,
    stderr: "null",
  }).output();
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout));
  return nodes[new URL(entry, ROOT).href];
}

/** The tables of options, each with the default of each option by its name. */
function tablesOf(markdown: string): Map<string, Record<string, string>> {
  const tables = new Map<string, Record<string, string>>();
  const found = markdown.matchAll(
    /^\| `(\w+)` *\| default .*\n.*\n((?:\|.*\n)*)/gm,
  );
  for (const [, name, rows] of found) {
    const cells = rows.trimEnd().split("\n").map((row) =>
      row.split("|").map((cell) => cell.replaceAll("`", "").trim())
    );
    const options = cells.map(([, option, value]) => [option, value]);
    tables.set(name, Object.fromEntries(options));
  }
  return tables;
}

/** The default that the doc comment of an option says. */
function defaultOf({ optional, jsDoc }: Property): string {
  if (!optional) return "required";
  const tag = jsDoc?.tags?.find(({ kind }) => kind === "default");
  return tag?.value ?? "";
}

for (const [name, entry] of Object.entries(exports)) {
  Deno.test(`The module doc of ${name} has a block of code, and all options in its tables with their defaults`, async () => {
    const { module_doc: { doc = "" }, symbols } = await documented(entry);
    assertEquals(/^```/m.test(doc), true);
    for (const [type, options] of tablesOf(doc)) {
      const symbol = symbols.find((symbol) => symbol.name === type);
      const properties = symbol?.declarations[0].def.properties ?? [];
      const expected = properties.map((property) => [
        property.name,
        defaultOf(property),
      ]);
      assertEquals(options, Object.fromEntries(expected), type);
    }
  });
}
