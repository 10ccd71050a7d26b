import { type Ending, ProgramProcess } from "../program_process.ts";

/** The command in its own process, with a `DATABASE_URL` if it is given one. */
export class Cli extends ProgramProcess {
  constructor(args: readonly string[], databaseUrl = "") {
    super("cli/main.ts", args, { env: { DATABASE_URL: databaseUrl } });
  }
}

/** Runs the command until it ends. */
export function cli(...args: string[]): Promise<Ending> {
  return new Cli(args).ended();
}
