import { decode, encode } from "@msgpack/msgpack";
import { backoffMs } from "../../client/backoff.js";
import { hostMicros } from "../support/clock.js";
import {
  benchRoom,
  CODE_ERROR,
  CODE_MESSAGE,
  CODE_OK,
  codeAt,
  roomIndexAt,
  type ScannedMessage,
  scanMessage,
  skipValue,
} from "../support/message-scan.js";
import { clientFrame, OPCODE } from "../support/websocket.js";
import type { MemberState } from "./agent-protocol.js";
import type { Ledger } from "./ledger.js";
import { Link, type LinkEnd, type LinkOwner, type LinkTarget } from "./link.js";
import { type RoomPlan, roomOf, slotOf } from "./rooms.js";
import type { Tally } from "./tally.js";

/** What all members of a crowd share. */
export interface MemberHost {
  /** Where the member at this place connects to, and from where. */
  target(place: number): LinkTarget;
  readonly rooms: RoomPlan;
  /** Members connect, and do not subscribe yet. */
  readonly isHeld: boolean;
  readonly ledger: Ledger;
  readonly tally: Tally;
  /** A node's name, the same string for all. */
  nameOf(node: unknown): string;
  moved(member: Member, from: MemberState): void;
  /** The member is to be started again after this time, unless it has made another appointment by then. */
  later(member: Member, delayMs: number): void;
}

/** The shipped client's defaults. */
const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 15_000;

const CODE_WELCOME = 16;
const CODE_LIVE = 20;
const CODE_LAGGED = 21;
const CODE_RESET = 22;
const CODE_GOAWAY = 24;

const scanned: ScannedMessage = { roomIndex: 0, offset: 0, prev: 0, dueMicros: 0 };

/**
 * One subscriber over all of its connections: subscribes to its rooms, checks every message, and when its
 * connection is gone comes back as the shipped client does and resumes.
 */
export class Member implements LinkOwner {
  /** Overall number, by which rooms are spread. */
  readonly index: number;
  /** Its place in the ledger. */
  readonly #place: number;
  readonly #host: MemberHost;
  #state: MemberState = "waiting";
  #link: Link | undefined;
  /** Failed attempts since it was live the last time. */
  #failed = 0;
  #startedMicros = 0;
  /** 0: it was never live, or is. */
  #lostMicros = 0;
  /** Came back in this phase, so that its latency tells of the comeback, not of the server. */
  #returning = false;
  #node = "";
  #oksDue = 0;
  #livesDue = 0;
  /** Number of the last appointment: earlier ones are void. */
  #appointment = 0;

  constructor(index: number, place: number, host: MemberHost) {
    this.index = index;
    this.#place = place;
    this.#host = host;
  }

  get state(): MemberState {
    return this.#state;
  }

  /** The server's process, as its welcome named it; "" before the first one. */
  get node(): string {
    return this.#node;
  }

  get link(): Link | undefined {
    return this.#link;
  }

  get ageMs(): number {
    return (hostMicros() - this.#startedMicros) / 1_000;
  }

  get appointment(): number {
    return this.#appointment;
  }

  /** Begins an attempt; leaves the connection it has, as one does that was told to go away. */
  start(): void {
    this.leave();
    this.#appointment += 1;
    this.#startedMicros = hostMicros();
    this.#host.tally.counts.attempts += 1;
    this.#move("connecting");
    this.#link = new Link(this.#host.target(this.#place), this);
  }

  /** Loses the connection as if the network had broken, and comes back. */
  cut(): void {
    this.#host.tally.counts.cut += 1;
    this.leave();
    this.#again(undefined);
  }

  /** Ends for good. */
  dismiss(): void {
    this.leave();
    this.#appointment += 1;
    this.#move("dismissed");
  }

  /** Ends the connection, if there is one, for good or until the next start. */
  leave(): void {
    if (this.#state === "live" || this.#state === "subscribing") this.#lose();
    this.#link?.cut();
    this.#link = undefined;
    this.#move("waiting");
  }

  ping(bytes: Uint8Array): void {
    this.#link?.write(bytes);
    this.#host.tally.counts.pings += 1;
  }

  /** The handshake took too long: the member waits, with its socket as it is. */
  overdue(): void {
    this.#move("overdue");
  }

  /** Gives the overdue handshake up. */
  release(): void {
    this.#host.tally.counts.unanswered += 1;
    this.leave();
    this.#again(undefined);
  }

  phase(): void {
    this.#returning = this.#state !== "live" && this.#lostMicros > 0;
  }

  connected(): void {
    if (this.#state === "connecting") this.#move("asking");
  }

  switched(): void {
    if (!this.#host.isHeld) this.subscribe();
  }

  read(bytes: number): void {
    const { counts } = this.#host.tally;
    counts.reads += 1;
    counts.bytes += bytes;
  }

  /** A field, so that the link can hand it on as it is. */
  readonly frame = (opcode: number, bytes: Buffer, start: number, end: number): void => {
    if (opcode === OPCODE.close) {
      const code = end - start < 2 ? "without a code" : String(bytes.readUInt16BE(start));
      this.ended({ kind: "closed", why: `close ${code} ${bytes.toString("utf8", start + 2, end)}`.trim() });
    }
    if (opcode !== OPCODE.binary || this.#link === undefined) return;
    this.#host.tally.counts.frames += 1;
    this.#values(bytes, start, end);
  };

  ended(end: LinkEnd): void {
    const { counts } = this.#host.tally;
    const wasWelcome = this.#state === "subscribing" || this.#state === "live";
    if (end.kind === "refused") {
      counts.refused += 1;
      if (this.#state === "overdue") counts.late += 1;
      if (end.retryMs === undefined) counts.withoutRetry += 1;
      this.#host.tally.reason(`refused with ${end.status}`);
    } else {
      if (end.kind === "unconnected") counts.connectFailed += 1;
      else if (wasWelcome) counts.lost += 1;
      else counts.cutShort += 1;
      const when = end.kind === "closed" && !wasWelcome ? "before the welcome" : end.kind;
      this.#host.tally.reason(`${when}: ${end.why}`);
    }
    this.leave();
    this.#again(end.kind === "refused" ? end.retryMs : undefined);
  }

  #move(to: MemberState): void {
    const from = this.#state;
    if (from === to) return;
    this.#state = to;
    this.#host.moved(this, from);
  }

  #lose(): void {
    this.#returning = true;
    if (this.#lostMicros === 0) this.#lostMicros = hostMicros();
  }

  #later(delayMs: number): void {
    this.#appointment += 1;
    this.#host.later(this, delayMs);
  }

  #again(retryMs: number | undefined): void {
    const delayMs = retryMs ?? backoffMs(this.#failed, Math.random, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    this.#failed += 1;
    this.#later(delayMs);
  }

  /** To all of its rooms, where it was. */
  subscribe(): void {
    const { rooms, ledger } = this.#host;
    const values: Uint8Array[] = [];
    for (let slot = 0; slot < rooms.roomsEach; slot++) {
      const after = ledger.position(this.#place, slot);
      const room = benchRoom(roomOf(rooms, this.index, slot));
      values.push(encode(after === undefined ? [1, slot + 1, room] : [1, slot + 1, room, { after }]));
    }
    this.#oksDue = this.#livesDue = rooms.roomsEach;
    this.#link?.write(clientFrame(Buffer.concat(values)));
  }

  /** Goes through the values of one WebSocket message. */
  #values(bytes: Buffer, start: number, end: number): void {
    const now = hostMicros();
    let at = start;
    while (at < end) {
      const code = codeAt(bytes, at);
      if (code === CODE_MESSAGE) {
        at = scanMessage(bytes, at, scanned);
        this.#message(now);
      } else {
        const next = skipValue(bytes, at);
        if (code === CODE_LIVE) this.#live(roomIndexAt(bytes, at));
        else this.#control(code, decode(bytes.subarray(at, next)));
        at = next;
        // A goaway or an error may have ended the link.
        if (this.#link === undefined) return;
      }
    }
    if (at !== end) throw new Error("a value goes beyond its frame");
  }

  #message(now: number): void {
    const { tally, rooms, ledger } = this.#host;
    const slot = slotOf(rooms, this.index, scanned.roomIndex);
    if (slot < 0) {
      tally.fail(`connection ${this.index} got room ${scanned.roomIndex}, which it did not ask for`);
      return;
    }
    const { offset, prev } = scanned;
    const wrong = ledger.take(this.#place, slot, offset, prev);
    if (wrong !== undefined) {
      tally.fail(`connection ${this.index} room ${scanned.roomIndex}: ${prev}→${offset} after ${wrong}`);
      return;
    }
    const { counts } = tally;
    if (this.#state !== "live") counts.replayed += 1;
    if (this.#returning) counts.returning += 1;
    else counts.steady += 1;
    // A message without a time is one that its publisher had to send again: it would tell of the publisher.
    if (Number.isNaN(scanned.dueMicros)) return;
    if (this.#returning) {
      tally.returningMicros.record(now - scanned.dueMicros);
      return;
    }
    tally.steadyMicros.record(now - scanned.dueMicros);
    tally.lasts.record(scanned.dueMicros, now);
  }

  #control(code: number, value: unknown): void {
    if (!Array.isArray(value)) throw new Error("a value is no array");
    const { counts } = this.#host.tally;
    switch (code) {
      case CODE_WELCOME:
        counts.welcomes += 1;
        if (this.#state === "overdue") counts.late += 1;
        this.#node = this.#host.nameOf(value[1]?.node);
        this.#host.tally.handshakeMicros.record(hostMicros() - this.#startedMicros);
        this.#move("subscribing");
        return;
      case CODE_OK:
        this.#ok(value[1], value[2]);
        return;
      case CODE_ERROR:
        this.#error(value[1], value[2], value[3], value[4]);
        return;
      case CODE_LAGGED:
        counts.lagged += 1;
        this.#move("subscribing");
        this.subscribe();
        return;
      case CODE_RESET: {
        counts.resets += 1;
        const slot = slotOf(this.#host.rooms, this.index, Number(String(value[1]).slice(-5)));
        this.#host.ledger.begin(this.#place, slot, value[2], value[3]);
        return;
      }
      case CODE_GOAWAY:
        counts.goaways += 1;
        this.#later(Number(value[2]));
        return;
      default:
        this.#host.tally.fail(`the server said ${JSON.stringify(value)}`);
    }
  }

  #ok(ref: number, result: { epoch: string; offset: number; recovered: boolean }): void {
    const { ledger, tally } = this.#host;
    const slot = ref - 1;
    const before = ledger.position(this.#place, slot);
    const same = ledger.begin(this.#place, slot, result.epoch, result.offset);
    if (before !== undefined) {
      if (!result.recovered) tally.counts.unrecovered += 1;
      else if (same) tally.counts.recovered += 1;
      else tally.fail(`connection ${this.index} asked after ${before} and got ${JSON.stringify(result)}`);
    }
    this.#oksDue -= 1;
    this.#settle();
  }

  #live(room: number): void {
    if (slotOf(this.#host.rooms, this.index, room) < 0)
      throw new Error(`room ${room} is live, which was not asked for`);
    this.#livesDue -= 1;
    this.#settle();
  }

  #settle(): void {
    if (this.#oksDue > 0 || this.#livesDue > 0 || this.#state === "live") return;
    this.#failed = 0;
    this.#move("live");
    if (this.#lostMicros === 0) return;
    const { tally } = this.#host;
    tally.counts.comebacks += 1;
    tally.comebackMicros.record(hostMicros() - this.#lostMicros);
    this.#lostMicros = 0;
  }

  /** A broker that is away or late is no failure: the member comes back when it was told to, as the shipped client does. */
  #error(ref: unknown, code: unknown, text: unknown, retryMs: unknown): void {
    const { tally } = this.#host;
    if (code !== "unavailable" && code !== "timeout") {
      tally.fail(`the server answered ${ref} with ${code}: ${text}`);
      return;
    }
    tally.reason(`subscribing: ${text}`);
    this.leave();
    this.#again(typeof retryMs === "number" ? retryMs : undefined);
  }
}
