import type {
  Position,
  Rate,
  ServerFrame,
  SubscribeOptions,
  SubscribeResult,
} from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import { matchesRoom, type RoomPattern } from "../../protocol/room-pattern.js";
import type { SimulatedBroker, Stored } from "./broker.testkit.js";
import { PatternStreams } from "./pattern-streams.testkit.js";
import { SimulatedPeer } from "./peer.testkit.js";
import type { SimulatedWorker } from "./worker.testkit.js";

/** A room that the client has by name. */
interface Named {
  start: SubscribeOptions;
  position: Position | undefined;
  /** An answer came once. */
  known: boolean;
  waiting: boolean;
  ref: number;
  /** Of its first subscribe: what was asked before is of another time that the client had the room. */
  readonly firstRef: number;
  /** Of the unsubscribe under way. */
  unsubscribing: number;
  rate: Rate;
  /** A reset of a pattern came that means the room. */
  told: boolean;
}

/**
 * A client of patterns and rooms, written from PROTOCOL.md. It checks as messages come: of each room it has all there are,
 * each once on the wire, over every change between patterns and names, unless it is told.
 */
export class PatternClient extends SimulatedPeer {
  readonly patterns = new Map<RoomPattern, { ref: number; answered: boolean }>();
  readonly rooms = new Map<RoomName, Named>();
  readonly #streams: PatternStreams;
  readonly #broker: SimulatedBroker;
  readonly #allRooms: readonly RoomName[];
  /** Which room a subscribe asked for. */
  readonly #asked = new Map<number, RoomName>();
  resets = 0;
  lags = 0;
  changes = 0;
  refused = 0;

  constructor(
    name: string,
    broker: SimulatedBroker,
    workers: readonly SimulatedWorker[],
    allRooms: readonly RoomName[],
  ) {
    super(broker.scheduler, workers);
    this.#allRooms = allRooms;
    this.#broker = broker;
    this.#streams = new PatternStreams(name, broker, () => (this.socket?.drops ?? 0) > 0);
    this.connect();
  }

  get faults(): readonly string[] {
    return this.#streams.faults;
  }

  get delivered(): number {
    return this.#streams.delivered;
  }

  override closed(): void {
    super.closed();
    this.#forgetStreams();
  }

  togglePattern(pattern: RoomPattern): void {
    if (!this.isOpen) return;
    if (!this.patterns.has(pattern) || this.scheduler.random.chance(0.2)) {
      this.#subscribePattern(pattern);
      return;
    }
    this.patterns.delete(pattern);
    this.send({ type: "unsubscribePattern", ref: this.ref++, pattern });
    this.#uncover();
  }

  toggleRoom(room: RoomName, start: SubscribeOptions): void {
    if (!this.isOpen) return;
    const named = this.rooms.get(room);
    if (named?.unsubscribing === 0 && !this.scheduler.random.chance(0.3)) {
      named.unsubscribing = this.ref++;
      named.told = false;
      this.send({ type: "unsubscribe", ref: named.unsubscribing, room });
    } else if (named === undefined || named.unsubscribing === 0) {
      const before = {
        position: undefined,
        known: false,
        rate: "all" as const,
        told: false,
        firstRef: this.ref,
      };
      const next = { ...(named ?? before), start, waiting: true, ref: 0, unsubscribing: 0 };
      if (start.after === undefined && this.scheduler.random.chance(0.5)) next.position = undefined;
      this.rooms.set(room, next);
      this.#subscribe(room, next);
    }
  }

  /** Everything that it was promised has come by now. */
  checkEnd(): void {
    this.#streams.checkEnd();
  }

  protected override take(frame: ServerFrame): void {
    switch (frame.type) {
      case "welcome":
        this.isOpen = true;
        this.#subscribeAll();
        break;
      case "lagged":
        this.lags += 1;
        this.#forgetStreams();
        this.#subscribeAll();
        break;
      case "ok":
        this.#answered(frame.ref, frame.result);
        break;
      case "error":
        this.#refused(frame.ref);
        break;
      case "message":
        this.#message(frame.room, this.#broker.byData.get(frame.data), frame);
        break;
      case "live": {
        const named = this.rooms.get(frame.room);
        if (named?.position !== undefined && !named.waiting && frame.offset > named.position.offset)
          named.position = { epoch: named.position.epoch, offset: frame.offset };
        break;
      }
      case "rate": {
        const named = this.rooms.get(frame.room);
        if (named === undefined || named.waiting) break;
        named.rate = frame.rate;
        this.#streams.beginNow(frame.room, true);
        break;
      }
      case "reset":
        this.#roomReset(frame.room, { epoch: frame.epoch, offset: frame.offset });
        break;
      case "patternReset":
        this.#patternReset(frame.pattern);
        break;
      case "patternEnded":
        this.refused += 1;
        this.patterns.delete(frame.pattern);
        this.#uncover();
        break;
    }
  }

  #message(room: RoomName, stored: Stored | undefined, { offset }: { offset: number }): void {
    const named = this.rooms.get(room);
    if (named?.known === true) {
      if (named.waiting) return;
      named.position = { epoch: named.position?.epoch ?? "", offset };
    } else if (!this.#isMeant(room)) return;
    this.#streams.take(room, stored, offset);
  }

  #answered(ref: number, result: unknown): void {
    for (const [pattern, entry] of this.patterns)
      if (entry.ref === ref) this.#patternAnswered(pattern, entry);
    for (const [room, named] of this.rooms) {
      if (named.unsubscribing === ref && ref > 0) this.#left(room, named);
      else if (named.ref === ref && ref > 0) this.#begun(room, named, result as SubscribeResult);
      // An earlier one: from there on it comes by name.
      else if (this.#asked.get(ref) === room && ref >= named.firstRef) named.known = true;
    }
  }

  #patternAnswered(pattern: RoomPattern, entry: { ref: number; answered: boolean }): void {
    entry.ref = 0;
    entry.answered = true;
    for (const room of this.#allRooms) {
      if (!matchesRoom(pattern, room) || this.#streams.has(room) || this.rooms.get(room)?.known === true)
        continue;
      this.#streams.beginNow(room);
    }
  }

  #begun(room: RoomName, named: Named, { epoch, offset, recovered, rate }: SubscribeResult): void {
    const position = { epoch, offset };
    const isFresh = named.start.last === undefined && named.start.after === undefined && !recovered;
    if (!named.known && isFresh) this.#streams.checkHandover(room, position);
    named.ref = 0;
    named.waiting = false;
    named.known = true;
    named.position = position;
    named.rate = rate ?? "all";
    this.changes += 1;
    this.#streams.beginAfter(room, position, named.rate !== "all");
  }

  #left(room: RoomName, named: Named): void {
    this.rooms.delete(room);
    this.changes += 1;
    const ignored = named.known && named.waiting;
    if (!this.#isMeant(room)) this.#streams.end(room);
    else if (named.told || ignored || !this.#streams.has(room)) this.#streams.beginNow(room);
    else if (named.known && named.rate !== "all") this.#streams.wentOnConflated(room);
  }

  #refused(ref: number): void {
    for (const [pattern, entry] of this.patterns) {
      if (entry.ref !== ref) continue;
      this.refused += 1;
      entry.ref = 0;
      entry.answered = false;
      this.#uncover();
      this.#later(
        () => this.patterns.get(pattern) === entry && entry.ref === 0 && this.#subscribePattern(pattern),
      );
    }
    for (const [room, named] of this.rooms) {
      if (named.ref !== ref || ref === 0) continue;
      named.ref = 0;
      this.#later(
        () =>
          this.rooms.get(room) === named &&
          named.ref === 0 &&
          named.waiting &&
          named.unsubscribing === 0 &&
          this.#subscribe(room, named),
      );
    }
  }

  #later(run: () => unknown): void {
    this.scheduler.soon(100, () => {
      if (this.isOpen) run();
    });
  }

  #roomReset(room: RoomName, position: Position): void {
    const named = this.rooms.get(room);
    if (named?.known !== true || named.waiting) return;
    this.resets += 1;
    named.position = position;
    this.#streams.beginAfter(room, position, named.rate !== "all");
  }

  #patternReset(pattern: RoomPattern): void {
    if (this.patterns.get(pattern)?.answered !== true) return;
    this.resets += 1;
    for (const room of this.#streams.rooms()) {
      if (!matchesRoom(pattern, room)) continue;
      const named = this.rooms.get(room);
      if (named?.known === true) named.told = true;
      else this.#streams.beginNow(room);
    }
  }

  #subscribeAll(): void {
    const { random } = this.scheduler;
    const all: (() => void)[] = [...this.patterns.keys()].map(
      (pattern) => () => this.#subscribePattern(pattern),
    );
    for (const [room, named] of this.rooms) {
      if (named.unsubscribing > 0) this.rooms.delete(room);
      else all.push(() => this.#subscribe(room, named));
    }
    for (const entry of this.patterns.values()) entry.answered = false;
    while (all.length > 0) all.splice(random.below(all.length), 1)[0]?.();
    // What it was leaving when it was told of a loss, it leaves for good.
    if (this.lags > 0) for (const room of this.#allRooms) this.#leaveForGood(room);
  }

  #leaveForGood(room: RoomName): void {
    if (!this.rooms.has(room)) this.send({ type: "unsubscribe", ref: this.ref++, room });
  }

  #subscribePattern(pattern: RoomPattern): void {
    const answered = this.patterns.get(pattern)?.answered ?? false;
    const entry = { ref: this.ref++, answered };
    this.patterns.set(pattern, entry);
    this.send({ type: "subscribePattern", ref: entry.ref, pattern, options: {} });
  }

  #subscribe(room: RoomName, named: Named): void {
    named.ref = this.ref++;
    this.#asked.set(named.ref, room);
    named.waiting = true;
    const options = named.position === undefined ? named.start : { after: named.position };
    const rate = named.start.rate === undefined ? {} : { rate: named.start.rate };
    this.send({ type: "subscribe", ref: named.ref, room, options: { ...options, ...rate } });
  }

  #isMeant(room: RoomName): boolean {
    for (const [pattern, { answered }] of this.patterns)
      if (answered && matchesRoom(pattern, room)) return true;
    return false;
  }

  /** Rooms that nothing brings any more. */
  #uncover(): void {
    for (const room of this.#streams.rooms())
      if (this.rooms.get(room)?.known !== true && !this.#isMeant(room)) this.#streams.end(room);
  }

  #forgetStreams(): void {
    this.#streams.forget();
    for (const entry of this.patterns.values()) entry.answered = false;
  }
}
