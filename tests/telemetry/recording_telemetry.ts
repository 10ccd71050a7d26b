import type { Gauges, RunSpan, Telemetry } from "../../mod.ts";

/** Keeps what it is told, by method. */
export class RecordingTelemetry implements Telemetry {
  readonly told: Record<string, unknown[][]> = {};
  readonly observed = new Set<() => Gauges>();

  /** The sum of a figure of all who are observed. */
  read(name: keyof Gauges): number {
    return [...this.observed]
      .reduce((sum, read) => sum + (read()[name] ?? 0), 0);
  }

  beginRun(...args: unknown[]): RunSpan {
    this.#tell("beginRun", args);
    return {
      traceparent: undefined,
      within: (call) => call(),
      end: (...ending) => this.#tell("end", ending),
    };
  }

  onAbortRequest(...args: unknown[]): void {
    this.#tell("onAbortRequest", args);
  }

  onReaped(...args: unknown[]): void {
    this.#tell("onReaped", args);
  }

  onLeaseLost(): void {
    this.#tell("onLeaseLost", []);
  }

  onMissed(...args: unknown[]): void {
    this.#tell("onMissed", args);
  }

  onCommit(...args: unknown[]): void {
    this.#tell("onCommit", args);
  }

  observe(read: () => Gauges): () => void {
    this.observed.add(read);
    return () => this.observed.delete(read);
  }

  #tell(method: string, args: unknown[]): void {
    (this.told[method] ??= []).push(args);
  }
}
