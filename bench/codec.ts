/**
 * The codec by itself: ns for a message's frame to be encoded, a client's publish to be decoded (checked against all
 * limits) and a message to be decoded by a client, beside JSON and plain @msgpack/msgpack on the same arrays. The
 * engine splices data as bytes where the others build or read it; that is the point of it, and part of the number.
 *
 * Tasks take turns in short rounds and each sample is a batch of calls, so that neither drift nor the clock shows.
 */
import { decode, encode } from "@msgpack/msgpack";
import { Bench, hrtimeNow } from "tinybench";
import { decodeFrames } from "../client/wire.js";
import { DEFAULT_LIMITS } from "../core/limits.js";
import { createMessage } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { msgpackWire } from "../protocol/wire.js";
import { digits, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";
import { type Summary, summarize } from "./support/statistics.js";

const OPTIONS = {
  rounds: { default: 9, help: "rounds of all tasks in turn" },
  "round-ms": { default: 60, help: "time of a task in a round" },
} as const;

export const codec = defineScenario({
  name: "codec",
  summary: "ns to encode and decode frames, against JSON and plain @msgpack/msgpack",
  options: OPTIONS,
  run: measure,
});

/** Calls in one sample: long against the clock's cost, short against a pause of the collector. */
const BATCH = 200;
const NANOS_PER_MS = 1_000_000;

const ROOM = parseRoom("stocks.nasdaq.AAPL");
const OFFSET = 1_234_567;
const TIME = 1_760_000_000_000;

/** What a market feed sends for one trade. */
const QUOTE = {
  symbol: "AAPL",
  price: 189.98,
  size: 200,
  bid: 189.97,
  bidSize: 300,
  ask: 189.99,
  askSize: 100,
  volume: 48_291_377,
  change: -0.0042,
  venue: "XNAS",
  time: TIME,
} as const;

interface Payload {
  readonly name: string;
  /** As an application holds it. */
  readonly value: unknown;
  /** What stands for it in JSON, which has no bytes. */
  readonly jsonValue: unknown;
}

interface Task {
  readonly group: string;
  readonly name: string;
  readonly run: () => unknown;
}

async function measure(options: OptionValues<typeof OPTIONS>): Promise<Table[]> {
  const bytes = Buffer.alloc(100, "fanwire-");
  const tasks = [
    ...tasksOf({ name: "100 bytes", value: new Uint8Array(bytes), jsonValue: bytes.toString("base64") }),
    ...tasksOf({ name: "quote", value: QUOTE, jsonValue: QUOTE }),
  ];
  const samples = new Map<Task, number[]>(tasks.map((task) => [task, []]));
  for (let round = 0; round <= options.rounds; round++) {
    for (const task of tasks) {
      const nanos = await nanosOf(task, options["round-ms"]);
      if (round > 0) samples.get(task)?.push(nanos); // the first round only warms up
    }
    progress(`round ${round}/${options.rounds}`);
  }
  return [report(tasks.map((task) => ({ task, nanos: summarize(samples.get(task) ?? []) })))];
}

function tasksOf({ name, value, jsonValue }: Payload): Task[] {
  const data = encode(value);
  const fields = { room: ROOM, offset: OFFSET, prev: OFFSET - 1, time: TIME, data };
  const message = [19, ROOM, OFFSET, OFFSET - 1, TIME, value];
  const messageJson = [19, ROOM, OFFSET, OFFSET - 1, TIME, jsonValue];
  const publish = [3, 77, ROOM, value];
  const publishJson = [3, 77, ROOM, jsonValue];
  const { frame } = createMessage(fields);
  const request = encode(publish);
  const [frameText, requestText] = [JSON.stringify(messageJson), JSON.stringify(publishJson)];
  const encodeGroup = `encode a message, ${name}`;
  const publishGroup = `decode a publish, ${name}`;
  const decodeGroup = `decode a message, ${name}`;
  return [
    { group: encodeGroup, name: "fanwire", run: () => createMessage(fields) },
    { group: encodeGroup, name: "@msgpack/msgpack", run: () => encode(message) },
    { group: encodeGroup, name: "JSON", run: () => JSON.stringify(messageJson) },
    { group: publishGroup, name: "fanwire", run: () => msgpackWire.decode(request, DEFAULT_LIMITS) },
    { group: publishGroup, name: "@msgpack/msgpack", run: () => decode(request) },
    { group: publishGroup, name: "JSON", run: () => JSON.parse(requestText) },
    { group: decodeGroup, name: "fanwire", run: () => decodeFrames(frame) },
    { group: decodeGroup, name: "@msgpack/msgpack", run: () => decode(frame) },
    { group: decodeGroup, name: "JSON", run: () => JSON.parse(frameText) },
  ];
}

/** The median batch of one round, a call's share of it. */
async function nanosOf(task: Task, timeMs: number): Promise<number> {
  const bench = new Bench({ time: timeMs, warmup: false, now: hrtimeNow, throws: true });
  let kept: unknown;
  bench.add(task.name, () => {
    for (let call = 0; call < BATCH; call++) kept = task.run();
  });
  const [ran] = await bench.run();
  // Whatever the last call made is looked at, so that no call can be optimized away.
  if (kept === undefined) throw new Error(`${task.group}, ${task.name} made nothing`);
  if (ran?.result.state !== "completed") throw new Error(`${task.group}, ${task.name} did not complete`);
  return (ran.result.latency.p50 * NANOS_PER_MS) / BATCH;
}

function report(results: readonly { task: Task; nanos: Summary }[]): Table {
  const names = [...new Set(results.map(({ task }) => task.name))];
  const groups = [...new Set(results.map(({ task }) => task.group))];
  const cell = (group: string, name: string): string => {
    const found = results.find(({ task }) => task.group === group && task.name === name);
    return found === undefined ? "" : `${digits(found.nanos.median)} ±${percent(found.nanos.spread)}`;
  };
  return {
    title: "Codec: ns a call",
    columns: ["", ...names],
    rows: groups.map((group) => [group, ...names.map((name) => cell(group, name))]),
    notes: [
      "fanwire encodes around data that are bytes already, and checks a publish against every limit without building its data.",
      "A client's decode of a message builds its data in all three. JSON carries the 100 bytes as base64 and leaves it undecoded.",
      `Medians of ${results[0]?.nanos.runs ?? 0} rounds in turn; ± is half the quartile distance.`,
    ],
    raw: results.map(({ task, nanos }) => ({ group: task.group, name: task.name, nanos })),
  };
}
