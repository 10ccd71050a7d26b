import { RepositoryError } from "../../model/errors.ts";

/** What everybody gets who waits for a repository that was closed. */
export function closedError(): RepositoryError {
  return new RepositoryError("The repository was closed", { transient: false });
}
