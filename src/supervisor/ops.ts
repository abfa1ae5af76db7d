import type { RoomName } from "../protocol/room-name.js";
import type { Logger } from "../server/log.js";
import type { Child } from "./child.js";
import { OpsEvents } from "./ops-events.js";
import { OPS_ROOMS, OpsFeed } from "./ops-feed.js";
import { candidatesOf, roomsOf, slowOf } from "./ops-look.js";
import { OpsSampler } from "./ops-sample.js";
import { type InspectedRoom, inspectWorkers, type OtherNodes, roomOfNode } from "./room-inspection.js";
import type { NodeStatus } from "./status.js";

/** What the operators' page is about. */
export interface OpsSource {
  status(): NodeStatus;
  /** All worker processes, those that are leaving too. */
  readonly workerProcesses: readonly Pick<Child, "index" | "look" | "askLook" | "inspect">[];
  /** What other nodes have of a room. Never rejects. */
  askNodes(room: RoomName): Promise<OtherNodes>;
}

export interface OpsOptions {
  readonly source: OpsSource;
  /** The node's name. */
  readonly node: string;
  readonly log: Logger;
}

const SAMPLE_MS = 1_000;

/**
 * Looks at the node once a second and tells its page's feed. Workers are asked for rooms and slow clients only while a page is
 * open; the rest they say of themselves anyway.
 */
export class Ops {
  readonly feed: OpsFeed;
  readonly #source: OpsSource;
  readonly #node: string;
  readonly #log: Logger;
  readonly #sampler = new OpsSampler();
  readonly #events = new OpsEvents();
  readonly #timer: NodeJS.Timeout;
  #processes: readonly string[] = [];

  constructor({ source, node, log }: OpsOptions) {
    this.#source = source;
    this.#node = node;
    this.#log = log;
    this.feed = new OpsFeed({ node, log });
    this.#timer = setInterval(() => this.#tick(), SAMPLE_MS);
  }

  /** Who is in a room: worker by worker here, node by node elsewhere. */
  async inspect(room: RoomName): Promise<InspectedRoom> {
    const [workers, { nodes: others, problem }] = await Promise.all([
      inspectWorkers(this.#source.workerProcesses, room),
      this.#source.askNodes(room),
    ]);
    const here = roomOfNode(this.#node, workers);
    const nodes = [here, ...others.map(({ node, room: of }) => of ?? { node, silent: true as const })];
    return { room, subscribers: here.subscribers, workers, nodes, problem };
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.feed.stop();
  }

  #tick(): void {
    try {
      this.#sample(performance.now());
      if (this.feed.viewers > 0) this.#look();
    } catch (cause) {
      // A bug here must not end the node.
      this.#log.error({ err: cause }, "the ops page was not told");
    }
  }

  #sample(nowMs: number): void {
    const status = this.#source.status();
    const { stats, node, processes } = this.#sampler.sample(status, nowMs);
    const { stats: statsRoom, now, events } = OPS_ROOMS;
    this.feed.publish(statsRoom, stats);
    this.feed.publish(now, node, "node");
    for (const name of this.#processes) if (!processes.has(name)) this.feed.publish(now, undefined, name);
    for (const [name, process] of processes) this.feed.publish(now, process, name);
    this.#processes = [...processes.keys()];
    for (const event of this.#events.next(status, nowMs)) this.feed.publish(events, event);
  }

  #look(): void {
    const workers = this.#source.workerProcesses;
    const looks = workers.map(({ index, look }) => ({ worker: index, look }));
    this.feed.publish(OPS_ROOMS.now, roomsOf(looks), "rooms");
    this.feed.publish(OPS_ROOMS.now, slowOf(looks), "slow");
    const rooms = candidatesOf(looks);
    for (const worker of workers) worker.askLook(rooms);
  }
}
