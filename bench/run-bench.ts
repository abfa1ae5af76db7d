import { accessSync, constants, existsSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { nearest } from "../server/nearest.js";
import { runAgent } from "./fleet/remote/agent-command.js";
import { loadScenario, SCENARIO_NAMES } from "./scenarios.js";
import { environment } from "./support/environment.js";
import { plotPage } from "./support/plot.js";
import { formatTable, PartialResult, type Table } from "./support/report.js";
import { type BenchResult, parseResult } from "./support/result.js";
import { BadOption, describeOptions, type Scenario } from "./support/scenario.js";

/** 0: measured. 1: not, or in part, or the clients could not keep up. 2: asked for in a way that cannot be. */
export type BenchCode = 0 | 1 | 2;

export interface BenchIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** Not a scenario: it lets others use this machine's. */
const AGENT = "agent";
const OWN_OPTIONS = `  ${"--json=FILE".padEnd(22)} write the result there: unrounded numbers, machine, kernel, versions, sysctls; plots beside it as .html
  ${"--help".padEnd(22)} this`;

/**
 * Runs one scenario as it is asked for on a command line, and prints its tables as Markdown.
 * @param command how it was called, for the text that says how to have it again
 */
export async function runBench(args: readonly string[], command: string, io: BenchIo): Promise<BenchCode> {
  const [name = "--help", ...rest] = args;
  if (name === "--help" || name === "-h") {
    io.out(await benchHelp(command));
    return 0;
  }
  if (name === AGENT) return await agent(rest, command, io);
  if (!SCENARIO_NAMES.includes(name)) {
    const near = nearest(name, [...SCENARIO_NAMES, AGENT]);
    const meant = near === undefined ? "" : `; did you mean ${near}?`;
    io.err(
      `there is no scenario ${JSON.stringify(name)}${meant}\nThere are ${SCENARIO_NAMES.join(", ")}; "${command} --help" explains.`,
    );
    return 2;
  }
  try {
    const scenario = await loadScenario(name);
    if (rest.includes("--help") || rest.includes("-h")) {
      io.out(`${name}: ${scenario.summary}\n\n${describeOptions(scenario.options)}\n${OWN_OPTIONS}\n`);
      return 0;
    }
    const { file, others } = takeJsonFile(rest);
    const { result, pages } = await measure(scenario, others, `${command} ${[name, ...others].join(" ")}`);
    io.out(resultText(result));
    if (file !== undefined) write(file, result, pages);
    for (const problem of result.problems) io.err(problem);
    return result.status === "complete" && result.valid ? 0 : 1;
  } catch (cause) {
    io.err(`${command} ${name}: ${cause instanceof Error ? cause.message : String(cause)}`);
    return cause instanceof BadOption ? 2 : 1;
  }
}

async function agent(args: readonly string[], command: string, io: BenchIo): Promise<BenchCode> {
  try {
    return await runAgent(args, io);
  } catch (cause) {
    io.err(`${command} ${AGENT}: ${cause instanceof Error ? cause.message : String(cause)}`);
    return cause instanceof BadOption ? 2 : 1;
  }
}

/** What can be measured, a line each. */
export async function benchHelp(command: string): Promise<string> {
  const lines = await Promise.all(
    SCENARIO_NAMES.map(async (name) => {
      const summary = await loadScenario(name).then(
        (scenario) => scenario.summary,
        (cause: Error) => `(${cause.message})`,
      );
      return `  ${name.padEnd(12)} ${summary}`;
    }),
  );
  return `Measures the engine; the host should be idle otherwise.

  ${command} SCENARIO [options]          its tables as Markdown
  ${command} SCENARIO --json FILE        the same with unrounded numbers, for programs
  ${command} SCENARIO --help             its options
  ${command} agent --listen HOST:PORT    clients here for benches elsewhere, which name it by --fleet

Scenarios:
${lines.join("\n")}

Exit codes: 0 measured; 1 not, or in part (marked INCOMPLETE), or the clients were the bottleneck (marked INVALID);
2 asked for in a way that cannot be.
`;
}

interface Measurement {
  readonly result: BenchResult;
  /** What there is to look at, a page a table. */
  readonly pages: readonly string[];
}

/** The result, and its pages beside it under the same name. */
function write(file: string, result: BenchResult, pages: readonly string[]): void {
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  const base = file.replace(/\.json$/, "");
  for (const [index, page] of pages.entries())
    writeFileSync(`${base}${index === 0 ? "" : `-${index + 1}`}.html`, page);
}

async function measure(scenario: Scenario, args: readonly string[], command: string): Promise<Measurement> {
  const startedAt = new Date().toISOString();
  const startedMs = performance.now();
  const before = environment();
  const { tables, problem } = await tablesOf(scenario, args);
  const invalid = tables.flatMap((table) => table.invalid ?? []);
  const incomplete = [
    ...(problem === undefined ? [] : [problem]),
    ...tables.flatMap((table) => (table.incomplete === undefined ? [] : [table.incomplete])),
  ];
  // By way of JSON, which has no NaN and no undefined, so that what is checked is what is written.
  const plain: unknown = JSON.parse(
    JSON.stringify({
      format: "fanwire-bench/1",
      scenario: scenario.name,
      command,
      startedAt,
      seconds: (performance.now() - startedMs) / 1_000,
      status: incomplete.length > 0 ? "partial" : "complete",
      valid: invalid.length === 0,
      problems: [...incomplete.map((what) => `INCOMPLETE: ${what}`), ...invalid],
      environment: before,
      tables: tables.map(({ raw, plots: _, ...table }) => ({ ...table, raw: raw ?? null })),
    }),
  );
  const result = parseResult(plain);
  const pages = tables.flatMap(({ title, notes, plots }) =>
    plots === undefined ? [] : [plotPage(title, [...notes, ...factsOf(result), ...result.problems], plots)],
  );
  return { result, pages };
}

async function tablesOf(
  scenario: Scenario,
  args: readonly string[],
): Promise<{ tables: readonly Table[]; problem: string | undefined }> {
  try {
    return { tables: await scenario.run(args), problem: undefined };
  } catch (cause) {
    if (!(cause instanceof PartialResult)) throw cause;
    const tables = cause.tables.map((table) => ({ ...table, incomplete: cause.message }));
    return { tables, problem: undefined };
  }
}

function resultText(result: BenchResult): string {
  const tables = result.tables.map((table) => `${formatTable(table)}\n\n`);
  return `${tables.join("")}${factsOf(result).join("\n")}\n`;
}

/** Where it was measured, and how to have it again. */
function factsOf({ environment: on, command }: BenchResult): string[] {
  const machine = `${on.cores} × ${on.cpu}, ${on.memoryGiB} GiB, Linux ${on.kernel}, Node ${on.node}, ${on.uws}`;
  const congestion = on.sysctls["net.ipv4.tcp_congestion_control"] ?? "?";
  const version = `fanwire ${on.fanwire} (${on.revision}), ${congestion}, load ${on.loadAverage}`;
  return [`${machine}, ${version}`, command];
}

function takeJsonFile(args: readonly string[]): { file: string | undefined; others: string[] } {
  const at = args.findIndex((arg) => arg === "--json" || arg.startsWith("--json="));
  const flag = args[at];
  if (flag === undefined) return { file: undefined, others: [...args] };
  const inline = flag.startsWith("--json=");
  const file = inline ? flag.slice("--json=".length) : args[at + 1];
  if (file === undefined || file === "") throw new BadOption("--json needs a file");
  checkWritable(file);
  const used = inline ? 1 : 2;
  return { file, others: args.filter((_, index) => index < at || index >= at + used) };
}

/** Told before a minute of measuring has gone by. @throws BadOption where no such file can be written. */
function checkWritable(file: string): void {
  try {
    accessSync(existsSync(file) ? file : dirname(resolve(file)), constants.W_OK);
  } catch (cause) {
    throw new BadOption(`--json ${file}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}
