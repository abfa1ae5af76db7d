import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** A result in rows, for the terminal, a README (it is Markdown) and machines. */
export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** How to read it, and what was met or not. */
  readonly notes: readonly string[];
  /** The numbers behind the rows, unrounded. */
  readonly raw: unknown;
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
    ...table.notes.map((note) => `- ${note}`),
  ].join("\n");
}

/** Three significant digits, without an exponent. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

export function percent(share: number): string {
  return `${digits(share * 100)} %`;
}

/** Progress for the person who waits; results alone go to stdout. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** What the numbers were measured on, and how busy it was with other things. */
export function machine(): Record<string, string | number> {
  const [load] = readFileSync("/proc/loadavg", "latin1").split(" ");
  const congestion = readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "latin1").trim();
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    tcp: congestion,
    loadAverage: Number(load),
  };
}
