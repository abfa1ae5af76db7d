import { delay, hostMicros } from "../support/clock.js";
import { checkWorkers } from "../support/descriptors.js";
import { type EngineAddress, engineAt } from "../support/engine-url.js";
import { listenCounters, listenEventsSince } from "../support/kernel.js";
import { Publisher, type Stream, startStream } from "../support/publisher.js";
import { progress } from "../support/report.js";
import { ServedNode, type ServedNodeOptions } from "../support/served-node.js";
import { Fleet, type FleetPhase, type FleetPlan, type FleetStatus } from "./fleet.js";
import { type FleetWish, openFleet } from "./remote/open-fleet.js";
import type { RoomPlan } from "./rooms.js";
import { explainOverdue } from "./verdict.js";

export interface ArenaOptions {
  /** A node to start; not where `url` names one that runs. */
  readonly node: ServedNodeOptions;
  /** Default: "", none. */
  readonly url?: string;
  /** Default: clients are here. */
  readonly fleet?: FleetWish;
  readonly connections: number;
  /** Everybody's first room is room 0; the others are {@link RoomPlan.rooms} less one, for the background. */
  readonly rooms: RoomPlan;
  /** Bytes of a message's data. */
  readonly bytes: number;
  /** How many of the connections are witnesses, see {@link FleetOptions.witnesses}. */
  readonly witnesses: number;
  /** New connections a second. */
  readonly connectRate: number;
  readonly answerMs: number;
}

/** Handshakes under way at once, all agents together, while connecting at a pace. */
const CONNECTING_MAX = 2_000;
/** The same while everybody comes back at once: no bound of ours, as far as descriptors go. */
const STORM_PACE = { perSecond: 1_000_000, inFlight: 60_000 };
const PING_MS = 22_000;
const CONNECT_SLACK_MS = 120_000;
const SETTLE_MS = 30_000;
/** Workers report once a second. */
export const BEAT_MS = 1_100;
const PROGRESS_MS = 2_000;

/** A served node, or an engine that runs already, the fleet that connects to it, and a publisher. */
export class Arena {
  readonly #node: ServedNode | undefined;
  readonly #address: EngineAddress;
  readonly fleet: Fleet;
  readonly publisher: Publisher;
  readonly #options: ArenaOptions;
  readonly #verdicts = new Map<string, number>();
  readonly #eventsBefore = listenCounters();
  #toldMs = 0;

  private constructor(
    node: ServedNode | undefined,
    address: EngineAddress,
    fleet: Fleet,
    options: ArenaOptions,
  ) {
    this.#node = node;
    this.#address = address;
    this.fleet = fleet;
    const { bytes } = options;
    this.publisher = new Publisher(options.rooms.rooms, { ...address, bytes, retry: true });
    this.#options = options;
  }

  /** @throws Error where there is no engine at the URL, FleetError where agents cannot be had; nothing is left running then. */
  static async start(options: ArenaOptions): Promise<Arena> {
    const { url = "", fleet: wish, connections, witnesses } = options;
    if (url === "") checkWorkers(connections, options.node.workers);
    const node = url === "" ? await ServedNode.start(options.node) : undefined;
    try {
      const address = node === undefined ? await engineAt(url) : { host: "127.0.0.1", port: node.port };
      const remote =
        wish === undefined ? undefined : await openFleet(wish, address.host, connections, { witnesses });
      return new Arena(node, address, remote ?? Fleet.local(connections, witnesses), options);
    } catch (cause) {
      await node?.stop();
      throw cause;
    }
  }

  /** Whether the engine's processes are this bench's, so that it can look into them. */
  get isOurs(): boolean {
    return this.#node !== undefined;
  }

  /** @throws Error for an engine that is not ours. */
  get node(): ServedNode {
    if (this.#node === undefined) throw new Error("the engine at --url is no process of this bench");
    return this.#node;
  }

  /** Where handshakes hung that got no answer in time, by the kernel's account, with their number. */
  get verdicts(): ReadonlyMap<string, number> {
    return this.#verdicts;
  }

  /** What the kernel counted of lost or late connections since the start. */
  get kernelEvents(): string {
    return listenEventsSince(this.#eventsBefore);
  }

  /** A few connections come and go, so that code, pools and tables that any connection needs are there before. */
  async warmUp(connections: number): Promise<void> {
    await this.#connect(connections);
    await this.publisher.publish({ room: 0, dueMicros: hostMicros() }, 1);
    await this.caughtUp();
    await this.fleet.disconnect();
    this.publisher.heads.fill(null);
  }

  /** Connects everybody; resolves with the seconds it took. @throws Error where somebody is not live at the deadline. */
  async connectAll(): Promise<number> {
    return await this.#connect(this.#options.connections);
  }

  async #connect(connections: number): Promise<number> {
    const { rooms, connectRate, answerMs } = this.#options;
    const plan: FleetPlan = {
      ...this.#address,
      connections,
      rooms,
      pace: { perSecond: connectRate, inFlight: CONNECTING_MAX },
      answerMs,
      pingMs: PING_MS,
    };
    const startedMs = performance.now();
    await this.fleet.connect(plan);
    const missing = await this.allLive(connections, (connections / connectRate) * 4_000 + CONNECT_SLACK_MS);
    if (missing > 0) throw new Error(`${missing} of ${connections} did not get live`);
    return (performance.now() - startedMs) / 1_000;
  }

  /** Waits until that many are live, and tells how it goes; how many are not at the deadline. */
  async allLive(connections: number, deadlineMs: number): Promise<number> {
    const { states } = await this.fleet.until((status) => status.states.live === connections, deadlineMs, {
      onStatus: (seen) => this.#look(seen, connections),
    });
    return connections - states.live;
  }

  /** Waits until the first connections are lost, so that nobody takes the time before for the time after. */
  async someLost(): Promise<void> {
    const { counts } = await this.fleet.until((status) => status.counts.lost > 0, SETTLE_MS, { pollMs: 20 });
    if (counts.lost === 0) throw new Error(`no connection was lost within ${SETTLE_MS} ms`);
  }

  /** Waits until every subscription stands at its room's head. @throws Error at the deadline. */
  async caughtUp(): Promise<void> {
    const heads = (): readonly (number | null)[] => this.publisher.heads;
    const { behind } = await this.fleet.until((status) => status.behind === 0, SETTLE_MS, { heads });
    if (behind > 0) throw new Error(`${behind} subscriptions did not get to their room's head`);
  }

  /** One message to everybody; resolves with the phase when all have it. */
  async broadcast(): Promise<FleetPhase> {
    await this.fleet.phase();
    await this.publisher.publish({ room: 0, dueMicros: hostMicros() }, 1);
    await this.caughtUp();
    return await this.fleet.phase();
  }

  /** Messages to the rooms that are not everybody's, one at a time, until it is stopped. */
  background(perSecond: number): Stream {
    const { rooms } = this.#options.rooms;
    return startStream(this.publisher, { firstRoom: 1, rooms: rooms - 1, perSecond });
  }

  /** From now on nobody waits for the pace, and clients leave the cores to the servers. */
  async storm(): Promise<void> {
    this.fleet.giveWay();
    await this.fleet.setPace(STORM_PACE);
  }

  /** The longest that a worker's event loop stood still while that was going on, by what workers say once a second; NaN where it is not ours. */
  async longestStall(during: Promise<unknown>): Promise<number> {
    if (!this.isOurs) return Number.NaN;
    const ended = during.then(
      () => "ended",
      () => "ended",
    );
    // What they said last is of the time before.
    await delay(BEAT_MS);
    let longestMs = 0;
    for (let isLast = false; !isLast; ) {
      isLast = (await Promise.race([ended, delay(BEAT_MS / 2)])) === "ended";
      // Of the last second they speak when it is over.
      if (isLast) await delay(BEAT_MS);
      const { workers } = await this.node.status();
      for (const { lag } of workers) longestMs = Math.max(longestMs, lag?.maxMs ?? 0);
    }
    return longestMs;
  }

  async stop(): Promise<void> {
    this.publisher.close();
    await this.fleet.stop();
    await this.#node?.stop();
  }

  /** This host's kernel knows both ends of connections to an engine here. */
  #explain(port: number, { overdue }: FleetStatus): Iterable<readonly [string, number]> {
    if (this.isOurs) return explainOverdue(port, overdue);
    return [["the engine is elsewhere", overdue.length]];
  }

  async #look(status: FleetStatus, connections: number): Promise<void> {
    if (performance.now() > this.#toldMs + PROGRESS_MS) {
      this.#toldMs = performance.now();
      const { connecting, asking, subscribing, overdue, live } = status.states;
      const { refused, cutShort, connectFailed } = status.counts;
      progress(
        `  ${live} of ${connections} live, ${connecting + asking + subscribing} under way, refused ${refused}, ` +
          `reset ${cutShort + connectFailed}, overdue ${overdue}`,
      );
    }
    if (status.overdue.length === 0) return;
    for (const [verdict, times] of this.#explain(this.#address.port, status)) {
      this.#verdicts.set(verdict, (this.#verdicts.get(verdict) ?? 0) + times);
      progress(`  ${times} overdue: ${verdict}`);
    }
    await this.fleet.release();
  }
}
