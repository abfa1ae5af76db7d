import { type CpuTime, cpuSince, cpuTime, residentBytes } from "./proc.js";

/** Resident memory and CPU time of several processes, read together. */
export class Meter {
  readonly #before: ReadonlyMap<number, { readonly cpu: CpuTime; readonly residentBytes: number }>;
  readonly #startedMs = performance.now();

  constructor(pids: readonly number[]) {
    this.#before = new Map(
      pids.map((pid) => [pid, { cpu: cpuTime(pid), residentBytes: residentBytes(pid) }]),
    );
  }

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1_000;
  }

  get pids(): number[] {
    return [...this.#before.keys()];
  }

  /** CPU time that they used since. @throws Error where one has ended. */
  cpuMicros(pids: readonly number[] = this.pids): number {
    return pids.reduce((sum, pid) => {
      const before = this.#before.get(pid);
      return sum + (before === undefined ? 0 : cpuSince(pid, before.cpu).micros);
    }, 0);
  }

  /** How much the process has grown since. */
  grownBytes(pid: number): number {
    const before = this.#before.get(pid);
    if (before === undefined) throw new Error(`process ${pid} was not there before`);
    return residentBytes(pid) - before.residentBytes;
  }
}
