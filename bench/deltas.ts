/**
 * Deltas: what conflated classes would save if they sent the changed fields of a key alone, on the demo's market feed, and what
 * that would cost. Real quotes go through windows as a class does it: the latest of every key, against the one sent before.
 * The engine splices data that it never reads; for a delta it would decode every value, compare and encode, which is the CPU here.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decode, encode } from "@msgpack/msgpack";
import { PAIRS } from "../feed/pairs.js";
import { parseRates } from "../feed/rates.js";
import { Replay } from "../feed/replay.js";
import { createMessage } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { digits, percent, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues } from "./support/scenario.js";
import { summarize } from "./support/statistics.js";

const OPTIONS = {
  quotes: { default: 50_000, help: "quotes of the feed, in their order" },
  rate: { default: 500, help: "of these a second, as the demo sends them" },
  rates: { default: "30,10,4,1", help: "hertz of the classes" },
  rounds: { default: 5, help: "of timing both ways of making a message, in turn" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

const RATES_FILE = fileURLToPath(new URL("../../src/feed/h10-rates.csv", import.meta.url));
const ROOM = parseRoom("market.fx");
const TIME = 1_760_000_000_000;
/** The rule that was set before it was measured. */
const BYTES_SAVED_MIN = 0.4;
const CPU_MORE_MAX = 0.2;

export const deltas = defineScenario({
  name: "deltas",
  summary: "what sending changed fields alone would save on a market feed, and cost",
  options: OPTIONS,
  run: async (options) => measure(options),
});

type Fields = Readonly<Record<string, unknown>>;

/** A value that a class sends, and the one of its key that it sent before. */
interface Sent {
  readonly key: string;
  readonly data: Uint8Array;
  readonly before: Uint8Array | undefined;
}

function measure({ quotes, rate, rates, rounds }: Options): Table[] {
  const classes = rates.split(",").map(Number);
  if (!classes.every((hertz) => hertz > 0))
    throw new BadOption(`--rates ${rates}: hertz, separated by commas`);
  const results = classes.map((hertz) => {
    const sent = conflated(quotes, rate, hertz);
    const full = sum(sent.map(fullBytes));
    const delta = sum(sent.map((one) => Math.min(fullBytes(one), deltaBytes(one))));
    const times = Array.from(
      { length: rounds },
      () => [nanos(sent, fullBytes), nanos(sent, deltaBytes)] as const,
    );
    const more = summarize(times.map(([plain, compared]) => compared / plain - 1)).median;
    return { hertz, messages: sent.length, full, delta, saved: 1 - delta / full, more };
  });
  const pays = results.every(({ saved, more }) => saved >= BYTES_SAVED_MIN && more <= CPU_MORE_MAX);
  return [
    {
      title: `Deltas: ${digits(quotes)} quotes of the market feed, ${rate} a second`,
      columns: [
        "class",
        "messages",
        "bytes a message",
        "with changed fields alone",
        "bytes saved",
        "CPU of making it",
      ],
      rows: results.map(({ hertz, messages, full, delta, saved, more }) => [
        `${hertz} Hz`,
        digits(messages),
        digits(full / messages),
        digits(delta / messages),
        percent(saved),
        `+${percent(more)}`,
      ]),
      notes: [
        "Bytes of whole messages (room, offset, time, key and data); where a delta would be longer, the value as it is.",
        `Worth it from ${percent(BYTES_SAVED_MIN)} fewer bytes at ${percent(CPU_MORE_MAX)} more CPU: it ${pays ? "pays" : "does not pay"}.`,
      ],
      raw: results,
    },
  ];
}

/** What a class of so many hertz sends of the feed: in each window the latest of every key. */
function conflated(quotes: number, perSecond: number, hertz: number): Sent[] {
  const replay = new Replay(parseRates(readFileSync(RATES_FILE, "utf8")), PAIRS);
  const before = new Map<string, Uint8Array>();
  const sent: Sent[] = [];
  let window = new Map<string, Uint8Array>();
  let windowEnds = perSecond / hertz;
  for (let count = 0; count < quotes; count += 1) {
    if (count >= windowEnds) {
      for (const [key, data] of window) {
        sent.push({ key, data, before: before.get(key) });
        before.set(key, data);
      }
      window = new Map();
      windowEnds += perSecond / hertz;
    }
    const { symbol, ...quote } = replay.next();
    window.set(symbol, encode(quote));
  }
  return sent;
}

const frameOf = (key: string, data: Uint8Array): number =>
  createMessage({ room: ROOM, offset: 1_234_567, prev: 1_234_560, time: TIME, data, key }).frame.length;

function fullBytes({ key, data }: Sent): number {
  return frameOf(key, data);
}

function deltaBytes({ key, data, before }: Sent): number {
  if (before === undefined) return frameOf(key, data);
  const [from, to] = [decode(before) as Fields, decode(data) as Fields];
  const changed = Object.fromEntries(Object.entries(to).filter(([name, value]) => from[name] !== value));
  return frameOf(key, encode(changed));
}

function nanos(sent: readonly Sent[], make: (one: Sent) => number): number {
  const began = process.hrtime.bigint();
  sum(sent.map(make));
  return Number(process.hrtime.bigint() - began) / sent.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
