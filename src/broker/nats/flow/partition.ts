import { Errand } from "./ask-desk.js";
import type {
  FlowMessage,
  HeadsAnswer,
  HeadsAsk,
  PartitionSpec,
  RoomOpening,
  StreamFacts,
} from "./flow-port.js";
import { FlowRoom } from "./flow-room.js";
import type { FlowShared } from "./flow-shared.js";
import { type Checkpoint, ShownStream } from "./shown-stream.js";

/** One look at all that may have been missed. */
interface Round<M extends FlowMessage> {
  /** After a gap every room is looked at, else those that were quiet. */
  readonly full: boolean;
  /** Gaps that had been counted when it began. */
  readonly gaps: number;
  /** What is to be looked at; undefined until the stream's facts are known. */
  rooms: readonly FlowRoom<M>[] | undefined;
  /** How many of them have been. */
  done: number;
}

interface Asked<M extends FlowMessage> {
  readonly rooms: readonly FlowRoom<M>[];
  /** How many of the round's rooms are among them. */
  readonly ofRound: number;
  /** As of when it was asked. */
  readonly checkpoints: readonly Checkpoint[];
  readonly newest: Checkpoint;
  readonly end: number;
  readonly gaps: number;
  readonly unproven: number;
  /** Whether the facts are what the round waits for. */
  readonly forFacts: boolean;
}

/**
 * One stream and the rooms of it that are open: reads where they begin, and sweeps them: after every gap (a
 * disconnect, a change of the stream's leader) all of them, and on a timer those that were quiet, for messages
 * that were stored and never came live. Every sweep begins with the facts of the stream; only rooms that are not
 * verified up to its end cost more than that.
 *
 * **Another stream, or an older one.** Sequences mean nothing without the stream that counted them. Every answer says its
 * epoch; and as a store can be put back without any outer sign, every sweep has one message read that was seen before
 * (the checkpoint, taken before the gap) and compares. A stream that ends before what was seen of it, for longer
 * than a fresh leader may take to catch up with itself, is an older one too. Then all rooms begin anew in another epoch.
 */
export abstract class Partition<M extends FlowMessage> {
  readonly spec: PartitionSpec;
  readonly errand = new Errand();
  protected readonly shared: FlowShared<M>;
  readonly #rooms = new Map<string, FlowRoom<M>>();
  readonly #opening = new Set<FlowRoom<M>>();
  #epoch: string | undefined;
  /** What the stream has shown, to recognise it by. */
  readonly #shown: ShownStream<M>;
  #gaps = 0;
  /** Gaps after which there has been a whole round. */
  #sweptGaps = 0;
  #round: Round<M> | undefined;
  #sweepAtMs: number;
  /** When the rooms that were opened last are to be looked at again. */
  #lookAgainMs = Number.NEGATIVE_INFINITY;
  /** The next round looks at all rooms, gap or not. */
  #sweepsAll = false;
  #asked: Asked<M> | undefined;
  #unproven: FlowRoom<M>[] = [];
  /** Until the first answer of an epoch live messages may be of the one before. */
  #fresh = true;

  /** @param index Spreads the sweeps of several partitions over time. */
  constructor(spec: PartitionSpec, shared: FlowShared<M>, index: number, nowMs: number) {
    this.spec = spec;
    this.shared = shared;
    this.#shown = new ShownStream((message) => shared.port.mark(message));
    this.#sweepAtMs = nowMs + (shared.limits.sweepMs * (1 + (index % PHASES))) / PHASES;
  }

  /** "" before anything was read. */
  get epoch(): string {
    return this.#epoch ?? "";
  }

  get size(): number {
    return this.#rooms.size;
  }

  room(token: string): FlowRoom<M> | undefined {
    return this.#rooms.get(token);
  }

  rooms(): Iterable<FlowRoom<M>> {
    return this.#rooms.values();
  }

  open(opening: RoomOpening<M>): FlowRoom<M> {
    if (this.#rooms.has(opening.token)) throw new Error(`room ${opening.name} is open already`);
    const room = new FlowRoom(opening, this, this.shared, this.#fresh);
    this.#rooms.set(room.token, room);
    this.#opening.add(room);
    this.joined(room);
    this.shared.heads.want(this);
    return room;
  }

  close(room: FlowRoom<M>): void {
    if (room.isClosed) return;
    room.state = "closed";
    room.dropHeld();
    this.shared.pages.cancel(room);
    this.#rooms.delete(room.token);
    this.#opening.delete(room);
    this.left(room);
  }

  /** Messages may have been lost, of any room. */
  gap(): void {
    this.#shown.gap();
    this.#gaps += 1;
    this.#sweepAtMs = Number.NEGATIVE_INFINITY;
  }

  /** A room's messages up to a number were taken away: who has it open is told. One that opens begins behind that. */
  purged(token: string, upTo: number): void {
    const room = this.#rooms.get(token);
    if (room === undefined || room.state === "opening") return;
    room.reset(upTo, "purged");
  }

  /** Something that should not be: has the facts looked at soon. */
  doubt(nowMs: number): void {
    this.#sweepAtMs = Math.min(this.#sweepAtMs, nowMs + this.shared.limits.retryMsMax);
  }

  tick(nowMs: number): void {
    if (nowMs >= this.#sweepAtMs && this.#rooms.size > 0) this.shared.heads.want(this);
  }

  /** All rooms begin anew, in another epoch, and are told. */
  renew(epoch: string): void {
    if (epoch === this.#epoch) return;
    this.#shown.forgive();
    const first = this.#epoch === undefined;
    this.#epoch = epoch;
    if (first) return;
    this.#fresh = true;
    this.#sweepAtMs = Number.NEGATIVE_INFINITY;
    this.#shown.clear();
    this.#unproven = [];
    this.#round = undefined;
    this.#asked = undefined;
    this.shared.heads.cancel(this);
    for (const room of this.#rooms.values()) {
      this.shared.pages.cancel(room);
      room.renew();
      this.#opening.add(room);
    }
    this.restarted();
    this.shared.heads.want(this);
  }

  /** What to ask now; undefined: nothing. */
  headsAsk(id: number, nowMs: number): HeadsAsk<M> | undefined {
    if (this.#rooms.size === 0) return undefined;
    const due = nowMs >= this.#sweepAtMs;
    if (this.#round === undefined && due) {
      const full = this.#sweepsAll || this.isTorn;
      this.#round = { full, gaps: this.#gaps, rooms: undefined, done: 0 };
      this.#sweepAtMs = Number.POSITIVE_INFINITY;
    }
    if (this.#opening.size === 0 && this.#round === undefined) return undefined;
    const { rooms, ofRound } = this.#batch();
    this.#asked = {
      rooms,
      ofRound,
      checkpoints: this.#shown.checkpoints,
      newest: this.#shown.newest,
      end: this.end,
      gaps: this.#gaps,
      unproven: this.#unproven.length,
      forFacts: this.#round !== undefined && this.#round.rooms === undefined,
    };
    // Without a gap subscriptions are in force, but for those of rooms that open.
    const flush = this.#opening.size > 0 || this.isTorn;
    const anchors = this.#shown.checkpoints.map(({ sequence }) => sequence);
    return { kind: "heads", id, partition: this, rooms, anchors, flush };
  }

  heads(answer: HeadsAnswer<M>, nowMs: number): void {
    const asked = this.#asked;
    this.#asked = undefined;
    const { heads } = this.shared;
    // What was read before a gap may be of another store than what comes after it.
    if (asked === undefined || !this.admit(answer) || asked.gaps !== this.#gaps) heads.want(this);
    else if (!this.#trusts(asked, answer, nowMs)) heads.retry(this, nowMs);
    else this.#learn(asked, answer, nowMs);
  }

  #learn(asked: Asked<M>, answer: HeadsAnswer<M>, nowMs: number): void {
    const { heads } = this.shared;
    this.errand.failures = 0;
    this.#shown.came(answer.upTo);
    this.#fresh = false;
    if (answer.last !== undefined) this.saw(answer.last);
    this.#shown.recognised(asked.newest);
    this.#prove(asked.unproven, answer);
    this.informed(answer, nowMs);
    for (const room of asked.rooms) {
      const head = answer.heads.get(room.token);
      if (room.state === "opening") this.#begin(room, head, answer, nowMs);
      else if (!room.isClosed) this.swept(room, head, answer, nowMs);
    }
    this.#advance(asked, answer, nowMs);
    if (asked.rooms.some(({ state }) => state === "opening")) heads.retry(this, nowMs);
    else if (this.#round !== undefined || this.#opening.size > 0 || nowMs >= this.#sweepAtMs)
      heads.want(this);
  }

  /** Whether an answer is of the epoch that is being delivered; else all rooms begin anew. */
  protected admit({ epoch }: StreamFacts): boolean {
    const known = this.#epoch === undefined || this.#epoch === epoch;
    this.renew(epoch);
    return known;
  }

  /** Whether a gap is still to be looked into. */
  protected get isTorn(): boolean {
    return this.#gaps !== this.#sweptGaps;
  }

  /** How many gaps there have been. */
  protected get gaps(): number {
    return this.#gaps;
  }

  /** How far the stream has come in messages by which it would be recognised. */
  protected get recognised(): number {
    return this.#shown.reached;
  }

  /** How far the stream has come at least. */
  protected get end(): number {
    return this.#shown.end;
  }

  /** Remembers a message that the stream has shown. */
  protected saw(message: M): void {
    if (!this.#fresh) this.#shown.saw(message);
  }

  /** Has it checked soon, with facts that are asked for from now on, that nothing has come and gone unseen. */
  protected unproven(room: FlowRoom<M>, nowMs: number): void {
    this.doubt(nowMs);
    if (room.unproven === undefined) this.#unproven.push(room);
    room.unproven ??= room.verified;
  }

  /** The room has a message of this number. */
  abstract exists(room: FlowRoom<M>, sequence: number): void;

  /** A room was added. */
  protected abstract joined(room: FlowRoom<M>): void;
  /** A room was removed. */
  protected abstract left(room: FlowRoom<M>): void;
  /** All rooms begin anew. */
  protected abstract restarted(): void;
  protected abstract informed(facts: StreamFacts, nowMs: number): void;
  /** The rooms to be looked at in a sweep. */
  protected abstract unchecked(upTo: number, full: boolean, nowMs: number): FlowRoom<M>[];
  /** The last message of an open room is `last`; undefined: it has none. */
  protected abstract swept(
    room: FlowRoom<M>,
    last: number | undefined,
    facts: StreamFacts,
    nowMs: number,
  ): void;
  /** The room is live from its head on; what waits in it follows. */
  protected abstract begun(room: FlowRoom<M>, nowMs: number): void;

  #batch(): { rooms: FlowRoom<M>[]; ofRound: number } {
    const { headsRooms } = this.shared.limits;
    const { rooms: all = [], done = 0 } = this.#round ?? {};
    // Half for each where both wait, so that neither waits for the other's end.
    const openingMax = done < all.length ? Math.ceil(headsRooms / 2) : headsRooms;
    const opening: FlowRoom<M>[] = [];
    for (const room of this.#opening) {
      if (opening.length >= openingMax) break;
      opening.push(room);
    }
    const ofRound = all.slice(done, done + headsRooms - opening.length);
    return { rooms: [...opening, ...ofRound.filter((room) => !room.isClosed)], ofRound: ofRound.length };
  }

  /** Whether the store that answered has what it has shown before. */
  #trusts(asked: Asked<M>, answer: HeadsAnswer<M>, nowMs: number): boolean {
    const { port, counters, limits } = this.shared;
    if (answer.upTo < asked.end) {
      counters.staleReads += 1;
      if (this.#shown.isBehind(nowMs, limits.staleMs)) port.suspect(this, answer, false);
      return false;
    }
    this.#shown.forgive();
    if (!this.#shown.isOther(asked.checkpoints, answer.anchors)) return true;
    port.suspect(this, answer, true);
    return false;
  }

  #begin(room: FlowRoom<M>, head: number | undefined, facts: StreamFacts, nowMs: number): void {
    if (facts.upTo < room.needsUpTo) return;
    this.#opening.delete(room);
    // Of what came and went up to there nothing was promised.
    room.begin(head ?? facts.upTo, head === undefined ? nowMs : undefined);
    room.anchored = head !== undefined;
    room.verified = Math.max(room.head, facts.upTo);
    room.checkedMs = nowMs;
    if (this.spec.spread) this.#lookAgain(room, nowMs);
    room.state = "live";
    const position = { epoch: this.epoch, offset: room.head };
    if (room.renewed) {
      room.renewed = false;
      room.reset(room.head, "epoch");
      room.anchored = head !== undefined;
    } else room.sink.opened(position);
    if (!room.isClosed) this.begun(room, nowMs);
  }

  /** The room's subscription may not be in force everywhere yet: what it has missed by then is looked for soon. */
  #lookAgain(room: FlowRoom<M>, nowMs: number): void {
    room.unsureUntilMs = nowMs + this.shared.limits.resweepMs;
    this.#lookAgainMs = room.unsureUntilMs;
    this.#sweepAtMs = Math.min(this.#sweepAtMs, this.#lookAgainMs);
  }

  #prove(count: number, { first }: StreamFacts): void {
    if (count === 0) return;
    const rooms = this.#unproven.splice(0, count);
    for (const room of rooms) {
      const { unproven } = room;
      room.unproven = undefined;
      if (unproven === undefined || room.isClosed || room.state === "opening" || first - 1 <= unproven)
        continue;
      const { anchored } = room;
      room.reset(room.head, "purged");
      room.anchored = anchored;
    }
  }

  #advance(asked: Asked<M>, facts: StreamFacts, nowMs: number): void {
    const round = this.#round;
    if (round === undefined) return;
    if (asked.forFacts) round.rooms = this.unchecked(facts.upTo, round.full, nowMs);
    else round.done += asked.ofRound;
    if (round.rooms === undefined || round.done < round.rooms.length) return;
    this.#round = undefined;
    const { resweepMs, sweepMs } = this.shared.limits;
    const wasGap = round.gaps !== this.#sweptGaps;
    this.#sweptGaps = round.gaps;
    this.#sweepsAll = wasGap;
    const nextMs = this.#gaps !== round.gaps ? 0 : wasGap ? Math.min(resweepMs, sweepMs) : sweepMs;
    const againMs = this.#lookAgainMs > nowMs ? this.#lookAgainMs : Number.POSITIVE_INFINITY;
    this.#sweepAtMs = Math.min(this.#sweepAtMs, nowMs + nextMs, againMs);
  }
}

const PHASES = 16;
