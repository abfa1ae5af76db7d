import { type Message, prevOf } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import { readText, textOf, utf8Length, writeUtf8 } from "../protocol/text.js";

/** Before each frame: its length, where data begins and ends, origin's length and one, place in the budget (u32 each), time (f64). */
const HEAD_BYTES = 28;

/** Bytes that a message takes of a chunk. */
export function keptBytes(frameBytes: number, origin: string | undefined): number {
  return HEAD_BYTES + frameBytes + (origin === undefined ? 0 : utf8Length(origin));
}

/**
 * Messages of one room, one after the other in one piece of memory. What was written is never written again, so frames that were
 * handed out stay as they are after the chunk has dropped them.
 */
export class LogChunk {
  /** Of the oldest message that was ever in it. */
  readonly firstOffset: number;
  /** The position of its first byte. Positions go on from chunk to chunk of a room, also where one has grown. */
  readonly base: number;
  readonly #view: DataView;
  readonly #memory: Uint8Array;
  /** As a field: it is looked at for every message, and a view's own length is a call. */
  readonly #size: number;
  /** Of the oldest message; undefined while nobody has asked. Reading it from memory that was not used for long is slow. */
  #oldestTime: number | undefined;
  #start = 0;
  #end = 0;
  #dropped = 0;
  #count = 0;

  constructor(bytes: number, firstOffset: number, base: number) {
    this.firstOffset = firstOffset;
    this.base = base;
    this.#size = bytes;
    this.#memory = new Uint8Array(bytes);
    this.#view = new DataView(this.#memory.buffer);
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of the messages that it holds. */
  get bytes(): number {
    return this.#end - this.#start;
  }

  hasPlaceFor(bytes: number): boolean {
    return this.#end + bytes <= this.#size;
  }

  /** Where the next message begins. */
  get end(): number {
    return this.base + this.#end;
  }

  /** Takes in a copy of a message. */
  copy(message: Message, place: number): void {
    this.#memory.set(message.frame, this.#end + HEAD_BYTES);
    this.push(message, place);
  }

  /** Where the next message's frame goes. */
  frame(bytes: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#end + HEAD_BYTES, bytes);
  }

  /** Takes in a message whose frame was written where {@link LogChunk.frame} said. */
  push(message: Message, place: number): void {
    const { frame, origin } = message;
    const view = this.#view;
    const at = this.#end;
    view.setUint32(at, frame.length);
    view.setUint32(at + 4, message.dataStart);
    view.setUint32(at + 8, message.dataEnd);
    view.setUint32(at + 16, place);
    view.setFloat64(at + 20, message.time);
    this.#end = at + HEAD_BYTES + frame.length;
    this.#count += 1;
    // Nearly none has one: memory begins as zeros.
    if (origin === undefined) return;
    const length = utf8Length(origin);
    view.setUint32(at + 12, length + 1);
    writeUtf8(this.#memory, this.#end, origin, length);
    this.#end += length;
  }

  /** When the oldest was taken. */
  get oldestTime(): number {
    this.#oldestTime ??= this.#view.getFloat64(this.#start + 20);
    return this.#oldestTime;
  }

  /** The oldest one's place in the budget. */
  get oldestPlace(): number {
    return this.#view.getUint32(this.#start + 16);
  }

  /** Of the oldest one. */
  get oldestFrameBytes(): number {
    return this.#view.getUint32(this.#start);
  }

  dropOldest(): void {
    this.#start = this.#after(this.#start);
    this.#oldestTime = undefined;
    this.#dropped += 1;
    this.#count -= 1;
  }

  /** The same messages with place for more, in memory of its own. */
  grown(bytes: number): LogChunk {
    const chunk = new LogChunk(bytes, this.firstOffset + this.#dropped, this.base + this.#start);
    chunk.#memory.set(this.#memory.subarray(this.#start, this.#end));
    chunk.#end = this.bytes;
    chunk.#count = this.#count;
    return chunk;
  }

  /** The message at a position, and its key alone. The frame is a part of this memory. */
  messageAt(position: number, room: RoomName, offset: number): Message {
    return this.#message(room, offset, position - this.base);
  }

  keyAt(position: number): string | undefined {
    const at = position - this.base;
    const keyStart = this.#view.getUint32(at + 8);
    return keyStart === this.#view.getUint32(at)
      ? undefined
      : readText(this.#memory, at + HEAD_BYTES + keyStart);
  }

  /** Adds up to `max` messages of offsets without holes, from one on, to a list. */
  read(room: RoomName, from: number, max: number, messages: Message[]): void {
    let offset = this.firstOffset + this.#dropped;
    let at = this.#start;
    for (; offset < from && at < this.#end; offset += 1) at = this.#after(at);
    for (let left = max; left > 0 && at < this.#end; left -= 1, offset += 1) {
      messages.push(this.#message(room, offset, at));
      at = this.#after(at);
    }
  }

  #message(room: RoomName, offset: number, at: number): Message {
    const view = this.#view;
    const frame = new Uint8Array(view.buffer, at + HEAD_BYTES, view.getUint32(at));
    const dataStart = view.getUint32(at + 4);
    const dataEnd = view.getUint32(at + 8);
    const time = view.getFloat64(at + 20);
    const key = dataEnd === frame.length ? undefined : readText(frame, dataEnd);
    const prev = prevOf(frame, room, offset);
    return { room, offset, prev, time, key, origin: this.#origin(at), frame, dataStart, dataEnd };
  }

  #origin(at: number): string | undefined {
    const length = this.#view.getUint32(at + 12) - 1;
    if (length < 0) return undefined;
    const start = at + HEAD_BYTES + this.#view.getUint32(at);
    return textOf(this.#memory, start, start + length);
  }

  #after(at: number): number {
    const origin = this.#view.getUint32(at + 12);
    return at + HEAD_BYTES + this.#view.getUint32(at) + (origin === 0 ? 0 : origin - 1);
  }
}
