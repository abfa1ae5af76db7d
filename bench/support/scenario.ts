import { parseArgs } from "node:util";
import { nearest } from "../../server/nearest.js";
import type { Table } from "./report.js";

/** One option of a scenario; its default says its type. */
export interface Option<T extends string | number | boolean> {
  readonly default: T;
  readonly help: string;
}

export type OptionTable = Readonly<Record<string, Option<string> | Option<number> | Option<boolean>>>;

/** The values of an option table. */
export type OptionValues<T extends OptionTable> = {
  readonly [K in keyof T]: T[K] extends Option<infer V>
    ? V extends string
      ? string
      : V extends number
        ? number
        : boolean
    : never;
};

/** A measurement that `npm run bench -- NAME` runs. */
export interface Scenario {
  readonly name: string;
  readonly summary: string;
  readonly options: OptionTable;
  /** Reads the arguments and runs. */
  run(args: readonly string[]): Promise<readonly Table[]>;
}

/** Asked for in a way that cannot be; the text says what can. */
export class BadOption extends Error {
  override readonly name = "BadOption";
}

/** Ties options to the function that uses them, so that both agree on types. */
export function defineScenario<T extends OptionTable>(scenario: {
  readonly name: string;
  readonly summary: string;
  readonly options: T;
  run(options: OptionValues<T>): Promise<readonly Table[]>;
}): Scenario {
  return { ...scenario, run: async (args) => scenario.run(parseOptions(scenario.options, args)) };
}

/** @throws BadOption that names the option, for an unknown one or a value that is not of its type. */
export function parseOptions<T extends OptionTable>(table: T, args: readonly string[]): OptionValues<T> {
  const options: Record<string, { type: "string" | "boolean" }> = {};
  for (const [name, { default: value }] of Object.entries(table)) {
    options[name] = { type: typeof value === "boolean" ? "boolean" : "string" };
  }
  const given = parse(args, options);
  const values: Record<string, string | number | boolean> = {};
  for (const [name, { default: fallback }] of Object.entries(table)) {
    const raw = given[name] as string | boolean | undefined;
    values[name] = raw === undefined ? fallback : typeof fallback === "number" ? parseNumber(name, raw) : raw;
  }
  return values as OptionValues<T>;
}

function parse(
  args: readonly string[],
  options: Record<string, { type: "string" | "boolean" }>,
): Record<string, string | boolean | (string | boolean)[] | undefined> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowNegative: true }).values;
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    const unknown = /^Unknown option '--?(?:no-)?([^' ]+)'/.exec(cause.message)?.[1];
    if (unknown === undefined) throw new BadOption(cause.message);
    const near = nearest(unknown, Object.keys(options));
    const meant = near === undefined ? "." : `; did you mean --${near}?`;
    throw new BadOption(
      `there is no option --${unknown}${meant} There are --${Object.keys(options).join(", --")}`,
    );
  }
}

export function describeOptions(table: OptionTable): string {
  return Object.entries(table)
    .map(([name, { default: value, help }]) => {
      const shown = value === "" ? "none" : String(value);
      const flag =
        typeof value === "boolean" ? `--[no-]${name}` : `--${name}=${typeof value === "number" ? "N" : "X"}`;
      return `  ${flag.padEnd(22)} ${help} (default ${shown})`;
    })
    .join("\n");
}

/** The arguments in an option's text, which are parted by spaces. */
export function splitArgs(text: string): string[] {
  return text.split(" ").filter((arg) => arg !== "");
}

/** Numbers parted by commas, such as 2000,10000. @throws BadOption for anything but integers of 1 or more. */
export function parseCounts(name: string, text: string): number[] {
  return text.split(",").map((part) => {
    const value = Number(part);
    if (part.trim() !== "" && Number.isInteger(value) && value >= 1) return value;
    throw new BadOption(`--${name} ${text}: "${part}" is not an integer of 1 or more`);
  });
}

function parseNumber(name: string, raw: string | boolean): number {
  const value = Number(raw);
  if (raw === "" || !Number.isFinite(value) || value < 0) {
    throw new BadOption(`--${name} ${raw}: a non-negative number is needed`);
  }
  return value;
}
