import { canonicalUuid } from "../../model/ids.ts";
import { ProblemError } from "../wire/problem_error.ts";
import { type ListedRun, STATUS_WORDS } from "./listed_run.ts";

/** The statuses that runs can be filtered by, and what people read for each. */
export const STATUS_FILTERS: Readonly<Record<string, string>> = {
  live: "Live",
  errored: "Ended with an error",
  ...STATUS_WORDS,
};

/** Which runs a viewer asks for. */
export class PageFilter {
  /** The UUID of the dataset, if only its runs are asked for. */
  readonly datasetId: string | undefined;
  readonly #pipeline: string;
  readonly #status: string;

  /**
   * Parses the query of a URL: `pipeline`, part of a name; `dataset`, a UUID; `status`.
   *
   * @throws {ProblemError} If the dataset is not a UUID or the status is unknown.
   */
  constructor(query: URLSearchParams) {
    this.#pipeline = (query.get("pipeline") ?? "").trim().toLowerCase();
    this.#status = query.get("status") ?? "";
    if (this.#status !== "" && !Object.hasOwn(STATUS_FILTERS, this.#status)) {
      throw new ProblemError(400, "There is no such status");
    }
    const dataset = (query.get("dataset") ?? "").trim();
    if (dataset === "") return;
    try {
      this.datasetId = canonicalUuid(dataset, "dataset");
    } catch (cause) {
      throw new ProblemError(400, "A dataset is given by its UUID", { cause });
    }
  }

  /** Whether a run is asked for. */
  matches({ row, status, isLive }: ListedRun): boolean {
    const { datasetId = row.datasetId } = this;
    return row.datasetId === datasetId &&
      row.pipelineName.toLowerCase().includes(this.#pipeline) &&
      (this.#status === "" || this.#status === status ||
        this.#status === "live" && isLive ||
        this.#status === "errored" && !isLive && status !== "completed");
  }
}
