/**
 * The market board, the load that users have: thousands of symbols of which few are busy, tens of thousands of updates a
 * second in all, each client watching some hundred symbols, a tenth of the clients slow. fanwire in its delivery classes
 * beside ws and Socket.IO as their users write it. What counts is the server's CPU a client: what it uses with the clients
 * less what it uses without them, for the same updates; and staleness: how old an update is when it arrives.
 *
 * Checked on every client that reads: no update comes twice or goes back, and in the end each has the last update of
 * every symbol that it watches.
 */

import type { AudienceReply, AudienceRequest } from "./peers/audience-agent.js";
import type { BoardApi } from "./peers/board-client.js";
import { BOARDS, type Peer } from "./peers/catalog.js";
import { Contestant } from "./peers/contestant.js";
import { cacheFolder, install } from "./peers/install.js";
import { Market, type MarketPlan, SYMBOLS_MAX } from "./peers/market.js";
import { Child } from "./support/child.js";
import { delay, hostMicros } from "./support/clock.js";
import { Histogram } from "./support/histogram.js";
import { digits, PartialResult, percent, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues } from "./support/scenario.js";
import { summarize } from "./support/statistics.js";
import { busyClient } from "./support/validity.js";

const OPTIONS = {
  boards: {
    default: "fanwire:10,fanwire:all,ws,socket.io",
    help: "who takes part: fanwire:RATE, fanwire:all, ws, socket.io",
  },
  clients: { default: 40, help: "clients, the slow ones included" },
  symbols: { default: 5_000, help: "symbols, at most 9,999" },
  updates: { default: 20_000, help: "updates a second of all symbols together" },
  "watch-min": { default: 50, help: "symbols that a client watches, at least" },
  "watch-max": { default: 500, help: "and at most" },
  slow: { default: 0.1, help: "share of the clients that hardly read" },
  bytes: { default: 100, help: "bytes of an update" },
  seconds: { default: 4, help: "length of a window, one without and one with clients" },
  rounds: { default: 3, help: "turns of each" },
  seed: { default: 1, help: "of the market" },
  pin: { default: true, help: "servers on core 0, clients on core 1" },
  cache: { default: "", help: "where peers are installed; default: the user's cache folder" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const board = defineScenario({
  name: "board",
  summary: "a market board: CPU a client and staleness, beside ws and Socket.IO",
  options: OPTIONS,
  run: measure,
});

const TICK_MS = 10;
const ASK_MS = 60_000;
const CONNECT_MS = 50_000;
const CAUGHT_UP_MS = 60_000;
/** Code is compiled and rooms are open before a window begins. */
const WARM_UP_SECONDS = 1;
const SERVER_CORE = 0;
const CLIENT_CORE = 1;

interface Contender {
  readonly name: string;
  readonly peer: Peer;
  readonly api: BoardApi;
}

interface Seen {
  readonly name: string;
  /** CPU of the server, µs a second of the market, without clients and with them; above 1,000,000 it gets behind. */
  readonly baseMicros: number;
  readonly loadedMicros: number;
  readonly microsPerClient: number;
  readonly deliveriesPerClient: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly clientBusy: number;
}

async function measure(options: Options): Promise<Table[]> {
  if (options.symbols < 1 || options.symbols > SYMBOLS_MAX)
    throw new BadOption(`--symbols: 1 to ${SYMBOLS_MAX}`);
  if (options["watch-min"] > options["watch-max"] || options["watch-max"] > options.symbols)
    throw new BadOption("--watch-min is at most --watch-max, and that at most --symbols");
  const contenders = options.boards.split(",").map(contenderOf);
  const cache = cacheFolder(options.cache);
  const all: Seen[] = [];
  const problems: string[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const contender of contenders) {
      try {
        const seen = await turn(contender, cache, options);
        progress(
          `${round}/${options.rounds} ${seen.name}: ${digits(seen.microsPerClient)} µs a client and second, p99 ${digits(seen.p99Micros / 1_000)} ms`,
        );
        all.push(seen);
      } catch (cause) {
        const why = `${contender.name}: ${cause instanceof Error ? cause.message : String(cause)}`;
        progress(why);
        problems.push(why);
      }
    }
  }
  if (all.length === 0) throw new Error(problems.join("; "));
  const table = report(options, contenders, all);
  if (problems.length > 0) throw new PartialResult([table], [...new Set(problems)].join("; "));
  return [table];
}

/** @throws BadOption for a name that is none. */
function contenderOf(name: string): Contender {
  const [kind = "", rate] = name.split(":");
  const peer = BOARDS.find((candidate) => candidate.name === kind);
  if (peer?.name === "fanwire" && rate !== undefined) {
    const hz = rate === "all" ? rate : Number(rate);
    if (hz === "all" || (Number.isFinite(hz) && hz > 0))
      return { name, peer, api: { kind: "fanwire", rate: hz } };
  }
  if (peer !== undefined && rate === undefined && (kind === "ws" || kind === "socket.io"))
    return { name, peer, api: { kind } };
  throw new BadOption(`--boards: "${name}" is none of fanwire:RATE, fanwire:all, ws, socket.io`);
}

async function turn({ name, peer, api }: Contender, cache: string, options: Options): Promise<Seen> {
  const folder = await install(peer.name, peer.need, cache);
  const { clients, pin, seconds, slow } = options;
  const market: MarketPlan = {
    seed: options.seed,
    symbols: options.symbols,
    watchMin: options["watch-min"],
    watchMax: options["watch-max"],
  };
  const server = await Contestant.start(peer, {
    folder,
    connections: clients,
    core: pin ? SERVER_CORE : undefined,
  });
  const audience = new Child<AudienceRequest, AudienceReply>("peers/audience-agent.js", {
    core: pin ? CLIENT_CORE : undefined,
    execArgv: ["--max-semi-space-size=16"],
  });
  const updates = new Updates(server, new Market(market), options);
  try {
    await updates.run(WARM_UP_SECONDS);
    const base = await updates.cpuOf(seconds);
    const plan = {
      port: server.port,
      localAddresses: ["127.9.2.1"],
      dialect: { api, market, slowShare: slow },
    };
    await audience.ask({ kind: "open", plan }, ASK_MS);
    const connected = await audience.ask({ kind: "connect", upTo: clients, deadlineMs: CONNECT_MS }, ASK_MS);
    if (connected.kind !== "connected" || connected.live < clients)
      throw new Error(`not all clients watch: ${JSON.stringify(connected)}`);
    const before = [...updates.market.updates];
    await updates.run(WARM_UP_SECONDS);
    await seenBy(audience);
    // A server that is behind has its work still to do when the window is over: it counts.
    const loaded = await updates.cpuOf(seconds, () => caughtUp(audience, updates.market, before));
    const seen = await seenBy(audience);
    if (seen.failed > 0) throw new Error(`${seen.failed} failures: ${seen.failures.join("; ")}`);
    const latency = Histogram.from(seen.latencyMicros);
    const readers = clients - Math.floor(clients * slow);
    return {
      name,
      baseMicros: base,
      loadedMicros: loaded,
      microsPerClient: (loaded - base) / clients,
      deliveriesPerClient: seen.deliveries / readers / seconds,
      p50Micros: latency.quantile(0.5),
      p99Micros: latency.quantile(0.99),
      clientBusy: seen.busy,
    };
  } finally {
    await Promise.all([audience.stop(), server.stop()]);
  }
}

async function seenBy(
  audience: Child<AudienceRequest, AudienceReply>,
): Promise<Extract<AudienceReply, { kind: "seen" }>["seen"]> {
  const reply = await audience.ask({ kind: "seen" }, ASK_MS);
  if (reply.kind !== "seen") throw new Error(`the audience answered ${reply.kind}`);
  return reply.seen;
}

/** @throws Error where somebody does not get the last update of a symbol that it watches. */
async function caughtUp(
  audience: Child<AudienceRequest, AudienceReply>,
  market: Market,
  before: readonly number[],
): Promise<void> {
  // Of a symbol that was quiet since they watch it they know nothing.
  const updates = Array.from(market.updates, (update, symbol) => (update === before[symbol] ? 0 : update));
  const endMs = performance.now() + CAUGHT_UP_MS;
  for (;;) {
    const reply = await audience.ask({ kind: "behind", updates }, ASK_MS);
    if (reply.kind !== "behind") throw new Error(`the audience answered ${reply.kind}`);
    if (reply.behind === 0) return;
    if (performance.now() > endMs)
      throw new Error(
        `${reply.behind} watched symbols do not stand at their last update after ${CAUGHT_UP_MS} ms`,
      );
    await delay(20);
  }
}

/** The market's updates on their way into a server, at an even rate, whatever becomes of them. */
class Updates {
  readonly #server: Contestant;
  readonly #options: Options;
  readonly market: Market;

  constructor(server: Contestant, market: Market, options: Options) {
    this.#server = server;
    this.market = market;
    this.#options = options;
  }

  /** Hands over the updates of that many seconds, a batch every 10 ms. @throws Error where the server refuses one. */
  async run(seconds: number): Promise<void> {
    const { updates, bytes } = this.#options;
    const startMicros = hostMicros();
    const batches = Math.max(1, Math.round((seconds * 1_000) / TICK_MS));
    const each = Math.max(1, Math.round((updates * TICK_MS) / 1_000));
    const sent: Promise<void>[] = [];
    for (let number = 0; number < batches; number++) {
      const dueMicros = startMicros + number * TICK_MS * 1_000;
      const waitMs = (dueMicros - hostMicros()) / 1_000;
      if (waitMs > 0) await delay(waitMs);
      const payloads = Array.from({ length: each }, () => this.market.next(dueMicros, bytes).payload);
      const one = this.#server.feed.send(payloads);
      // What goes wrong is told at the end.
      one.catch(() => {});
      sent.push(one);
    }
    await Promise.all(sent);
  }

  /** The same; what the server used until all was done, in µs a second of the market. */
  async cpuOf(seconds: number, done: () => Promise<void> = async () => {}): Promise<number> {
    const before = this.#server.cpu();
    await this.run(seconds);
    await done();
    return (this.#server.cpu().micros - before.micros) / seconds;
  }
}

function report(options: Options, contenders: readonly Contender[], all: readonly Seen[]): Table {
  const of = (name: string): Seen[] => all.filter((seen) => seen.name === name);
  const cost = (name: string): number =>
    summarize(of(name).map(({ microsPerClient }) => microsPerClient)).median;
  const measured = contenders.filter(({ name }) => of(name).length > 0);
  const [first] = measured;
  return {
    title: `Market board: ${digits(options.symbols)} symbols, ${digits(options.updates)} updates/s, ${options.clients} clients watching ${options["watch-min"]} to ${options["watch-max"]}, ${percent(options.slow)} slow`,
    columns: [
      "server",
      "CPU µs a client and second",
      "±",
      `× ${first?.name ?? ""}`,
      "of a core, no clients",
      "with clients",
      "updates/s a client",
      "staleness p50 ms",
      "p99 ms",
      "client busy",
    ],
    rows: measured.map(({ name, peer }) => {
      const own = of(name);
      const middle = (pick: (seen: Seen) => number): number => summarize(own.map(pick)).median;
      return [
        name === peer.name ? peer.label : `${peer.label}, rate ${name.split(":")[1]}`,
        digits(cost(name)),
        percent(summarize(own.map(({ microsPerClient }) => microsPerClient)).spread),
        digits(first === undefined ? Number.NaN : cost(name) / cost(first.name)),
        percent(middle(({ baseMicros }) => baseMicros / 1e6)),
        percent(middle(({ loadedMicros }) => loadedMicros / 1e6)),
        digits(middle(({ deliveriesPerClient }) => deliveriesPerClient)),
        digits(middle(({ p50Micros }) => p50Micros) / 1_000),
        digits(middle(({ p99Micros }) => p99Micros) / 1_000),
        percent(middle(({ clientBusy }) => clientBusy)),
      ];
    }),
    notes: [
      `Medians of ${options.rounds} turns. CPU a client: what the server uses with the clients less what it uses without them, over their number; of all its processes.`,
      "No update came twice or went back; in the end every client that reads had the last update of every symbol that it watches. With a rate, older updates of a symbol give way to newer ones.",
    ],
    invalid: measured.flatMap(({ name }) =>
      busyClient(summarize(of(name).map(({ clientBusy }) => clientBusy)).median).map(
        (what) => `${name}: ${what}`,
      ),
    ),
    raw: all,
  };
}
