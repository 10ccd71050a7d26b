import { ProgramProcess } from "../program_process.ts";

/** The demo in its own process. */
export class Demo extends ProgramProcess {
  constructor(...args: string[]) {
    super("demo/main.ts", args);
  }
}
