import { assertEquals } from "@std/assert";
import { type Batch, statement } from "../../src/postgres/sql/statement.ts";

/** An item of a batch. */
interface Item {
  readonly name?: string;
  readonly size?: number;
  readonly isNew?: boolean;
}

const ITEMS: Batch<Item> = {
  name: ["text", ({ name }) => name],
  size: ["integer", ({ size }) => size],
  is_new: ["boolean", ({ isNew }) => isNew],
};

/** A text with single spaces. */
function spaced(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}

/** The parameters of a statement with one batch. */
function sent(...items: Item[]): (string | null)[] {
  return statement("s", { items: ITEMS }, ({ items }) => items)
    .values({ items });
}

Deno.test("statement() begins the text with its name as a comment", () => {
  assertEquals(
    statement("greet", {}, () => "select 1").text,
    "/* greet */ select 1",
  );
});

Deno.test("statement() numbers its parameters in their order, each with its type", () => {
  const { text } = statement(
    "s",
    { id: "uuid", limit: "integer", name: "text" },
    ({ id, limit, name }) => `${name}, ${id}, ${limit}, ${id}`,
  );
  assertEquals(
    text,
    "/* s */ $3::text::text, $1::text::uuid, $2::text::integer, $1::text::uuid",
  );
});

Deno.test("statement() numbers the parameters of each statement from 1", () => {
  const make = () => statement("s", { id: "uuid" }, ({ id }) => id).text;
  assertEquals([make(), make()], Array(2).fill("/* s */ $1::text::uuid"));
});

Deno.test("statement() gives a batch one number for each column", () => {
  const { text } = statement(
    "s",
    { id: "uuid", items: ITEMS, limit: "integer" },
    ({ id, items, limit }) => `${id} | ${items} | ${limit}`,
  );
  assertEquals(
    spaced(text),
    "/* s */ $1::text::uuid | (select $2::text::text[] as name, " +
      "$3::text::integer[] as size, $4::text::boolean[] as is_new offset 0) sent " +
      "cross join lateral unnest( sent.name, sent.size, sent.is_new ) " +
      "with ordinality items (name, size, is_new, ordinality) | $5::text::integer",
  );
});

Deno.test("Statement.values() are in the order of their numbers", () => {
  const { values } = statement(
    "s",
    { id: "uuid", items: ITEMS, limit: "integer" },
    () => "",
  );
  const items = [{ name: "a", size: 1, isNew: true }];
  assertEquals(
    values({ limit: 7, items, id: "x" }),
    ["x", '{"a"}', "{1}", "{true}", "7"],
  );
});

Deno.test("Statement.values() are strings, and null for undefined", () => {
  const { values } = statement(
    "s",
    {
      text: "text",
      empty: "text",
      zero: "integer",
      no: "boolean",
      none: "uuid",
    },
    () => "",
  );
  assertEquals(
    values({ text: "a", empty: "", zero: 0, no: false, none: undefined }),
    ["a", "", "0", "false", null],
  );
});

Deno.test("Statement.values() gives each column of a batch as one array", () => {
  assertEquals(
    sent(
      { name: "a", size: 1, isNew: true },
      { name: "b", size: 0, isNew: false },
    ),
    ['{"a","b"}', "{1,0}", "{true,false}"],
  );
});

Deno.test("Statement.values() gives an empty batch as empty arrays", () => {
  assertEquals(sent(), ["{}", "{}", "{}"]);
});

Deno.test("Statement.values() gives what is undefined in a batch as NULL", () => {
  assertEquals(sent({}, {}), ["{NULL,NULL}", "{NULL,NULL}", "{NULL,NULL}"]);
});

for (
  const { text, expected } of [
    { text: "plain", expected: '"plain"' },
    { text: "", expected: '""' },
    { text: "NULL", expected: '"NULL"' },
    { text: "a, b {c}", expected: '"a, b {c}"' },
    { text: " \n\t", expected: '" \n\t"' },
    { text: 'say "no"', expected: '"say \\"no\\""' },
    { text: "C:\\a\\b", expected: '"C:\\\\a\\\\b"' },
    { text: '\\"', expected: '"\\\\\\""' },
    { text: "$& $1", expected: '"$& $1"' },
  ]
) {
  Deno.test(`Statement.values() quotes and escapes the text ${Deno.inspect(text)} of a batch`, () => {
    assertEquals(sent({ name: text })[0], `{${expected}}`);
  });
}

Deno.test("Statement.values() does not quote or escape a single text", () => {
  const { values } = statement("s", { text: "text" }, () => "");
  assertEquals(values({ text: '"\\' }), ['"\\']);
});
