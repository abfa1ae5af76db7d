import type { Rate, ServerFrame } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { SimulatedSocket } from "./worker.testkit.js";

interface Live {
  readonly windowMs: number;
  /** By key, when the last one was sent. */
  readonly sentMs: Map<string | undefined, number>;
  /** One that came before its time, which only a reset behind it explains. */
  early: { readonly fault: string; readonly sentMs: number } | undefined;
}

/**
 * What a conflated class promises about time, checked at one client for every room where it is live: no value is older than the
 * window when it is put on the socket, and of a key none comes within a window of the one before, whatever else goes on.
 */
export class PaceWatch {
  readonly faults: string[] = [];
  readonly #live = new Map<RoomName, Live>();

  /** From here on what comes of the room is its class's flow. */
  began(room: RoomName, rate: Rate | "slowest"): void {
    if (typeof rate !== "number" || this.#live.has(room)) return;
    this.#live.set(room, { windowMs: 1_000 / rate, sentMs: new Map(), early: undefined });
  }

  /** What waited for its time went out with the reset; then its class goes on. */
  reset(room: RoomName): void {
    const live = this.#live.get(room);
    if (live === undefined) return;
    live.sentMs.clear();
    live.early = undefined;
  }

  /** What comes may be anything until it is live again. */
  ended(room: RoomName): void {
    this.#live.delete(room);
  }

  /** Nothing is live any more. */
  lost(): void {
    this.#live.clear();
  }

  message(
    { room, offset, key }: ServerFrame & { type: "message" },
    sentMs: number,
    socket: SimulatedSocket,
  ): void {
    const live = this.#live.get(room);
    const { worker } = socket;
    const { turnsMs } = worker;
    if (live === undefined || turnsMs === undefined) return;
    if (live.early !== undefined && live.early.sentMs !== sentMs) {
      this.faults.push(live.early.fault);
      live.early = undefined;
    }
    const { windowMs } = live;
    const ageMs = sentMs - (worker.handedMs(room, offset) ?? sentMs);
    if (ageMs > windowMs + turnsMs + worker.takeInMs)
      this.faults.push(`${room} ${offset} is ${ageMs} ms old, in a window of ${windowMs} ms`);
    const sinceMs = sentMs - (live.sentMs.get(key) ?? Number.NEGATIVE_INFINITY);
    live.sentMs.set(key, sentMs);
    // Where memory is short classes flush before their time.
    if (sinceMs >= windowMs - turnsMs || worker.counters.conflationOverflows > 0) return;
    const fault = `${room} ${offset} of ${key} comes ${sinceMs} ms after the one before, in a window of ${windowMs} ms`;
    live.early ??= { fault, sentMs };
  }
}
