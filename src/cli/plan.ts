import { readFileSync, writeFileSync } from "node:fs";
import type { Wish } from "../bench/planner/plan.js";
import { parseFlags } from "./flags.js";
import { type Command, Failure, UsageError } from "./io.js";

const HELP = `Says how many boxes a feed needs, and which limit binds first, from what things cost on a machine that was measured.

  fanwire calibrate                         first: takes the prices, some 4 minutes
  fanwire plan --connections 250000 --rooms-per-client 40 --rooms 5000 --updates 15000 --rate 20

What is to be served:
  --connections N          clients that are connected at once (needed)
  --updates N              messages published a second, all rooms together (needed)
  --rooms-per-client N     default 1
  --rooms N                rooms in all, evenly shared; default: as many as a client has
  --rate HZ                delivery class: the latest of each key so often a second, or all; default all
  --batch N                messages that are published at once, as a feed does; default 1
  --bytes N                of a message's data; default 100
On what:
  --cores N                of a box; default 8
  --memory-gib N           default 16
  --nic-gbit N             default 10
  --utilization SHARE      of cores, memory and NIC while all boxes are up; default 0.6
  --lost N                 boxes that may fail at once, the others carrying all; default 1
  --back-seconds N         within which the clients of the boxes lost are back; default 60
  --calibration FILE       default: where "fanwire calibrate" put it
  --json                   for programs
  --html FILE              writes a page with plots, too: deliveries against connections, cost, memory, what binds

The model: CPU = writes, messages, bytes, messages taken in, and connections held, each at its price. Rooms and times of
updates are taken as even; a box's cores as like those measured. It says what it may be off by.

Exit codes: 0 a plan, 1 there is none or no calibration, 2 wrong arguments.
`;

const NUMBERS = {
  connections: { min: 1 },
  updates: { min: 0 },
  "rooms-per-client": { min: 1, default: 1 },
  rooms: { min: 1 },
  batch: { min: 1, default: 1 },
  bytes: { min: 1, default: 100 },
  cores: { min: 1, default: 8 },
  "memory-gib": { min: 0.1, default: 16 },
  "nic-gbit": { min: 0.001, default: 10 },
  utilization: { min: 0.01, max: 1, default: 0.6 },
  lost: { min: 0, default: 1 },
  "back-seconds": { min: 1, default: 60 },
} as const;
type NumberName = keyof typeof NUMBERS;

export const plan: Command = {
  name: "plan",
  summary: "say how many boxes a feed needs, and what binds first",
  help: () => HELP,
  run: async (args, io) => {
    const flags = flagsOf(args);
    const wish = wishOf(flags);
    const { calibrationFile, parseCalibration } = await import("../bench/planner/calibration.js");
    const { planFor } = await import("../bench/planner/plan.js");
    const { planText } = await import("../bench/planner/plan-text.js");
    const file = flags.calibration ?? calibrationFile(io.env);
    const calibration = parse(file, parseCalibration);
    let answer: ReturnType<typeof planFor>;
    try {
      answer = planFor(wish, calibration);
    } catch (cause) {
      if (cause instanceof RangeError) throw new Failure(cause.message);
      throw cause;
    }
    const text =
      flags.json === true
        ? `${JSON.stringify({ wish, plan: answer, calibration }, undefined, 2)}\n`
        : planText(wish, answer, calibration);
    if (flags.html !== undefined) {
      const { planPage } = await import("../bench/planner/report.js");
      write(flags.html, planPage(wish, answer, calibration, `fanwire plan ${args.join(" ")}`));
    }
    io.stdout.write(text);
    return 0;
  },
};

type Flags = ReturnType<typeof flagsOf>;

function flagsOf(args: readonly string[]) {
  const { values, positionals } = parseFlags(args, {
    ...(Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, { type: "string" }])) as Record<
      NumberName,
      { type: "string" }
    >),
    rate: { type: "string" },
    calibration: { type: "string" },
    json: { type: "boolean" },
    html: { type: "string" },
  });
  if (positionals.length > 0) throw new UsageError(`${JSON.stringify(positionals[0])} is no flag`);
  return values;
}

/** @throws UsageError that names the flag. */
function wishOf(flags: Flags): Wish {
  const roomsPerClient = numberOf(flags, "rooms-per-client");
  const rooms = flags.rooms === undefined ? roomsPerClient : numberOf(flags, "rooms");
  if (rooms < roomsPerClient) throw new UsageError("--rooms is at least --rooms-per-client");
  return {
    connections: numberOf(flags, "connections"),
    updates: numberOf(flags, "updates"),
    roomsPerClient,
    rooms,
    batch: numberOf(flags, "batch"),
    rate: rateOf(flags.rate),
    bytes: numberOf(flags, "bytes"),
    cores: numberOf(flags, "cores"),
    memoryGiB: numberOf(flags, "memory-gib"),
    nicGbit: numberOf(flags, "nic-gbit"),
    utilization: numberOf(flags, "utilization"),
    lost: numberOf(flags, "lost"),
    backSeconds: numberOf(flags, "back-seconds"),
  };
}

function numberOf(flags: Flags, name: NumberName): number {
  const bounds: { min: number; max?: number; default?: number } = NUMBERS[name];
  const text = flags[name];
  if (text === undefined) {
    if (bounds.default !== undefined) return bounds.default;
    throw new UsageError(`--${name} is needed`);
  }
  const value = Number(text);
  const max = bounds.max ?? 1e12;
  if (text.trim() !== "" && value >= bounds.min && value <= max) return value;
  throw new UsageError(`--${name} is ${JSON.stringify(text)}, not a number from ${bounds.min} to ${max}`);
}

function rateOf(text: string | undefined): number | "all" {
  if (text === undefined || text === "all") return "all";
  const value = Number(text);
  if (text.trim() !== "" && value >= 0.1 && value <= 200) return value;
  throw new UsageError(`--rate is ${JSON.stringify(text)}, neither all nor 0.1 to 200`);
}

/** @throws Failure that names the file. */
function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (cause) {
    throw new Failure(`--html ${file}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function parse<T>(file: string, read: (text: string) => T): T {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    throw new Failure(`there is no calibration at ${file}: "fanwire calibrate" makes one`);
  }
  try {
    return read(text);
  } catch (cause) {
    throw new Failure(`${file}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}
