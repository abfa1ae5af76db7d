import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Broker } from "../../core/ports.js";
import type { ResetReason } from "../../protocol/frames.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { Books } from "./books.testkit.js";
import { FAULT_NAMESPACES } from "./fault-settings.testkit.js";
import type { Ledger } from "./ledger.testkit.js";
import { NatsAdmin } from "./nats-admin.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { deleteStreams, freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { NatsProxy } from "./nats-proxy.testkit.js";
import { NatsCluster, type NatsServer, until } from "./nats-server.testkit.js";
import type { Reader } from "./reader.testkit.js";
import type { NatsBrokerOptions } from "./start.js";

const BUSY = ["log.a", "log.b", "bare.a", "keyed.a", "keyed.b"];
const QUIET = [...numbered("log.quiet", 10), ...numbered("keyed.quiet", 3)];

export interface RigOptions {
  /** Rooms that get a stream of messages. */
  readonly busy?: readonly string[];
  /** Rooms that get one now and then. */
  readonly quiet?: readonly string[];
  /** Nodes that publish and follow. Default: 2. */
  readonly nodes?: number;
  readonly broker?: Partial<NatsBrokerOptions>;
}

/**
 * Nodes on real servers, each behind proxies of its own, which publish to rooms and follow all of them, with books of
 * everything. Every room is published to by one node, so that the others hear of it only from the live flow.
 */
export class FaultRig {
  readonly servers: readonly NatsServer[];
  readonly admin: NatsAdmin;
  readonly prefix: string;
  readonly books: Books;
  /** Brokers in this process, each as a node has one. */
  readonly nodes: NatsBroker[] = [];
  /** All that publish and follow: nodes, and others that were added. */
  readonly members: { readonly name: string; readonly broker: Broker }[] = [];
  /** By node, then by server. */
  readonly ways: NatsProxy[][] = [];
  readonly #options: RigOptions;

  private constructor(servers: readonly NatsServer[], admin: NatsAdmin, options: RigOptions) {
    this.servers = servers;
    this.admin = admin;
    this.#options = options;
    this.prefix = freshPrefix();
    this.books = new Books((options.busy ?? BUSY).map(parseRoom), (options.quiet ?? QUIET).map(parseRoom));
  }

  /** Nodes run and follow; nothing is published yet. */
  static async start(
    t: TestContext,
    system: NatsServer | NatsCluster,
    options: RigOptions = {},
  ): Promise<FaultRig> {
    const servers = system instanceof NatsCluster ? system.servers : [system];
    const admin = await NatsAdmin.connect(servers.map(({ url }) => url));
    const rig = new FaultRig(servers, admin, options);
    t.after(() => rig.#dispose());
    for (let index = 0; index < (options.nodes ?? 2); index += 1) await rig.addNode();
    return rig;
  }

  /** Starts one more node and lets it follow every room. */
  async addNode(): Promise<NatsBroker> {
    const node = await this.startNode();
    await this.add(`node ${this.nodes.length - 1}`, node);
    return node;
  }

  /** Starts one more node, which does nothing yet. */
  async startNode(): Promise<NatsBroker> {
    const ways = await Promise.all(this.servers.map(({ port }) => NatsProxy.start(port)));
    this.ways.push(ways);
    const node = await startTestBroker(
      ways.map(({ url }) => url),
      {
        settings: FAULT_NAMESPACES,
        prefix: this.prefix,
        partitions: 1,
        replicas: this.servers.length === 1 ? 1 : 3,
        name: NODE,
        ...this.#options.broker,
        limits: {
          ...(this.servers.length === 1 ? { sweepMs: NEVER_MS } : {}),
          ...this.#options.broker?.limits,
        },
      },
    );
    this.nodes.push(node);
    return node;
  }

  /** From here on it follows every room, and takes its part in publishing. */
  async add(name: string, broker: Broker): Promise<void> {
    this.members.push({ name, broker });
    await this.books.follow(name, broker);
  }

  /** Who publishes and follows. */
  member(index: number): Broker {
    const member = this.members[index];
    if (member === undefined) throw new Error(`there is no member ${index}`);
    return member.broker;
  }

  /** The stream of all rooms of one kind. */
  stream(kind: "plain" | "keyed"): string {
    return `${this.prefix.toUpperCase()}${kind === "keyed" ? "_KEY" : ""}_0`;
  }

  /** The subject that a room's messages are stored under; where it is keyed, without the key. */
  subject(room: RoomName): string {
    return `${this.prefix}.${room.startsWith("keyed") ? "key" : "in"}.0.${room.replaceAll(".", "~")}`;
  }

  /** Every member publishes to its share of the rooms, until there is silence. */
  publish(): void {
    for (const [index, { broker }] of this.members.entries()) {
      const rooms = this.books.busy.filter((_, place) => place % this.members.length === index);
      if (rooms.length > 0) this.books.publish(broker, { lanes: rooms.length, pauseMs: PAUSE_MS, rooms });
    }
  }

  /** A message to every quiet room; those of a member that is away wait until it is back. */
  whisper(): void {
    this.books.whisper(this.members.map(({ broker }) => broker));
  }

  /** Lets a node be connected to one server and no other; the others stay within its reach. */
  async attach(node: number, server: NatsServer): Promise<void> {
    const ways = this.ways[node] ?? [];
    const others = ways.filter((_, index) => this.servers[index] !== server);
    for (const way of others) way.become("closed");
    const own = ways[this.servers.indexOf(server)];
    await until(`node ${node} to move to ${server.name}`, () => own?.carries(NODE) === true, 60_000);
    for (const way of others) way.become("open");
    await until("it to be back", () => this.nodes[node]?.available === true, 60_000);
  }

  /** Every replica of every stream has all that its leader has. */
  async allCurrent(): Promise<void> {
    for (const kind of ["plain", "keyed"] as const)
      await this.admin.caughtUp(this.stream(kind), this.servers.length);
  }

  /** The way of a node to all servers. */
  way(node: number, way: "open" | "closed" | "silent"): void {
    for (const proxy of this.ways[node] ?? []) proxy.become(way);
  }

  /** Resolves when a node has noticed that its connection was lost, and is back. */
  async noticed(node: number, disconnects = 1): Promise<void> {
    const one = this.nodes[node];
    const isBack = (): boolean => one?.available === true && one.counters.disconnects >= disconnects;
    await until(`node ${node} to be cut off and come back`, isBack, 60_000);
  }

  async allAvailable(): Promise<void> {
    await until("all nodes to be back", () => this.nodes.every((node) => node.available), 60_000);
  }

  /**
   * Silence, then: every reader has been given all that was acknowledged and all that the streams keep, once and in order, and was
   * told nothing else but what is right; all nodes have the same epochs, and give a client that resumes the same.
   * @param allowed Reasons of resets that are right.
   * @param resumes Whether a client that was there from the beginning and resumes must get everything, or be told.
   */
  async finish(
    t: TestContext,
    allowed: (reader: Reader) => readonly ResetReason[] = () => [],
    resumes: (reader: Reader) => boolean = () => true,
  ): Promise<void> {
    await this.books.silence();
    await this.books.balance(allowed);
    await this.readStreams();
    await this.books.balance(allowed);
    await Promise.all(this.members.map(({ name, broker }) => this.#resume(name, broker, resumes)));
    t.diagnostic(this.books.summary());
  }

  /** Enters what the streams keep into the books. */
  async readStreams(): Promise<void> {
    for (const kind of ["plain", "keyed"] as const) {
      const ledgers = this.books.ledgers.filter(
        ({ room }) => room.startsWith("keyed") === (kind === "keyed"),
      );
      const [any] = ledgers;
      if (any === undefined) continue;
      const epoch = await this.#epoch(any);
      const { first, messages } = await this.admin.read(this.stream(kind));
      for (const ledger of ledgers) {
        const subject = this.subject(ledger.room);
        const own = messages.filter(
          (kept) => kept.subject === subject || kept.subject.startsWith(`${subject}.`),
        );
        ledger.keeps(
          epoch,
          first,
          own.map(({ sequence, value }) => ({ offset: sequence, value })),
        );
      }
    }
  }

  /** The epoch of a room, once all nodes agree on it. */
  async #epoch({ room }: Ledger): Promise<string> {
    let epochs: string[] = [];
    const agree = async (): Promise<boolean> => {
      const pages = await Promise.all(this.members.map(({ broker }) => broker.history(room, { last: 1 }, 1)));
      epochs = pages.map(({ head }) => head.epoch);
      return new Set(epochs).size === 1;
    };
    await until(`all nodes to have one epoch of ${room}`, agree, 60_000);
    return epochs[0] ?? "";
  }

  /** A client that was there from the beginning and resumes gets all that came since, or is told that it is not all there. */
  async #resume(name: string, broker: Broker, resumes: (reader: Reader) => boolean): Promise<void> {
    const own = this.books.readers.filter((reader) => reader.name === name && resumes(reader));
    for (const { ledger, start } of own) {
      const { room } = ledger;
      if (start === undefined || room.startsWith("bare")) continue;
      const { epoch } = start;
      const stored = ledger.stored(epoch).filter(({ offset }) => offset > start.offset);
      const found: number[] = [];
      let lost: string | undefined;
      for (let more = true; more; ) {
        const after = { epoch, offset: found.at(-1) ?? start.offset };
        const page = await broker.history(room, { after }, 500);
        if (page.kind === "lost") lost = page.reason;
        else found.push(...page.messages.map(({ offset }) => offset));
        more = page.kind === "page" && page.more;
      }
      const what = `${name}, ${room}: a client that resumes after ${start.offset}`;
      const offsets = stored.map(({ offset }) => offset);
      if (lost === undefined) assert.deepEqual(found, offsets, what);
      else assert.ok(ledger.isCutAfter(epoch, start.offset), `${what} was told ${lost}`);
    }
  }

  async #dispose(): Promise<void> {
    await this.books.silence().catch(() => undefined);
    await Promise.all([...this.nodes, ...this.members.map(({ broker }) => broker)].map((one) => one.stop(0)));
    await Promise.all(this.ways.flat().map((way) => way.dispose()));
    await deleteStreams(this.admin, this.prefix);
    await this.admin.close();
  }
}

/** What the live connection of a node calls itself. */
const NODE = "fanwire";

/** With one server it is always known when something may have been missed: no sweep by the clock is to be needed. */
const NEVER_MS = 3_600_000;

/** Between two messages to one room. */
const PAUSE_MS = 3;

function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}${index}`);
}
