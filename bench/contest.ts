/** The results of one measurement, by the names of the figures. */
export type Figures = Readonly<Record<string, number>>;

/** Options of a measurement. */
export interface MeasureOptions {
  /** Whether a short, rough measurement is enough. */
  readonly quick: boolean;
}

/** A library or a variant that is measured. */
export interface Contender {
  readonly name: string;
  /** What its figures include and what they leave out. */
  readonly includes: string;
  /** What is added to the environment of its process. */
  readonly env?: () => Readonly<Record<string, string>>;
  /** Measures once; called once per process. */
  readonly measure: (options: MeasureOptions) => Promise<Figures>;
}

/** A table of some figures of a contest. */
export interface Table {
  readonly title: string;
  /** Whether more or less is better. */
  readonly better: "more" | "less";
  /** The headings of the columns, by the names of their figures. */
  readonly columns: Readonly<Record<string, string>>;
  /** The factor that the figures are multiplied by. */
  readonly scale?: number;
}

/** Contenders that are measured side by side. */
export interface Contest {
  /** Its name on the command line. */
  readonly name: string;
  /** Whether it needs a Postgres server. */
  readonly needsPostgres?: boolean;
  /** Whether it takes so long that it is only held if it is named. */
  readonly isLong?: boolean;
  /**
   * After how many seconds a measurement fails.
   *
   * @default {120}
   */
  readonly timeout?: number;
  /**
   * How many times each contender is measured at most.
   *
   * @default {7, or 3 with --quick}
   */
  readonly rounds?: number;
  /** The contenders; the first is ours. */
  readonly contenders: readonly Contender[];
  readonly tables: readonly Table[];
}

/** The samples of one contender, by round; `undefined` where it failed. */
export interface Result {
  readonly contender: string;
  readonly includes: string;
  readonly samples: (Figures | undefined)[];
  /** The message of its last failure. */
  failure?: string;
}

/** Returns the middle number, or the mean of the two in the middle. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]
    : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Returns the number below which the given share of the numbers lies. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** How many times better ours is: the median of the rounds without a failure. */
function ratio(
  ours: Result,
  theirs: Result,
  figure: string,
  better: Table["better"],
): number | undefined {
  const ratios = ours.samples.flatMap((sample, round) => {
    const [a, b] = [sample?.[figure], theirs.samples[round]?.[figure]];
    if (a === undefined || b === undefined) return [];
    return better === "more" ? a / b : b / a;
  });
  return ratios.length === 0 ? undefined : median(ratios);
}

/**
 * Formats the results of a contest as tables of medians, with how many times
 * better ours is in brackets.
 */
export function markdown(contest: Contest, results: readonly Result[]): string {
  const tables = contest.tables.map(({ title, better, columns, scale = 1 }) => {
    const figures = Object.keys(columns);
    const rows = results.map((result) => [
      result.contender,
      ...figures.map((figure) =>
        cell(results[0], result, figure, better, scale)
      ),
    ]);
    return `**${title}** (${better} is better)\n\n${
      toTable([["", ...Object.values(columns)], ...rows])
    }`;
  });
  const notes = results.map(({ contender, includes, failure }) => {
    const failed = failure === undefined ? "" : ` **Failed:** ${failure}`;
    return `- ${contender}: ${includes}${failed}`;
  });
  return [...tables, notes.join("\n")].join("\n\n");
}

function cell(
  ours: Result,
  result: Result,
  figure: string,
  better: Table["better"],
  scale: number,
): string {
  const samples = result.samples.flatMap((each) => each?.[figure] ?? []);
  if (samples.length === 0) {
    return result.failure === undefined ? "–" : "failed";
  }
  const shown = format(median(samples) * scale);
  if (result === ours) return shown;
  const times = ratio(ours, result, figure, better);
  return times === undefined ? shown : `${shown} (${format(times)} ×)`;
}

/** Rounds to two or three significant digits. */
function format(number: number): string {
  if (number >= 1_000) {
    return Number(number.toPrecision(3)).toLocaleString("en-US");
  }
  return String(Number(number.toPrecision(number < 10 ? 2 : 3)));
}

function toTable(rows: readonly string[][]): string {
  const widths = rows[0].map((_, column) =>
    Math.max(...rows.map((row) => row[column].length), 3)
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  const [head, ...rest] = rows;
  return [
    line(head),
    line(widths.map((width) => "-".repeat(width))),
    ...rest.map(line),
  ].join("\n");
}
