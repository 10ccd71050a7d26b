/**
 * Whether a program is on this machine; it says so where there is none.
 *
 * @param versionFlag The argument with which it tells its version.
 * @param what What needs it.
 */
export async function hasProgram(
  name: string,
  versionFlag: string,
  what: string,
): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(name, {
      args: [versionFlag],
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.warn(`There is no ${name}: what needs ${what} is not tested`);
    return false;
  }
}

/** A port for a server; no outgoing connection gets one below 32,768 meanwhile. */
export function randomPort(): number {
  return 20_000 + Math.floor(Math.random() * 12_000);
}

/** Waits until a server accepts connections. */
export async function accepts(port: number): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (true) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((again) => setTimeout(again, 20));
    }
  }
}
