import {
  MemoryPipelineRunRepository,
  type PipelineRunTransition,
  RepositoryError,
} from "../../mod.ts";
import { runMicrotasks } from "../assert_pending.ts";

/** A refusal that is retried. */
export const DOWN: RepositoryError = new RepositoryError("down");
/** A refusal that is final. */
export const FINAL: RepositoryError = new RepositoryError("bad row", {
  transient: false,
});

/** One call of `logPipelineRun()`. */
interface Call {
  readonly row: PipelineRunTransition;
  acknowledge(): void;
  refuse(error: unknown): void;
}

/** A repository whose answers to rows are given by a test. */
export class AnsweredRepository extends MemoryPipelineRunRepository {
  readonly calls: Call[] = [];

  override logPipelineRun(row: PipelineRunTransition): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const acknowledge = () => resolve(row.id!);
    this.calls.push({ row, acknowledge, refuse: reject });
    return promise;
  }

  /** The rows sent so far, such as `STARTED`. */
  get rows(): string[] {
    return this.calls.map(({ row }) =>
      row.status.replace("DATASET_PROCESSING_", "")
    );
  }

  /** Acknowledges the newest row and runs the reactions. */
  async acknowledge(): Promise<void> {
    this.calls.at(-1)!.acknowledge();
    await runMicrotasks();
  }

  /** Refuses the newest row and runs the reactions. */
  async refuse(error: unknown = DOWN): Promise<void> {
    this.calls.at(-1)!.refuse(error);
    await runMicrotasks();
  }
}
