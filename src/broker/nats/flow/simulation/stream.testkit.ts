import type { Scheduler } from "../../../../core/simulation/scheduler.testkit.js";
import type { FlowMessage } from "../flow-port.js";

/** A message as the simulated server has it, and hands it out. */
export interface SimulatedMessage extends FlowMessage {
  readonly token: string;
  /** Unlike any other's. */
  readonly value: number;
  readonly storedMs: number;
  removedMs: number;
  /** Set once the callback that it came with has returned: only a copy stays valid. */
  gone: boolean;
}

/** Who hears of what is republished. */
export interface Listener {
  republished(stream: SimulatedStream, message: SimulatedMessage, previous: number): void;
}

export interface StreamOptions {
  readonly name: string;
  readonly whole: boolean;
  /** Subscriptions are in force some time after a node is told so. */
  readonly spread: boolean;
  readonly ageMs: number;
  /** Messages kept a room. */
  readonly perRoom: number;
  /** Fresh leaders are behind at first. */
  readonly lags: boolean;
}

/** One time that a stream, or an older copy of it, counted its messages. */
export interface Incarnation {
  readonly fromMs: number;
  /** Everything ever stored, oldest first. */
  readonly truth: SimulatedMessage[];
}

/** A model of a JetStream stream with RePublish, and of all that happens to one. */
export class SimulatedStream {
  readonly options: StreamOptions;
  readonly listeners: Listener[] = [];
  readonly incarnations: Incarnation[] = [{ fromMs: 0, truth: [] }];
  /** Which incarnations had which epoch. */
  readonly epochs = new Map<string, Set<number>>([["e0", new Set([0])]]);
  readonly #scheduler: Scheduler;
  #log: SimulatedMessage[] = [];
  #last = 0;
  #epoch = "e0";
  #epochCount = 1;
  #republishes = true;
  /** Answers are behind until then. */
  laggingUntilMs = Number.NEGATIVE_INFINITY;
  #saved:
    | { readonly log: SimulatedMessage[]; readonly last: number; readonly truth: SimulatedMessage[] }
    | undefined;
  static #values = 0;

  constructor(options: StreamOptions, scheduler: Scheduler) {
    this.options = options;
    this.#scheduler = scheduler;
  }

  get last(): number {
    return this.#last;
  }

  get first(): number {
    this.#expire();
    return this.#log[0]?.sequence ?? this.#last + 1;
  }

  get epoch(): string {
    return this.#epoch;
  }

  get incarnation(): number {
    return this.incarnations.length - 1;
  }

  get log(): readonly SimulatedMessage[] {
    this.#expire();
    return this.#log;
  }

  /** What was stored some time ago, as a server has it that is behind. */
  logBefore(agoMs: number): SimulatedMessage[] {
    const atMs = this.#scheduler.nowMs - agoMs;
    const oldestMs = this.options.ageMs === 0 ? Number.NEGATIVE_INFINITY : atMs - this.options.ageMs;
    const { truth = [] } = this.incarnations.at(-1) ?? {};
    return truth.filter(
      ({ storedMs, removedMs }) => storedMs <= atMs && storedMs >= oldestMs && removedMs > atMs,
    );
  }

  /** The last that had been stored some time ago. */
  lastBefore(agoMs: number): number {
    const { truth = [] } = this.incarnations.at(-1) ?? {};
    return truth.findLast(({ storedMs }) => storedMs <= this.#scheduler.nowMs - agoMs)?.sequence ?? 0;
  }

  of(token: string): SimulatedMessage[] {
    return this.log.filter((message) => message.token === token);
  }

  /** The last message of the room that was stored and is not any more. */
  lastRemoved(token: string): number {
    const stored = new Set(this.of(token));
    const { truth = [] } = this.incarnations.at(-1) ?? {};
    return truth.findLast((message) => message.token === token && !stored.has(message))?.sequence ?? 0;
  }

  /** @param silently It is not republished. */
  store(token: string, silently = false): void {
    const before = this.of(token);
    this.#last += 1;
    SimulatedStream.#values += 1;
    const message: SimulatedMessage = {
      sequence: this.#last,
      token,
      value: SimulatedStream.#values,
      storedMs: this.#scheduler.nowMs,
      removedMs: Number.POSITIVE_INFINITY,
      gone: false,
    };
    this.#log.push(message);
    this.incarnations.at(-1)?.truth.push(message);
    const oldest = before.length >= this.options.perRoom ? before[0] : undefined;
    if (oldest !== undefined) this.#remove(oldest);
    if (!silently && this.#republishes) this.republish(message, before.at(-1)?.sequence ?? 0);
  }

  republish(message: SimulatedMessage, previous: number): void {
    for (const listener of this.listeners) listener.republished(this, message, previous);
  }

  /** For a while nothing is republished, then a new leader answers, which may be behind at first and may repeat itself. */
  elect(): void {
    if (this.#scheduler.nowMs < this.laggingUntilMs + REIGN_MS) return;
    this.laggingUntilMs = this.#scheduler.nowMs;
    this.#republishes = false;
    this.#scheduler.soon(150, () => {
      this.#republishes = true;
      const lagMs = 200 * this.#scheduler.random.next();
      if (this.options.lags) this.laggingUntilMs = this.#scheduler.nowMs + lagMs;
      if (this.#scheduler.random.chance(0.5)) this.repeat();
    });
  }

  repeat(): void {
    for (const message of this.log.slice(-3)) {
      const before = this.of(message.token).filter(({ sequence }) => sequence < message.sequence);
      this.republish(message, before.at(-1)?.sequence ?? 0);
    }
  }

  purge(token?: string): void {
    for (const message of this.log.filter((stored) => token === undefined || stored.token === token))
      this.#remove(message);
  }

  recreate(): void {
    this.#log = [];
    this.#last = 0;
    this.#begin([]);
    this.renew();
  }

  save(): void {
    this.#saved = {
      log: [...this.log],
      last: this.#last,
      truth: [...(this.incarnations.at(-1)?.truth ?? [])],
    };
  }

  /** The store as it was: nothing outside of it shows that. False where that would change nothing. */
  restore(): boolean {
    if (this.#saved === undefined || this.#saved.last === this.#last) return false;
    this.#log = [...this.#saved.log];
    this.#last = this.#saved.last;
    this.#begin([...this.#saved.truth]);
    this.epochs.get(this.#epoch)?.add(this.incarnation);
    return true;
  }

  /** Another epoch for what there is. */
  renew(): void {
    this.#epoch = `e${this.#epochCount}`;
    this.#epochCount += 1;
    this.epochs.set(this.#epoch, new Set([this.incarnation]));
  }

  #remove(message: SimulatedMessage): void {
    message.removedMs = this.#scheduler.nowMs;
    this.#log.splice(this.#log.indexOf(message), 1);
  }

  #begin(truth: SimulatedMessage[]): void {
    this.#saved = undefined;
    this.incarnations.push({ fromMs: this.#scheduler.nowMs, truth });
  }

  #expire(): void {
    const { ageMs } = this.options;
    if (ageMs === 0) return;
    const before = this.#scheduler.nowMs - ageMs;
    const kept = this.#log.findIndex(({ storedMs }) => storedMs >= before);
    if (kept !== 0) this.#log = kept < 0 ? [] : this.#log.slice(kept);
  }
}

/** Leaders do not change faster than the flow takes to distrust one. */
const REIGN_MS = 800;
