/** Seeded randomness: the same seed gives the same run (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 up to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** An integer from 0 up to n, n not included. */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }
}

interface Task {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Virtual time: runs what was asked for in its order, and lets promises settle in between. */
export class Scheduler {
  readonly random: Random;
  nowMs = 0;
  #order = 0;
  readonly #tasks: Task[] = [];

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  after(delayMs: number, run: () => void): void {
    const task = { atMs: this.nowMs + delayMs, order: this.#order++, run };
    let low = 0;
    let high = this.#tasks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#tasks[middle];
      if (
        other !== undefined &&
        (other.atMs < task.atMs || (other.atMs === task.atMs && other.order < task.order))
      )
        low = middle + 1;
      else high = middle;
    }
    this.#tasks.splice(low, 0, task);
  }

  /** After a random time of up to `delayMs`. */
  soon(delayMs: number, run: () => void): void {
    this.after(this.random.next() * delayMs, run);
  }

  /** Again and again, from the first time after half a period to one and a half, each later one the same after the one before. */
  every(periodMs: number, untilMs: number, run: () => void): void {
    this.after(periodMs * (0.5 + this.random.next()), () => {
      if (this.nowMs >= untilMs) return;
      run();
      this.every(periodMs, untilMs, run);
    });
  }

  delay(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.soon(delayMs, resolve));
  }

  async runUntil(endMs: number): Promise<void> {
    for (let task = this.#take(endMs); task !== undefined; task = this.#take(endMs)) {
      task.run();
      await new Promise(setImmediate);
    }
    this.nowMs = endMs;
  }

  /** As {@link Scheduler.runUntil}, for what waits for no promise. */
  runSync(endMs: number): void {
    for (let task = this.#take(endMs); task !== undefined; task = this.#take(endMs)) task.run();
    this.nowMs = endMs;
  }

  #take(endMs: number): Task | undefined {
    const task = this.#tasks[0];
    if (task === undefined || task.atMs > endMs) return undefined;
    this.#tasks.shift();
    this.nowMs = task.atMs;
    return task;
  }
}
