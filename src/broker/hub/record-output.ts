import type { Socket } from "node:net";
import { CHUNK_BYTES, WRITE_BYTES } from "./hub-limits.js";
import type { RecordTarget } from "./record.js";

/**
 * Collects records for one socket and writes them together: once a turn of the event loop, at once when a chunk is full,
 * and never while the write before is under way, so that whoever reads slowly is written to in larger pieces.
 */
export class RecordOutput implements RecordTarget {
  bytes: Uint8Array = NOTHING;
  view: DataView = NOTHING_VIEW;
  readonly #socket: Socket;
  readonly #onWritten: (bytes: number) => void;
  /** Bytes used of the chunk at hand. */
  #length = 0;
  /** Full chunks that are not yet with the socket. */
  #full: Uint8Array[] = [];
  #waitingBytes = 0;
  #writing = false;
  #scheduled = false;
  #closed = false;
  #whenEmpty: (() => void) | undefined;

  /** @param onWritten told after each write how many bytes have left; what waits is less by then */
  constructor(socket: Socket, onWritten: (bytes: number) => void) {
    this.#socket = socket;
    this.#onWritten = onWritten;
  }

  /** Bytes that the kernel has not taken. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  reserve(size: number): number {
    if (this.#length + size > this.bytes.length) this.#nextChunk(size);
    const at = this.#length;
    this.#length += size;
    this.#waitingBytes += size;
    if (!this.#scheduled) this.#schedule();
    return at;
  }

  /** Adds a whole record, encoded elsewhere. */
  append(record: Uint8Array): void {
    const at = this.reserve(record.length);
    this.bytes.set(record, at);
  }

  /** Resolves when everything has been handed to the kernel, or the socket is closed. */
  flushed(): Promise<void> {
    if (this.#waitingBytes === 0 || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty = resolve;
    });
  }

  /** The socket is gone: what waits is dropped, and so is all that still comes. */
  close(): void {
    this.#closed = true;
    this.#full = [];
    this.bytes = NOTHING;
    this.view = NOTHING_VIEW;
    this.#length = 0;
    this.#whenEmpty?.();
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#write();
    });
  }

  #nextChunk(size: number): void {
    if (this.#closed) this.#length = 0;
    else if (this.#length > 0) {
      this.#full.push(this.bytes.subarray(0, this.#length));
      this.#length = 0;
      this.#write();
    }
    this.bytes = size > CHUNK_BYTES ? new Uint8Array(size) : takeChunk();
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }

  #write(): void {
    if (this.#writing || this.#closed) return;
    const chunks = this.#take();
    const last = chunks.at(-1);
    if (last === undefined) return;
    let size = 0;
    for (const chunk of chunks) size += chunk.length;
    this.#writing = true;
    if (chunks.length > 1) this.#socket.cork();
    for (const chunk of chunks) {
      if (chunk === last) this.#socket.write(chunk, (cause) => this.#written(chunks, size, cause));
      else this.#socket.write(chunk);
    }
    if (chunks.length > 1) this.#socket.uncork();
  }

  /** The next chunks to write: the full ones up to a bound, else what there is of the one at hand. */
  #take(): Uint8Array[] {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for (let next = this.#full[0]; next !== undefined && size < WRITE_BYTES; next = this.#full[0]) {
      chunks.push(next);
      size += next.length;
      this.#full.shift();
    }
    if (this.#full.length > 0 || this.#length === 0) return chunks;
    chunks.push(this.bytes.subarray(0, this.#length));
    this.bytes = NOTHING;
    this.view = NOTHING_VIEW;
    this.#length = 0;
    return chunks;
  }

  #written(chunks: readonly Uint8Array[], size: number, cause: Error | null | undefined): void {
    this.#writing = false;
    // After an error the socket closes; the kernel may still look at what it was given.
    if (cause !== null && cause !== undefined) return;
    for (const chunk of chunks) giveChunk(chunk);
    this.#waitingBytes -= size;
    this.#onWritten(size);
    if (this.#waitingBytes === 0) this.#whenEmpty?.();
    else this.#write();
  }
}

const NOTHING = new Uint8Array(0);
const NOTHING_VIEW = new DataView(NOTHING.buffer);

/** Chunks to use again, of all outputs of the process: allocating 64 KiB a turn costs more than filling it. */
const free: Uint8Array[] = [];
const FREE_CHUNKS_MAX = 64;

function takeChunk(): Uint8Array {
  return free.pop() ?? new Uint8Array(CHUNK_BYTES);
}

function giveChunk(part: Uint8Array): void {
  if (part.buffer.byteLength === CHUNK_BYTES && free.length < FREE_CHUNKS_MAX)
    free.push(new Uint8Array(part.buffer));
}
