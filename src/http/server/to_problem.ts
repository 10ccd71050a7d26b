import {
  InvalidInputError,
  type RegistryError,
  RegistryFullError,
  RegistryShutdownError,
  RepositoryError,
  RunAlreadyActiveError,
  UnknownRunError,
} from "../../model/errors.ts";
import { ProblemError } from "../wire/problem_error.ts";

/**
 * The problem that an error is to a client.
 *
 * @param report Called with an error that the client sees only as a generic failure.
 */
export function toProblem(
  error: unknown,
  report: (error: unknown) => void,
): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof UnknownRunError) {
    const { code, message, runId } = error;
    return new ProblemError(404, message, { code, runId });
  }
  if (error instanceof RunAlreadyActiveError) {
    const { code, message, runId } = error;
    return new ProblemError(409, message, { code, runId });
  }
  if (error instanceof InvalidInputError) {
    const { code, message, issues } = error;
    const errors = issues.map(({ message, path }) => ({
      detail: message,
      pointer: `#${path.map((part) => `/${pointerPart(part)}`).join("")}`,
    }));
    return new ProblemError(422, message, { code, errors });
  }
  if (error instanceof RegistryShutdownError) {
    return unavailable("This instance is shutting down", error);
  }
  report(error);
  if (error instanceof RegistryFullError) {
    return unavailable("There are too many runs", error);
  }
  if (error instanceof RepositoryError && error.transient) {
    return unavailable("The repository cannot be reached", error);
  }
  return new ProblemError(500, "Something went wrong here");
}

/** A problem that a retry after a second may solve. */
function unavailable(detail: string, { code }: RegistryError): ProblemError {
  const headers = { "Retry-After": "1" };
  return new ProblemError(503, detail, { code, headers });
}

/** A reference token of a JSON Pointer in a URI fragment. */
function pointerPart(part: PropertyKey): string {
  const token = String(part).replaceAll("~", "~0").replaceAll("/", "~1");
  return encodeURIComponent(token.toWellFormed());
}
