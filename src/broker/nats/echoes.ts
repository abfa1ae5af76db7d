import type { OpenRoom } from "./open-room.js";

interface Expected {
  sequence: number;
  /** When the first of those that have not come was acknowledged. */
  readonly sinceMs: number;
}

/**
 * What this node published to rooms that it has open comes back in the live flow. Where it does not, a RePublish was
 * lost, and there is no need to wait for a sweep to find that.
 */
export class Echoes {
  readonly #graceMs: number;
  readonly #nowMs: () => number;
  readonly #onMissing: (room: OpenRoom, sequence: number) => void;
  readonly #expected = new Map<OpenRoom, Expected>();

  constructor(graceMs: number, nowMs: () => number, onMissing: (room: OpenRoom, sequence: number) => void) {
    this.#graceMs = graceMs;
    this.#nowMs = nowMs;
    this.#onMissing = onMissing;
  }

  /** A publish to the room was stored under this number. */
  expect(room: OpenRoom, sequence: number): void {
    if (sequence > room.acknowledged) room.acknowledged = sequence;
    const known = this.#expected.get(room);
    if (known === undefined || known.sequence <= room.last)
      this.#expected.set(room, { sequence, sinceMs: this.#nowMs() });
    else if (sequence > known.sequence) known.sequence = sequence;
  }

  /** Call it a few times a second. */
  tick(): void {
    const nowMs = this.#nowMs();
    for (const [room, { sequence, sinceMs }] of this.#expected) {
      if (room.closed || room.last >= sequence) this.#expected.delete(room);
      else if (nowMs - sinceMs >= this.#graceMs) {
        this.#expected.delete(room);
        this.#onMissing(room, sequence);
      }
    }
  }
}
