/** Up to some 55 frames of 100 bytes of data: whoever keeps one of them keeps no more than this. */
const ARENA_BYTES_MAX = 8_192;
/** A piece of memory that was full sooner was too small. */
const BUSY_MS = 1_000;
/** One that took longer was too large. */
const QUIET_MS = 10_000;

/**
 * Memory for the frames of one room, many in one piece: a piece a frame costs nine times as much (`npm run bench -- hub`). A
 * quiet room's frame has exactly what it needs, so that it holds no more than itself for as long as it is kept.
 */
export class FrameArena {
  #buffer = NOTHING;
  #used = 0;
  #sinceMs = 0;

  /** Copies a frame. @param timeMs about when it was published */
  copy(bytes: Uint8Array, start: number, end: number, timeMs: number): Uint8Array {
    const size = end - start;
    if (this.#used + size > this.#buffer.byteLength) this.#renew(size, timeMs);
    const frame = new Uint8Array(this.#buffer, this.#used, size);
    frame.set(new Uint8Array(bytes.buffer, bytes.byteOffset + start, size));
    this.#used += size;
    return frame;
  }

  #renew(size: number, timeMs: number): void {
    const lastedMs = timeMs - this.#sinceMs;
    const before = this.#buffer.byteLength;
    const wanted = lastedMs < BUSY_MS ? 2 * before : lastedMs < QUIET_MS ? before : 0;
    this.#buffer = new ArrayBuffer(Math.max(size, Math.min(wanted, ARENA_BYTES_MAX)));
    this.#used = 0;
    this.#sinceMs = timeMs;
  }
}

const NOTHING = new ArrayBuffer(0);
