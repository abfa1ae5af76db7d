import type { Stats } from "./ops-data.js";

/** What the charts show, and a little more for who pauses on it. */
export const WINDOW_SECONDS = 300;
const KEPT = WINDOW_SECONDS + 10;
/** A longer pause between two samples is a hole in the charts. */
const HOLE_SECONDS = 2.6;

/** Values of a chart's line; null: a hole. */
export type Line = (number | null)[];

/** The samples of the last minutes. */
export class History {
  /** Seconds since 1970. */
  readonly times: number[] = [];
  readonly #stats: (Stats | undefined)[] = [];
  #version = 0;

  /** Grows with every sample. */
  get version(): number {
    return this.#version;
  }

  get last(): Stats | undefined {
    return this.#stats.at(-1);
  }

  add(timeMs: number, stats: Stats): void {
    const time = timeMs / 1_000;
    const before = this.times.at(-1);
    // A node that was started anew may have set its clock back.
    if (before !== undefined && time <= before) this.clear();
    else if (before !== undefined && time - before > HOLE_SECONDS) this.#push(before + 1, undefined);
    this.#push(time, stats);
  }

  clear(): void {
    this.times.length = 0;
    this.#stats.length = 0;
    this.#version += 1;
  }

  line(of: (stats: Stats) => number | undefined): Line {
    return this.#stats.map((stats) => (stats === undefined ? null : (of(stats) ?? null)));
  }

  at(index: number): Stats | undefined {
    return this.#stats[index];
  }

  #push(time: number, stats: Stats | undefined): void {
    this.times.push(time);
    this.#stats.push(stats);
    this.#version += 1;
    if (this.times.length <= KEPT) return;
    this.times.shift();
    this.#stats.shift();
  }
}
