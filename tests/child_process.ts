/** Options of {@linkcode runChildProcess}. */
export interface ChildProcessOptions {
  /** Flags of `deno run`. */
  flags?: string[];
  env?: Record<string, string>;
}

const CONFIG = new URL("../deno.json", import.meta.url);

/** The module under test, for a child's import. */
export const MOD: string = new URL("../mod.ts", import.meta.url).href;

/**
 * Runs a script in a Deno process of its own until it exits. It has only the
 * permissions in the flags.
 *
 * @returns What the script wrote.
 * @throws {Error} If the process fails.
 */
export async function runChildProcess(
  script: string,
  options: ChildProcessOptions = {},
): Promise<{ stdout: string; stderr: string }> {
  const { flags = [], env } = options;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--no-lock",
      "--config",
      decodeURIComponent(CONFIG.pathname),
      ...flags,
      "-",
    ],
    env: { NO_COLOR: "1", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(script));
  await writer.close();
  const output = await child.output();
  const stdout = new TextDecoder().decode(output.stdout);
  const stderr = new TextDecoder().decode(output.stderr);
  if (!output.success) {
    throw new Error(`The process exited with ${output.code}:\n${stderr}`);
  }
  return { stdout, stderr };
}
