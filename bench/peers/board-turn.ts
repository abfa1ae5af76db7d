import { Child } from "../support/child.js";
import { delay, hostMicros } from "../support/clock.js";
import { checkDescriptors } from "../support/descriptors.js";
import { Histogram } from "../support/histogram.js";
import { BadOption } from "../support/scenario.js";
import type { AudienceReply, AudienceRequest } from "./audience-agent.js";
import type { BoardApi } from "./board-client.js";
import { BOARDS, type Peer } from "./catalog.js";
import { Contestant } from "./contestant.js";
import { install } from "./install.js";
import { Market, type MarketPlan } from "./market.js";

const TICK_MS = 10;
const ASK_MS = 60_000;
const CONNECT_MS = 50_000;
const CAUGHT_UP_MS = 60_000;
/** Code is compiled and rooms are open before a window begins; no longer than the window is. */
const WARM_UP_SECONDS_MAX = 1;
const SERVER_CORE = 0;
const CLIENT_CORE = 1;

/** Who takes part in a board, and how its clients talk to it. */
export interface Contender {
  readonly name: string;
  readonly peer: Peer;
  readonly api: BoardApi;
}

/** What a market is like, and who watches it. */
export interface BoardWork {
  /** The slow ones included. */
  readonly clients: number;
  readonly symbols: number;
  /** A second, of all symbols together. */
  readonly updates: number;
  readonly watchMin: number;
  readonly watchMax: number;
  /** Share of the clients that hardly read. */
  readonly slow: number;
  /** Of an update. */
  readonly bytes: number;
  /** Length of a window, one without and one with clients. */
  readonly seconds: number;
  readonly seed: number;
  /** Server on core 0, clients on core 1. */
  readonly pin: boolean;
}

export interface BoardSeen {
  /** CPU of the server, µs a second of the market, without clients and with them; above 1,000,000 it gets behind. */
  readonly baseMicros: number;
  readonly loadedMicros: number;
  readonly microsPerClient: number;
  readonly deliveriesPerClient: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly clientBusy: number;
  /** Reads of a client a second: writes of the server, as far as it does not lag. */
  readonly readsPerClient: number;
}

/** @throws BadOption for a name that is none. */
export function contenderOf(name: string): Contender {
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

/** Starts a contender's server and its clients, has the market go on, and stops them. @throws Error that says what went wrong. */
export async function boardTurn(
  { peer, api }: Contender,
  cache: string,
  work: BoardWork,
): Promise<BoardSeen> {
  checkDescriptors(work.clients);
  const folder = await install(peer.name, peer.need, cache);
  const { clients, pin, seconds, slow, seed, symbols, watchMin, watchMax } = work;
  const market: MarketPlan = { seed, symbols, watchMin, watchMax };
  const server = await Contestant.start(peer, {
    folder,
    connections: clients,
    core: pin ? SERVER_CORE : undefined,
  });
  const audience = new Child<AudienceRequest, AudienceReply>("peers/audience-agent.js", {
    core: pin ? CLIENT_CORE : undefined,
    execArgv: ["--max-semi-space-size=16"],
  });
  const warmUp = Math.min(WARM_UP_SECONDS_MAX, seconds);
  const updates = new Updates(server, new Market(market), work);
  try {
    await updates.run(warmUp);
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
    await updates.run(warmUp);
    await seenBy(audience);
    // A server that is behind has its work still to do when the window is over: it counts.
    const loaded = await updates.cpuOf(seconds, () => caughtUp(audience, updates.market, before));
    const seen = await seenBy(audience);
    if (seen.failed > 0) throw new Error(`${seen.failed} failures: ${seen.failures.join("; ")}`);
    const latency = Histogram.from(seen.latencyMicros);
    const readers = clients - Math.floor(clients * slow);
    return {
      baseMicros: base,
      loadedMicros: loaded,
      microsPerClient: (loaded - base) / clients,
      deliveriesPerClient: seen.deliveries / readers / seconds,
      p50Micros: latency.quantile(0.5),
      p99Micros: latency.quantile(0.99),
      clientBusy: seen.busy,
      readsPerClient: seen.reads / readers / seconds,
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
  readonly #work: BoardWork;
  readonly market: Market;

  constructor(server: Contestant, market: Market, work: BoardWork) {
    this.#server = server;
    this.market = market;
    this.#work = work;
  }

  /** Hands over the updates of that many seconds, a batch every 10 ms. @throws Error where the server refuses one. */
  async run(seconds: number): Promise<void> {
    const { updates, bytes } = this.#work;
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
