import type { Plot } from "./plot.js";

/** A result in rows, for the terminal, a README (it is Markdown) and machines. */
export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** How to read it, and what was met or not. */
  readonly notes: readonly string[];
  /** Why the numbers say nothing of the server: the clients could not keep up. Empty or left out: they did. */
  readonly invalid?: readonly string[] | undefined;
  /** What is missing of what was asked for; left out: nothing. */
  readonly incomplete?: string | undefined;
  /** The numbers behind the rows, unrounded. */
  readonly raw: unknown;
  /** The same to look at, beside the file of the result. Left out: there are none. */
  readonly plots?: readonly Plot[] | undefined;
}

/** A measurement that failed on its way; what it has so far is worth keeping. */
export class PartialResult extends Error {
  override readonly name = "PartialResult";
  readonly tables: readonly Table[];

  constructor(tables: readonly Table[], cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.tables = tables;
  }
}

export function formatTable(table: Table): string {
  const widths = table.columns.map((name, column) =>
    Math.max(name.length, ...table.rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [
    `### ${table.title}`,
    "",
    line(table.columns),
    rule,
    ...table.rows.map(line),
    "",
    ...[
      ...(table.invalid ?? []),
      ...(table.incomplete === undefined ? [] : [`INCOMPLETE: ${table.incomplete}`]),
    ].map((mark) => `- **${mark}**`),
    ...table.notes.map((note) => `- ${note}`),
  ].join("\n");
}

/** Three significant digits, without an exponent; "–" for what was not seen. */
export function digits(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

export function percent(share: number | undefined): string {
  return share === undefined || !Number.isFinite(share) ? digits(share) : `${digits(share * 100)} %`;
}

/** Progress for the person who waits; results alone go to stdout. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
