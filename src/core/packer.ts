import { CHUNK_BYTES } from "../protocol/frames.js";

/**
 * Packs frames back to back into one WebSocket message of at most `CHUNK_BYTES`; a longer frame goes alone.
 * What {@link Packer.take} returns is valid until the next `add`: hand it over at once. A frame that stays alone
 * is returned as it is, without a copy.
 */
export class Packer {
  readonly #buffer = new Uint8Array(CHUNK_BYTES);
  /** The only frame so far, not copied yet. */
  #first: Uint8Array | undefined;
  #used = 0;

  get bytes(): number {
    return this.#used;
  }

  /** False where the frame does not fit any more: `take` first, then add it again. */
  add(frame: Uint8Array): boolean {
    if (this.#used === 0) {
      this.#first = frame;
      this.#used = frame.length;
      return true;
    }
    if (this.#used + frame.length > CHUNK_BYTES) return false;
    if (this.#first !== undefined) {
      this.#buffer.set(this.#first);
      this.#first = undefined;
    }
    this.#buffer.set(frame, this.#used);
    this.#used += frame.length;
    return true;
  }

  /** The packed bytes, and begins anew; undefined where nothing was added. */
  take(): Uint8Array | undefined {
    if (this.#used === 0) return undefined;
    const chunk = this.#first ?? this.#buffer.subarray(0, this.#used);
    this.#first = undefined;
    this.#used = 0;
    return chunk;
  }
}
