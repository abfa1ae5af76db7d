/**
 * What patterns of rooms cost: ns to find those of many that mean a message's room, in the tree that hub and worker use, beside one
 * comparison a pattern. Rooms and patterns are those of a fleet of sensors: sites, devices, readings.
 */
import { PatternIndex } from "../core/pattern-index.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { matchesRoom, parsePattern, type RoomPattern } from "../protocol/room-pattern.js";
import { digits, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";
import { type Summary, summarize } from "./support/statistics.js";

const OPTIONS = {
  rounds: { default: 9, help: "rounds of all sizes in turn" },
  calls: { default: 200_000, help: "lookups of a round" },
} as const;

export const patterns = defineScenario({
  name: "patterns",
  summary: "ns to find the patterns that mean a room, of 10 to 10,000",
  options: OPTIONS,
  run: measure,
});

const SIZES = [10, 1_000, 10_000];
const SITES = 500;
const DEVICES = 40;
const READINGS = ["temp", "humidity", "power", "state"] as const;
/** Comparisons of a round of the other way, whatever the number of patterns. */
const COMPARISONS = 2_000_000;

interface Task {
  readonly name: string;
  readonly size: number;
  readonly calls: number;
  readonly run: (room: RoomName) => number;
}

function measure({ rounds, calls }: OptionValues<typeof OPTIONS>): Promise<Table[]> {
  const rooms = Array.from({ length: 4_096 }, (_, n) => roomOf(n * 7_919));
  const tasks = SIZES.flatMap((size) => tasksOf(size, calls));
  const samples = new Map<Task, number[]>(tasks.map((task) => [task, []]));
  for (let round = 0; round <= rounds; round += 1)
    for (const task of tasks) {
      const nanos = nanosOf(task, rooms);
      // The first round only warms up.
      if (round > 0) samples.get(task)?.push(nanos);
    }
  return Promise.resolve([
    report(tasks.map((task) => ({ task, nanos: summarize(samples.get(task) ?? []) }))),
  ]);
}

function tasksOf(size: number, calls: number): Task[] {
  const all = Array.from({ length: size }, (_, n) => patternOf(n));
  const index = new PatternIndex<RoomPattern>();
  for (const pattern of all) index.set(pattern, pattern);
  return [
    { name: "tree", size, calls, run: (room) => index.match(room).length },
    {
      name: "one by one",
      size,
      calls: Math.ceil(COMPARISONS / size),
      run: (room) => {
        let found = 0;
        for (const pattern of all) if (matchesRoom(pattern, room)) found += 1;
        return found;
      },
    },
  ];
}

function nanosOf({ calls, run, name }: Task, rooms: readonly RoomName[]): number {
  const sinceNs = process.hrtime.bigint();
  let found = 0;
  for (let call = 0; call < calls; call += 1) {
    const room = rooms[call & (rooms.length - 1)];
    if (room !== undefined) found += run(room);
  }
  const nanos = Number(process.hrtime.bigint() - sinceNs) / calls;
  if (found === 0) throw new Error(`${name} found nothing`);
  return nanos;
}

function roomOf(n: number): RoomName {
  return parseRoom(`telemetry.site${n % SITES}.device${Math.floor(n / SITES) % DEVICES}.${readingOf(n)}`);
}

/** One site, one device anywhere, or one reading of a site: two to three of 10,000 mean a room. */
function patternOf(n: number): RoomPattern {
  const [site, device] = [n % SITES, Math.floor(n / SITES) % DEVICES];
  if (n % 4 === 0) return parsePattern(`telemetry.site${site}.>`);
  if (n % 4 === 1) return parsePattern(`telemetry.*.device${device}.${readingOf(n)}`);
  if (n % 4 === 2) return parsePattern(`telemetry.site${site}.*.${readingOf(n)}`);
  return parsePattern(`telemetry.site${site}.device${device}.*`);
}

function readingOf(n: number): string {
  return READINGS[n % READINGS.length] ?? "temp";
}

function report(results: readonly { task: Task; nanos: Summary }[]): Table {
  return {
    title: "Patterns: ns to find those that mean a room",
    columns: ["patterns", "way", "ns"],
    rows: results.map(({ task, nanos }) => [String(task.size), task.name, digits(nanos.median)]),
    notes: ["Each lookup makes a list of what it found; 4,096 rooms in turn."],
    raw: results.map(({ task, nanos }) => ({ name: task.name, size: task.size, nanos })),
  };
}
