import { encode } from "@msgpack/msgpack";
import { clientFrame } from "../support/websocket.js";
import { Agenda } from "./agenda.js";
import {
  type AgentStatus,
  type Assignment,
  MEMBER_STATES,
  type MemberState,
  type OverdueHandshake,
} from "./agent-protocol.js";
import { Lateness } from "./lateness.js";
import { Ledger } from "./ledger.js";
import type { LinkTarget } from "./link.js";
import { Member, type MemberHost } from "./member.js";
import { Pace, type PaceLimits } from "./pace.js";
import { checkRooms, type RoomPlan, roomOf } from "./rooms.js";
import { Tally, type TallyData } from "./tally.js";

const TICK_MS = 5;
/** More at once would keep the others' messages waiting in this process, as if the server were late. */
const STARTS_PER_TICK = 25;
const CHECK_MS = 500;
/** Each connection pings once a round, in the slice that it was given at random. */
const PING_SLICES = 200;
const OVERDUE_TOLD_MAX = 100;
const PING = clientFrame(encode([7, 0]));

interface Appointment {
  readonly member: Member;
  readonly number: number;
}

/** All subscribers of one process: starts them at the given pace, brings back those that were lost, pings, counts. */
export class Crowd implements MemberHost {
  readonly rooms: RoomPlan;
  isHeld: boolean;
  readonly ledger: Ledger;
  readonly tally = new Tally();
  readonly #assignment: Assignment;
  readonly #members: Member[];
  readonly #pingSlices: Member[][] = Array.from({ length: PING_SLICES }, () => []);
  readonly #states: Record<MemberState, number>;
  /** Not before their time. */
  readonly #agenda = new Agenda<Appointment>();
  /** Whose time has come, in that order; they wait for the pace. */
  #ready: Appointment[] = [];
  #nextReady = 0;
  readonly #pace: Pace;
  /** Not one copy of the same name a member. */
  readonly #names = new Map<string, string>();
  readonly #underWay = new Set<Member>();
  readonly #timers: NodeJS.Timeout[];
  /** Where the phase began. */
  #busySince = performance.eventLoopUtilization();
  readonly #lateness = new Lateness(TICK_MS, performance.now());

  constructor(assignment: Assignment) {
    const { connections, first } = assignment;
    checkRooms(assignment.rooms);
    this.#assignment = assignment;
    this.rooms = assignment.rooms;
    this.isHeld = assignment.held ?? false;
    this.ledger = new Ledger(connections, assignment.rooms);
    this.#resume(assignment);
    this.#pace = new Pace(assignment.pace, performance.now());
    this.#members = Array.from({ length: connections }, (_, place) => new Member(first + place, place, this));
    this.#states = Object.fromEntries(MEMBER_STATES.map((state) => [state, 0])) as Record<
      MemberState,
      number
    >;
    this.#states.waiting = connections;
    for (const member of this.#members) {
      this.#ready.push({ member, number: member.appointment });
      this.#pingSlices[Math.floor(Math.random() * PING_SLICES)]?.push(member);
    }
    this.#timers = [
      setInterval(() => this.#tick(), TICK_MS),
      setInterval(() => this.#check(), CHECK_MS),
      this.#pingForever(assignment.pingMs),
    ];
  }

  /** Applies to every start, of new ones and of those that come back. */
  setPace(pace: PaceLimits): void {
    this.#pace.set(pace);
  }

  status(heads: readonly (number | null)[] = []): AgentStatus {
    const { connections, first } = this.#assignment;
    const behind = this.ledger.behind(heads.length === 0 ? 0 : connections, (place, slot) =>
      this.#members[place]?.state === "dismissed"
        ? undefined
        : (heads[roomOf(this.rooms, first + place, slot)] ?? undefined),
    );
    return {
      states: { ...this.#states },
      counts: { ...this.tally.counts },
      behind,
      overdue: this.#overdue(),
    };
  }

  /** What the phase came to; the next one begins. */
  phase(): TallyData {
    const busy = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(busy, this.#busySince);
    // A process that is kept from its core while it waits is idle to its event loop; its timers know better.
    this.tally.busiest = Math.max(utilization, this.#lateness.share(performance.now()));
    this.#busySince = busy;
    const data = this.tally.toJSON();
    this.tally.reset();
    for (const member of this.#members) member.phase();
    return data;
  }

  /** Cuts that many live connections, chosen at random; returns how many there were to cut. */
  cut(connections: number): number {
    const live = this.#members.filter(({ state }) => state === "live");
    const count = Math.min(connections, live.length);
    for (let chosen = 0; chosen < count; chosen++) {
      const other = chosen + Math.floor(Math.random() * (live.length - chosen));
      const member = live[other];
      const replaced = live[chosen];
      if (member === undefined || replaced === undefined) break;
      live[other] = replaced;
      member.cut();
    }
    return count;
  }

  /** Ends for good who is connected to one of these nodes, as `welcome` names them; returns how many. */
  dismiss(nodes: readonly string[]): number {
    const dismissed = this.#members.filter(({ node }) => nodes.includes(node));
    for (const member of dismissed) member.dismiss();
    return dismissed.length;
  }

  /** Those that were held subscribe, and nobody is held any more. */
  subscribe(): void {
    this.isHeld = false;
    for (const member of this.#members) if (member.state === "subscribing") member.subscribe();
  }

  release(): void {
    for (const member of this.#members) if (member.state === "overdue") member.release();
  }

  disconnect(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const member of this.#members) member.leave();
  }

  target(place: number): LinkTarget {
    const { host, port, localAddresses } = this.#assignment;
    const localAddress =
      localAddresses.length === 0 ? undefined : localAddresses[place % localAddresses.length];
    return { host, port, localAddress };
  }

  nameOf(node: unknown): string {
    const name = String(node);
    const known = this.#names.get(name);
    if (known === undefined) this.#names.set(name, name);
    return known ?? name;
  }

  moved(member: Member, from: MemberState): void {
    this.#states[from] -= 1;
    this.#states[member.state] += 1;
    const isUnderWay =
      member.state === "connecting" || member.state === "asking" || member.state === "subscribing";
    if (!isUnderWay && this.#underWay.delete(member)) this.#pace.ended();
  }

  later(member: Member, delayMs: number): void {
    this.#agenda.add(performance.now() + delayMs, { member, number: member.appointment });
  }

  #resume({ connections, first, rooms, resume }: Assignment): void {
    if (resume === undefined) return;
    for (let place = 0; place < connections; place++) {
      for (let slot = 0; slot < rooms.roomsEach; slot++) {
        const room = roomOf(rooms, first + place, slot);
        const offsets = resume.offsets[room] ?? [];
        const offset = offsets[slot % offsets.length];
        if (offset !== undefined) this.ledger.begin(place, slot, resume.epochs[room] ?? "", offset);
      }
    }
  }

  #tick(): void {
    const now = performance.now();
    this.tally.delayMicros.record(this.#lateness.tick(now) * 1_000);
    for (let due = this.#agenda.take(now); due !== undefined; due = this.#agenda.take(now))
      this.#ready.push(due);
    for (let starts = 0; starts < STARTS_PER_TICK; starts++) {
      const next = this.#peek();
      if (next === undefined || !this.#pace.begin(now)) break;
      this.#nextReady += 1;
      // First: a start that leaves an old connection moves through a state that is not under way.
      next.leave();
      this.#underWay.add(next);
      next.start();
    }
    if (this.#nextReady < this.#ready.length) return;
    this.#ready = [];
    this.#nextReady = 0;
  }

  /** The next member whose appointment still stands. */
  #peek(): Member | undefined {
    for (; this.#nextReady < this.#ready.length; this.#nextReady++) {
      const next = this.#ready[this.#nextReady];
      if (next !== undefined && next.number === next.member.appointment) return next.member;
    }
    return undefined;
  }

  #check(): void {
    for (const member of this.#underWay) {
      if (member.state !== "subscribing" && member.ageMs > this.#assignment.answerMs) member.overdue();
    }
  }

  #overdue(): OverdueHandshake[] {
    if (this.#states.overdue === 0) return [];
    return this.#members
      .filter(({ state }) => state === "overdue")
      .slice(0, OVERDUE_TOLD_MAX)
      .map(({ link, ageMs }) => ({
        localAddress: link?.localAddress ?? "",
        localPort: link?.localPort ?? 0,
        connected: link?.isConnected ?? false,
        receivedBytes: link?.receivedBytes ?? 0,
        ageMs,
      }));
  }

  #pingForever(everyMs: number): NodeJS.Timeout {
    let slice = 0;
    return setInterval(() => {
      for (const member of this.#pingSlices[slice] ?? []) if (member.state === "live") member.ping(PING);
      slice = (slice + 1) % PING_SLICES;
    }, everyMs / PING_SLICES);
  }
}
