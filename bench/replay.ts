/**
 * Replay: how fast clients that were away get what they missed. All clients lose their connections, messages are
 * published meanwhile, then all come back at once and resume after their positions. Twice: with rings that reach back,
 * and, for the engine that this starts itself, with rings so short that every resume reads the broker's history
 * (clients that ask for the same share one read).
 */
import { Fleet } from "./fleet/fleet.js";
import type { Tally } from "./fleet/tally.js";
import { clientBound, troubles } from "./fleet/tally.js";
import { hostMicros } from "./support/clock.js";
import { ServerProcess } from "./support/contest.js";
import { checkWorkers } from "./support/descriptors.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { Publisher } from "./support/publisher.js";
import { digits, PartialResult, percent, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import { summarize } from "./support/statistics.js";

const OPTIONS = {
  clients: { default: 1_000, help: "clients that come back at once" },
  missed: { default: 500, help: "messages that each of them missed, at most what the engine keeps (1,000)" },
  bytes: { default: 100, help: "bytes of a message's data" },
  repetitions: { default: 3, help: "times that they are lost and come back" },
  url: { default: "", help: "an engine that runs, such as http://127.0.0.1:9001" },
  "node-args": { default: shippedNodeArgs(), help: "arguments of node for the engine" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const replay = defineScenario({
  name: "replay",
  summary: "clients come back and get what they missed: messages a second, CPU, time until all have it",
  options: OPTIONS,
  run: measure,
});

const PACE = { perSecond: 1_000_000, inFlight: 1_000 };
const CONNECT_MS = 60_000;
const CATCH_UP_MS = 60_000;
const POLL_MS = 10;
const BATCH_MAX = 100;
/** Shorter than any backlog that is worth measuring. */
const SHORT_RING = ["--limits.ring-messages=1"];

interface Comeback {
  readonly from: string;
  readonly replayed: number;
  /** From the moment that they may come back until all have everything. */
  readonly millis: number;
  readonly cpuMicros: number;
  /** From the loss of a connection to its room's `live`, less the time that nobody may come back. */
  readonly p99Micros: number;
  readonly messagesPerFrame: number;
  readonly clientBusy: number;
}

async function measure(options: Options): Promise<Table[]> {
  if (options.missed < 1 || options.clients < 1)
    throw new BadOption("--missed and --clients: at least 1 each");
  const execArgv = splitArgs(options["node-args"]);
  if (options.url === "") checkWorkers(options.clients, 1);
  const all: Comeback[] = [];
  const kinds =
    options.url === ""
      ? [
          { from: "the ring", args: [] },
          { from: "history", args: SHORT_RING },
        ]
      : [{ from: "as it is set", args: [] }];
  try {
    for (const { from, args } of kinds) {
      const server =
        options.url === ""
          ? await ServerProcess.start("engine", { pin: true, execArgv, args })
          : await ServerProcess.at(options.url);
      try {
        await comebacks(server, from, options, all);
      } finally {
        await server.stop();
      }
    }
  } catch (cause) {
    if (all.length === 0) throw cause;
    throw new PartialResult([report(options, all)], cause);
  }
  return [report(options, all)];
}

async function comebacks(
  server: ServerProcess,
  from: string,
  { clients, missed, bytes, repetitions }: Options,
  all: Comeback[],
): Promise<void> {
  const fleet = Fleet.local(clients, 0);
  const { host, port } = server;
  const publisher = new Publisher(1, { host, port, bytes });
  try {
    await fleet.connect({
      ...{ host, port, connections: clients, answerMs: CONNECT_MS, pingMs: 20_000, pace: PACE },
      rooms: { rooms: 1, roomsEach: 1, shared: true },
    });
    await everybodyLive(fleet, clients);
    // So that every client has a position.
    await publisher.publish({ room: 0, dueMicros: Number.NaN }, 1);
    await caughtUp(fleet, publisher);
    for (let round = 0; round <= repetitions; round++) {
      await fleet.hold();
      await fleet.cut(clients);
      for (let left = missed; left > 0; left -= BATCH_MAX)
        await publisher.publish({ room: 0, dueMicros: Number.NaN }, Math.min(left, BATCH_MAX));
      await fleet.phase();
      const cpuBefore = server.cpu();
      const startMicros = hostMicros();
      await fleet.setPace(PACE);
      await everybodyLive(fleet, clients);
      await caughtUp(fleet, publisher);
      const millis = (hostMicros() - startMicros) / 1_000;
      const cpuAfter = server.cpu();
      const { all: tally } = await fleet.phase();
      check(tally, clients, missed);
      const replayed = tally.counts.replayed;
      const micros =
        cpuBefore === undefined || cpuAfter === undefined ? Number.NaN : cpuAfter.micros - cpuBefore.micros;
      progress(`${round}/${repetitions} from ${from}: ${digits(replayed)} messages in ${digits(millis)} ms`);
      if (round === 0) continue;
      all.push({
        from,
        replayed,
        millis,
        cpuMicros: micros / replayed,
        p99Micros: tally.handshakeMicros.quantile(0.99),
        messagesPerFrame: replayed / tally.counts.frames,
        clientBusy: tally.busiest,
      });
    }
  } finally {
    publisher.close();
    await fleet.stop();
  }
}

/** @throws Error unless everybody was recovered and got all that there was. */
function check(tally: Tally, clients: number, missed: number): void {
  const found = troubles(tally);
  const { replayed, recovered } = tally.counts;
  if (recovered !== clients) found.push(`${recovered} of ${clients} were recovered`);
  if (replayed !== clients * missed) found.push(`${replayed} of ${clients * missed} messages were replayed`);
  if (found.length > 0) throw new Error(found.join("; "));
}

async function everybodyLive(fleet: Fleet, clients: number): Promise<void> {
  const { states } = await fleet.until(({ states: now }) => now.live === clients, CONNECT_MS, {
    pollMs: POLL_MS,
  });
  if (states.live < clients) throw new Error(`${states.live} of ${clients} are live after ${CONNECT_MS} ms`);
}

async function caughtUp(fleet: Fleet, publisher: Publisher): Promise<void> {
  const { behind } = await fleet.until((status) => status.behind === 0, CATCH_UP_MS, {
    heads: () => publisher.heads,
    pollMs: POLL_MS,
  });
  if (behind > 0) throw new Error(`${behind} clients did not catch up within ${CATCH_UP_MS} ms`);
}

function report({ clients, missed, bytes, repetitions }: Options, all: readonly Comeback[]): Table {
  const kinds = [...new Set(all.map(({ from }) => from))];
  return {
    title: `Replay: ${digits(clients)} clients come back at once, ${digits(missed)} messages of ${bytes} bytes each`,
    columns: [
      "from",
      "until all have all, ms",
      "±",
      "messages/s",
      "CPU µs/message",
      "messages/frame",
      "handshake p99 ms",
      "client busy",
    ],
    rows: kinds.map((kind) => {
      const own = all.filter(({ from }) => from === kind);
      const middle = (pick: (one: Comeback) => number): number => summarize(own.map(pick)).median;
      const millis = summarize(own.map((one) => one.millis));
      return [
        kind,
        digits(millis.median),
        percent(millis.spread),
        digits(middle((one) => (one.replayed / one.millis) * 1_000)),
        digits(middle((one) => one.cpuMicros)),
        digits(middle((one) => one.messagesPerFrame)),
        digits(middle((one) => one.p99Micros) / 1_000),
        percent(middle((one) => one.clientBusy)),
      ];
    }),
    notes: [
      `Medians of ${repetitions} times. The clock runs from the moment that clients may come back; their backoff of up to 0.5 s, handshakes and subscribing are in it and in the CPU.`,
      "Every message was checked by offset: none missing, doubled or out of order; every resume was recovered.",
    ],
    // Clients that are busy all the time are what is meant here: the time is then that of both sides.
    invalid: clientBound({ busiest: summarize(all.map((one) => one.clientBusy)).median }),
    raw: all,
  };
}
