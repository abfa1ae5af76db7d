import { Child } from "../support/child.js";
import { delay, hostMicros } from "../support/clock.js";
import { checkDescriptors } from "../support/descriptors.js";
import { Histogram } from "../support/histogram.js";
import { summarize } from "../support/statistics.js";
import type { AudiencePlan, AudienceSeen } from "./audience.js";
import type { AudienceReply, AudienceRequest } from "./audience-agent.js";
import type { Peer } from "./catalog.js";
import { Contestant } from "./contestant.js";
import { payloadOf } from "./payload.js";

export interface BoutOptions {
  readonly subscribers: number;
  /** Messages at once; 1 is published at an even rate, more when everybody has the burst before. */
  readonly bursts: readonly number[];
  /** Length of a window for each of them. */
  readonly seconds: number;
  /** Deliveries a second while single messages are published. */
  readonly deliveriesPerSecond: number;
  /** Bytes of a message. */
  readonly bytes: number;
  /** Servers on core 0, subscribers on core 1. */
  readonly pin: boolean;
}

/** What one kind of work cost. */
export interface WorkSeen {
  readonly burst: number;
  readonly deliveries: number;
  /** The server's CPU a delivery, all of its processes, taking the messages in included. */
  readonly cpuMicros: number;
  readonly systemShare: number;
  readonly readsPerDelivery: number;
  readonly bytesPerDelivery: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly maxMicros: number;
  /** Median time from a batch's due time until its last delivery. Of bursts only. */
  readonly lastMicros: number | undefined;
  /** Share of the time that the subscribers' process was busy. */
  readonly clientBusy: number;
}

export interface BoutSeen {
  readonly works: readonly WorkSeen[];
  /** RSS of the idle server, and how much it grows a connection. */
  readonly emptyBytes: number;
  readonly bytesEach: number;
}

const SERVER_CORE = 0;
const CLIENT_CORE = 1;
/** These connect first, so that code, pools and tables that any connection needs are there before. */
const FIRST_CONNECTIONS = 500;
const CONNECT_MS = 120_000;
const ASK_MS = 130_000;
/** After the last message of a window, and for a burst of the slowest server. */
const REACH_MS = 60_000;
const REST_MS = 150;
const SETTLE_MS = 400;
const BURSTS_MAX = 200;
const CONNECTIONS_PER_ADDRESS = 4_000;

/** Starts a peer's server and its subscribers, has all the work done, and stops them. @throws Error that says what went wrong. */
export async function bout(peer: Peer, folder: string, options: BoutOptions): Promise<BoutSeen> {
  const { subscribers, pin } = options;
  checkDescriptors(subscribers);
  const server = await Contestant.start(peer, {
    folder,
    connections: subscribers,
    core: pin ? SERVER_CORE : undefined,
  });
  const audience = new Child<AudienceRequest, AudienceReply>("peers/audience-agent.js", {
    core: pin ? CLIENT_CORE : undefined,
    execArgv: ["--max-semi-space-size=16"],
  });
  try {
    const run = new Run(server, audience, options);
    return await run.all(peer);
  } finally {
    await Promise.all([audience.stop(), server.stop()]);
  }
}

class Run {
  readonly #server: Contestant;
  readonly #audience: Child<AudienceRequest, AudienceReply>;
  readonly #options: BoutOptions;
  /** Number of the last message. */
  #head = 0;

  constructor(server: Contestant, audience: Child<AudienceRequest, AudienceReply>, options: BoutOptions) {
    this.#server = server;
    this.#audience = audience;
    this.#options = options;
  }

  async all(peer: Peer): Promise<BoutSeen> {
    const { subscribers, bursts } = this.#options;
    const emptyBytes = this.#server.residentBytes();
    const first = Math.min(FIRST_CONNECTIONS, Math.ceil(subscribers / 2));
    await this.#open(peer);
    await this.#connect(first);
    await delay(SETTLE_MS);
    const before = this.#server.residentBytes();
    await this.#connect(subscribers);
    await delay(SETTLE_MS);
    const bytesEach = (this.#server.residentBytes() - before) / (subscribers - first);
    for (const burst of [1, 1, 1, Math.min(32, Math.max(...bursts))]) await this.#burst(burst);
    const works: WorkSeen[] = [];
    for (const burst of bursts) works.push(await this.#work(burst));
    return { works, emptyBytes, bytesEach };
  }

  async #open({ dialect }: Peer): Promise<void> {
    const addresses = Math.ceil(this.#options.subscribers / CONNECTIONS_PER_ADDRESS);
    const { port, paths } = this.#server;
    const plan: AudiencePlan = {
      port,
      dialect,
      localAddresses: Array.from({ length: addresses }, (_, number) => `127.9.1.${1 + number}`),
      ...(paths === undefined ? {} : { paths }),
    };
    await this.#audience.ask({ kind: "open", plan }, ASK_MS);
  }

  async #connect(upTo: number): Promise<void> {
    const reply = await this.#audience.ask({ kind: "connect", upTo, deadlineMs: CONNECT_MS }, ASK_MS);
    if (reply.kind !== "connected") throw new Error(`the audience answered ${reply.kind}`);
    const { live, seen } = reply;
    if (live < upTo || seen.failed > 0)
      throw new Error(`${live} of ${upTo} are subscribed. ${seen.failures.join("; ")}`);
  }

  async #work(burst: number): Promise<WorkSeen> {
    await delay(REST_MS);
    await this.#seen();
    const cpuBefore = this.#server.cpu();
    const lasts = burst === 1 ? await this.#singles() : await this.#bursts(burst);
    const cpu = this.#server.cpu();
    const micros = cpu.micros - cpuBefore.micros;
    const system = cpu.systemMicros - cpuBefore.systemMicros;
    const user = cpu.userMicros - cpuBefore.userMicros;
    const seen = await this.#seen();
    if (seen.failed > 0) throw new Error(`${seen.failed} failures: ${seen.failures.join("; ")}`);
    const latency = Histogram.from(seen.latencyMicros);
    return {
      burst,
      deliveries: seen.deliveries,
      cpuMicros: micros / seen.deliveries,
      systemShare: system / Math.max(1, system + user),
      readsPerDelivery: seen.reads / seen.deliveries,
      bytesPerDelivery: seen.bytes / seen.deliveries,
      p50Micros: latency.quantile(0.5),
      p99Micros: latency.quantile(0.99),
      maxMicros: latency.max,
      lastMicros: lasts.length === 0 ? undefined : summarize(lasts).median,
      clientBusy: seen.busy,
    };
  }

  /** Single messages at an even rate, an open loop: no slow delivery holds the next message back. */
  async #singles(): Promise<number[]> {
    const { deliveriesPerSecond, subscribers, seconds } = this.#options;
    const everyMicros = (1_000_000 * subscribers) / deliveriesPerSecond;
    const count = Math.max(2, Math.round((seconds * 1_000_000) / everyMicros));
    const startMicros = hostMicros() + everyMicros;
    const sent: Promise<void>[] = [];
    for (let number = 0; number < count; number++) {
      const dueMicros = startMicros + number * everyMicros;
      await delay(Math.max(0, (dueMicros - hostMicros()) / 1_000));
      const one = this.#send(1, dueMicros);
      // What goes wrong is told at the end.
      one.catch(() => {});
      sent.push(one);
    }
    await Promise.all([...sent, this.#reach()]);
    return [];
  }

  /** The next burst when everybody has the one before; the times until the last delivery. */
  async #bursts(burst: number): Promise<number[]> {
    const lasts: number[] = [];
    const endMicros = hostMicros() + this.#options.seconds * 1_000_000;
    while (lasts.length === 0 || (hostMicros() < endMicros && lasts.length < BURSTS_MAX))
      lasts.push(await this.#burst(burst));
    return lasts;
  }

  async #burst(burst: number): Promise<number> {
    const dueMicros = hostMicros();
    await Promise.all([this.#send(burst, dueMicros), this.#reach()]);
    return hostMicros() - dueMicros;
  }

  async #send(burst: number, dueMicros: number): Promise<void> {
    const { bytes } = this.#options;
    const payloads = Array.from({ length: burst }, (_, at) =>
      payloadOf(this.#head + 1 + at, dueMicros, bytes),
    );
    this.#head += burst;
    await this.#server.feed.send(payloads);
  }

  async #reach(): Promise<void> {
    const reply = await this.#audience.ask({ kind: "reach", head: this.#head, deadlineMs: REACH_MS }, ASK_MS);
    if (reply.kind !== "reached") throw new Error(`the audience answered ${reply.kind}`);
    if (reply.missing === 0) return;
    const { failures } = await this.#seen();
    throw new Error(`${reply.missing} subscribers did not get message ${this.#head}. ${failures.join("; ")}`);
  }

  async #seen(): Promise<AudienceSeen> {
    const reply = await this.#audience.ask({ kind: "seen" }, ASK_MS);
    if (reply.kind !== "seen") throw new Error(`the audience answered ${reply.kind}`);
    return reply.seen;
  }
}
