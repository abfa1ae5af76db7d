/**
 * The regression guard: in two minutes, ratios of the engine to a bare uWebSockets.js server measured in turn, beside
 * those of bench/results/smoke.json. Ratios, as times drift with the machine; what moved counts only where it is more than
 * the noise of both, and half of what was allowed at first. Not part of the tests.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { burst, fanout } from "./fanout.js";
import type { Window } from "./support/contest.js";
import { environment } from "./support/environment.js";
import { digits, percent, type Table } from "./support/report.js";
import { defineScenario, type OptionValues, type Scenario } from "./support/scenario.js";
import { type Summary, summarize } from "./support/statistics.js";

const BASELINE = fileURLToPath(new URL("../../bench/results/smoke.json", import.meta.url));

const OPTIONS = {
  baseline: { default: BASELINE, help: "file to compare with" },
  write: { default: false, help: "write what was measured there, compared with what was there before" },
  repetitions: { default: 7, help: "windows for each server" },
  subscribers: { default: 2_000, help: "connections to each server" },
  seconds: { default: 1.5, help: "length of a window of single messages; those of bursts have two thirds" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const smoke = defineScenario({
  name: "smoke",
  summary: "two minutes: ratios to a bare server against the committed baseline",
  options: OPTIONS,
  run: measure,
});

/** Changes below this are not told, however still the machine was. */
const CHANGE_MIN = 0.1;

const ratioSchema = z.strictObject({
  median: z.number().positive(),
  spread: z.number().nonnegative(),
  /** Pairs of windows that it is the middle of. */
  runs: z.int().positive().default(7),
  /** What it is made of; left out by baselines from before there was any. */
  parts: z
    .strictObject({
      /** The engine's CPU in user mode and in the kernel, each as a share of all that the bare server uses. */
      user: z.number().nonnegative(),
      system: z.number().nonnegative(),
      /** Messages that one frame of the engine brings. */
      messagesPerFrame: z.number().positive(),
    })
    .optional(),
});
const baselineSchema = z.strictObject({
  format: z.literal("fanwire-smoke/1"),
  at: z.iso.datetime(),
  revision: z.string(),
  machine: z.string(),
  ratios: z.record(z.string(), ratioSchema),
});
export type Ratio = z.infer<typeof ratioSchema>;
type Baseline = z.infer<typeof baselineSchema>;

async function measure(options: Options): Promise<Table[]> {
  // Told before two minutes have gone by. What is to be replaced is compared with, too.
  const known = options.write && !existsSync(options.baseline) ? undefined : readBaseline(options.baseline);
  const now: Record<string, Ratio> = {};
  const invalid: string[] = [];
  for (const [name, scenario, args] of [
    ["one message a tick", fanout, [`--seconds=${options.seconds}`]],
    ["bursts of 64", burst, [`--seconds=${(options.seconds * 2) / 3}`]],
  ] as const) {
    const { ratio, marks } = await ratioOf(scenario, args, options);
    now[name] = ratio;
    invalid.push(...marks.map((mark) => `${name}: ${mark}`));
  }
  if (options.write) {
    const { revision, cores, cpu } = environment();
    const written: Baseline = {
      format: "fanwire-smoke/1",
      at: new Date().toISOString(),
      revision,
      machine: `${cores} × ${cpu}`,
      ratios: now,
    };
    writeFileSync(options.baseline, `${JSON.stringify(written, undefined, 2)}\n`);
  }
  return [report(known ?? readBaseline(options.baseline), now, invalid)];
}

async function ratioOf(
  scenario: Scenario,
  args: readonly string[],
  { repetitions, subscribers }: Options,
): Promise<{ ratio: Ratio; marks: readonly string[] }> {
  const [table] = await scenario.run([
    ...args,
    `--repetitions=${repetitions}`,
    `--subscribers=${subscribers}`,
    ...["--servers=engine,bare", "--no-watch"],
  ]);
  const raw = table?.raw as { ratios: readonly Summary[]; windows: readonly Window[] } | undefined;
  const [first] = raw?.ratios ?? [];
  if (raw === undefined || first === undefined) throw new Error(`${scenario.name} told no ratio`);
  const { median, spread, runs } = first;
  return { ratio: { median, spread, runs, parts: partsOf(raw.windows) }, marks: table?.invalid ?? [] };
}

type Part = Pick<Window, "server" | "cpuMicros" | "systemShare" | "messagesPerFrame">;

/** undefined where windows are so short that no tick of /proc fell into the CPU of them. */
export function partsOf(windows: readonly Part[]): Ratio["parts"] {
  const of = (name: string, pick: (window: Part) => number): number =>
    summarize(windows.filter(({ server }) => server === name).map(pick)).median;
  const bare = of("bare", ({ cpuMicros }) => cpuMicros);
  const user = of("engine", ({ cpuMicros, systemShare }) => cpuMicros * (1 - systemShare)) / bare;
  const system = of("engine", ({ cpuMicros, systemShare }) => cpuMicros * systemShare) / bare;
  const messagesPerFrame = of("engine", (window) => window.messagesPerFrame);
  return Number.isFinite(user) ? { user, system, messagesPerFrame } : undefined;
}

/** @throws Error where there is none, or it does not fit. */
function readBaseline(file: string): Baseline {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    throw new Error(`there is no baseline at ${file}: --write makes one`);
  }
  const parsed = baselineSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new Error(`${file} is no baseline: ${z.prettifyError(parsed.error)}`);
}

/** What became of a ratio, and whether it is more than noise: in words. */
export function verdictOf(before: Ratio, now: Ratio): { change: number; worse: boolean; text: string } {
  const change = now.median / before.median - 1;
  const noise = Math.max(CHANGE_MIN, 3 * Math.hypot(errorOf(before), errorOf(now)));
  const moved = `${change >= 0 ? "+" : ""}${percent(change)}, noise up to ${percent(noise)}`;
  if (Math.abs(change) <= noise) return { change, worse: false, text: `as before (${moved})` };
  const worse = change > 0;
  return { change, worse, text: `${worse ? "WORSE" : "better"} (${moved})${whyOf(before, now)}` };
}

/** Standard error of the median of so many pairs, half of which lie within a spread, as a share. */
function errorOf({ spread, runs }: Ratio): number {
  return (1.253 * (spread / 0.6745)) / Math.sqrt(runs);
}

/** Where a change comes from: the engine's own code, the kernel's work for it, or how much goes into a frame. */
function whyOf({ parts: before }: Ratio, { parts: now }: Ratio): string {
  if (before === undefined || now === undefined) return "";
  const moved = (what: string, from: number, to: number): string => `${what} ${digits(from)} → ${digits(to)}`;
  return `: ${moved("in its own code", before.user, now.user)}, ${moved("in the kernel", before.system, now.system)} of bare, ${moved("messages a frame", before.messagesPerFrame, now.messagesPerFrame)}`;
}

function report(before: Baseline, now: Readonly<Record<string, Ratio>>, invalid: readonly string[]): Table {
  const verdicts = Object.entries(now).flatMap(([name, ratio]) => {
    const known = before.ratios[name];
    return known === undefined ? [] : [{ name, ratio, known, verdict: verdictOf(known, ratio) }];
  });
  const worse = verdicts.filter(({ verdict }) => verdict.worse);
  return {
    title: "Smoke: server CPU a delivery, engine ÷ bare uWebSockets.js",
    columns: ["work", "baseline", "now", "verdict"],
    rows: verdicts.map(({ name, ratio, known, verdict }) => [
      name,
      digits(known.median),
      `${digits(ratio.median)} ± ${percent(ratio.spread)}`,
      verdict.text,
    ]),
    notes: [`Baseline of ${before.at.slice(0, 10)}, ${before.revision}, ${before.machine}.`],
    // One way for all that makes a run fail: it is told, and the exit code is 1.
    invalid: [...invalid, ...worse.map(({ name, verdict }) => `REGRESSION: ${name} is ${verdict.text}`)],
    raw: { before, now },
  };
}
