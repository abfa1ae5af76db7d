import type { Position, ResetReason } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import { isPattern, type RoomPattern } from "../../protocol/room-pattern.js";
import { utf8Length, writeUtf8 } from "../../protocol/text.js";
import { readRoom, readText } from "./message-record.js";
import { isCount, MalformedRecord, RECORD_HEAD_BYTES, type RecordTarget } from "./record.js";

/** As they stand in a record's flags. */
export const REASONS: readonly (ResetReason | undefined)[] = [undefined, "expired", "epoch", "purged"];
const REASON_BITS = 3;

/** Writes a record. All numbers come before all texts, so that a record's fields need no description. */
export function writeFields(
  target: RecordTarget,
  type: number,
  flags: number,
  integers: readonly number[],
  floats: readonly number[],
  texts: readonly string[],
): void {
  let size = RECORD_HEAD_BYTES + 4 * integers.length + 8 * floats.length;
  for (const text of texts) size += 4 + utf8Length(text);
  let at = target.reserve(size);
  const { bytes, view } = target;
  view.setUint32(at, size, true);
  view.setUint8(at + 4, type);
  view.setUint8(at + 5, flags);
  at += RECORD_HEAD_BYTES;
  for (const integer of integers) {
    view.setUint32(at, integer, true);
    at += 4;
  }
  for (const float of floats) {
    view.setFloat64(at, float, true);
    at += 8;
  }
  for (const text of texts) {
    const length = utf8Length(text);
    view.setUint32(at, length, true);
    at = writeUtf8(bytes, at + 4, text, length);
  }
}

/** Reads a record's fields one after the other, never beyond its end. */
export class Fields {
  readonly type: number;
  readonly flags: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, view: DataView, start: number, end: number) {
    this.#bytes = bytes;
    this.#view = view;
    this.#at = start + RECORD_HEAD_BYTES;
    this.#end = end;
    if (this.#at > end) throw new MalformedRecord("a record without its head");
    this.type = view.getUint8(start + 4);
    this.flags = view.getUint8(start + 5);
  }

  integer(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  float(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** An offset, or a number of things. */
  count(): number {
    const value = this.float();
    if (!isCount(value)) throw new MalformedRecord("an offset or count that is none");
    return value;
  }

  text(): string {
    const length = this.integer();
    const start = this.#take(length);
    return readText(this.#bytes, start, start + length);
  }

  room(): RoomName {
    const length = this.integer();
    const start = this.#take(length);
    return readRoom(this.#bytes, start, start + length);
  }

  /** Patterns have no spaces. */
  patterns(): RoomPattern[] {
    return this.text()
      .split(" ")
      .map((text) => {
        if (!isPattern(text)) throw new MalformedRecord("text that is no pattern of rooms");
        return text;
      });
  }

  position(): Position {
    const offset = this.count();
    return { epoch: this.text(), offset };
  }

  reason(): ResetReason | undefined {
    return REASONS[this.flags & REASON_BITS];
  }

  /** Nothing may be left over. */
  finish(): void {
    if (this.#at !== this.#end)
      throw new MalformedRecord(`${this.#end - this.#at} bytes too many in a record`);
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#end) throw new MalformedRecord("a record cut short");
    this.#at = at + size;
    return at;
  }
}
