import { assertEquals } from "@std/assert";
import { ProxyLink } from "./proxy.ts";

/** A server that answers every byte with the next one, behind a link. */
function openLink(): AsyncDisposable & { link: ProxyLink; received: number[] } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const received: number[] = [];
  const serve = async (connection: Deno.Conn): Promise<void> => {
    try {
      const buffer = new Uint8Array(1);
      while (await connection.read(buffer) !== null) {
        received.push(buffer[0]);
        await connection.write(new Uint8Array([buffer[0] + 1]));
      }
    } catch {
      // The link closed it.
    }
    connection.close();
  };
  const served = (async () => {
    const connections: Promise<void>[] = [];
    for await (const connection of listener) {
      connections.push(serve(connection));
    }
    await Promise.all(connections);
  })();
  const link = new ProxyLink(() => listener.addr.port);
  return {
    link,
    received,
    async [Symbol.asyncDispose]() {
      await link[Symbol.asyncDispose]();
      listener.close();
      await served;
    },
  };
}

async function connect(link: ProxyLink): Promise<Deno.TcpConn> {
  return await Deno.connect({ hostname: "127.0.0.1", port: link.port });
}

/** Sends a byte and returns the answer; `undefined` if the connection is closed. */
async function ask(
  connection: Deno.Conn,
  byte: number,
): Promise<number | undefined> {
  const buffer = new Uint8Array(1);
  try {
    await connection.write(new Uint8Array([byte]));
    return await connection.read(buffer) === null ? undefined : buffer[0];
  } catch {
    return undefined;
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((go) => setTimeout(go, 1));
}

Deno.test("ProxyLink passes bytes on both ways", async () => {
  await using opened = openLink();
  using client = await connect(opened.link);
  assertEquals([await ask(client, 1), await ask(client, 5)], [2, 6]);
});

Deno.test("ProxyLink.drop() closes what is open and passes on what comes later", async () => {
  await using opened = openLink();
  const { link } = opened;
  using client = await connect(link);
  assertEquals(await ask(client, 1), 2);
  link.drop();
  assertEquals(await ask(client, 1), undefined);
  using other = await connect(link);
  assertEquals(await ask(other, 1), 2);
  assertEquals([link.closedSince(0), link.swallowed], [1, 0]);
});

Deno.test("ProxyLink refuses connections while it is cut", async () => {
  await using opened = openLink();
  const { link, received } = opened;
  link.mode = "cut";
  using client = await connect(link);
  assertEquals(await ask(client, 1), undefined);
  assertEquals(received, []);
  link.mode = "open";
  using other = await connect(link);
  assertEquals(await ask(other, 1), 2);
});

Deno.test("ProxyLink.loseAnswers() lets the server receive and the client lose its connection", async () => {
  await using opened = openLink();
  const { link, received } = opened;
  using client = await connect(link);
  assertEquals(await ask(client, 1), 2);
  link.loseAnswers();
  assertEquals(await ask(client, 7), undefined);
  assertEquals(received, [1, 7]);
});

Deno.test("ProxyLink swallows bytes for good once it was half-open, and closes nothing", async () => {
  await using opened = openLink();
  const { link, received } = opened;
  using client = await connect(link);
  assertEquals(await ask(client, 1), 2);
  link.mode = "half-open";
  const answer = ask(client, 7);
  link.mode = "open";
  using other = await connect(link);
  assertEquals(await ask(other, 3), 4);
  assertEquals([received, link.swallowed], [[1, 3], 1]);
  link.heal();
  assertEquals(await answer, undefined);
  assertEquals(link.swallowed, 0);
});

Deno.test("ProxyLink does not tell the server of a client that closes while it is half-open", async () => {
  await using opened = openLink();
  const { link } = opened;
  const client = await connect(link);
  assertEquals(await ask(client, 1), 2);
  link.mode = "half-open";
  await until(() => link.swallowed === 1);
  client.close();
  // Nobody tells the server across a link that is half-open.
  await new Promise((go) => setImmediate(go));
  assertEquals(link.swallowed, 1);
});
