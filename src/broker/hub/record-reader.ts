import { MalformedRecord, RECORD_HEAD_BYTES } from "./record.js";

/** Told of one whole record, `bytes[start]` to `bytes[end]`. The bytes are overwritten after it has returned. */
export type OnRecord = (bytes: Uint8Array, view: DataView, start: number, end: number) => void;

/**
 * Cuts a stream of bytes into records. Those that a chunk holds whole are handed over where they lie; one that goes over
 * chunks is put together, each byte copied once or twice however small the chunks are.
 */
export class RecordReader {
  readonly #bytesMax: number;
  readonly #onRecord: OnRecord;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #viewed: ArrayBufferLike | undefined;
  #viewedAt = 0;
  /** Begin of a record whose end has not come. */
  #rest = new Uint8Array(0);
  #restView = new DataView(this.#rest.buffer);
  #restLength = 0;
  #ended = false;

  /** @param bytesMax records above are malformed */
  constructor(bytesMax: number, onRecord: OnRecord) {
    this.#bytesMax = bytesMax;
    this.#onRecord = onRecord;
  }

  /** Takes the next bytes. @throws MalformedRecord for a length that is none, and whatever the handler throws. */
  push(chunk: Uint8Array): void {
    if (this.#ended) return;
    let at = this.#restLength > 0 ? this.#complete(chunk) : 0;
    const view = this.#viewOf(chunk);
    while (!this.#ended && chunk.length - at >= 4) {
      const end = at + this.#checked(view.getUint32(at, true));
      if (end > chunk.length) break;
      this.#onRecord(chunk, view, at, end);
      at = end;
    }
    if (!this.#ended && at < chunk.length) this.#keep(chunk, at, chunk.length);
  }

  /** Hands nothing over any more, not even what is left of the chunk at hand. */
  end(): void {
    this.#ended = true;
  }

  /** Adds to the record under way what it lacks. Returns where the next one begins. */
  #complete(chunk: Uint8Array): number {
    let at = 0;
    if (this.#restLength < 4) {
      at = Math.min(4 - this.#restLength, chunk.length);
      this.#keep(chunk, 0, at);
      if (this.#restLength < 4) return at;
    }
    const size = this.#checked(this.#restView.getUint32(0, true));
    const end = Math.min(at + size - this.#restLength, chunk.length);
    this.#keep(chunk, at, end);
    if (this.#restLength < size) return end;
    this.#restLength = 0;
    const [bytes, view] = [this.#rest, this.#restView];
    // One large record must not hold its memory for good.
    if (bytes.length > REST_BYTES_KEPT) {
      this.#rest = new Uint8Array(0);
      this.#restView = new DataView(this.#rest.buffer);
    }
    this.#onRecord(bytes, view, 0, size);
    return end;
  }

  #keep(chunk: Uint8Array, start: number, end: number): void {
    const length = this.#restLength + end - start;
    if (length > this.#rest.length) {
      // Doubled as bytes come, not made as large as a length says that may be a lie.
      const grown = new Uint8Array(Math.max(length, 2 * this.#rest.length, REST_BYTES_MIN));
      grown.set(this.#rest.subarray(0, this.#restLength));
      this.#rest = grown;
      this.#restView = new DataView(grown.buffer);
    }
    this.#rest.set(chunk.subarray(start, end), this.#restLength);
    this.#restLength = length;
  }

  #checked(size: number): number {
    if (size >= RECORD_HEAD_BYTES && size <= this.#bytesMax) return size;
    throw new MalformedRecord(
      `a record of ${size} bytes; ${RECORD_HEAD_BYTES} to ${this.#bytesMax} are possible`,
    );
  }

  #viewOf(chunk: Uint8Array): DataView {
    // The chunk is nearly always a part of the same reused buffer, from its beginning.
    if (this.#viewed !== chunk.buffer || this.#viewedAt !== chunk.byteOffset) {
      this.#view = new DataView(chunk.buffer, chunk.byteOffset);
      this.#viewed = chunk.buffer;
      this.#viewedAt = chunk.byteOffset;
    }
    return this.#view;
  }
}

const REST_BYTES_MIN = 1_024;
const REST_BYTES_KEPT = 1_048_576;
