import type { HistoryFrom, LostWhere } from "../../core/ports.js";
import { CodedError, ERROR_STATUS, type ErrorCode } from "../../protocol/errors.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import { isPattern, type RoomPattern } from "../../protocol/room-pattern.js";
import { utf8Length, writeUtf8 } from "../../protocol/text.js";
import { readPublish, readRoom, readText, writePublish } from "./message-record.js";
import {
  type HubRecord,
  isCount,
  MalformedRecord,
  RECORD,
  RECORD_HEAD_BYTES,
  type RecordTarget,
  type WorkerRecord,
} from "./record.js";

const REASONS: readonly (ResetReason | undefined)[] = [undefined, "expired", "epoch", "purged"];
const REASON_BITS = 3;
const HAS_MORE = 4;
const HAS_AFTER = 1;
const IS_AVAILABLE = 1;
const CODES = Object.keys(ERROR_STATUS) as readonly ErrorCode[];
const LOST_ALL = 0;
const LOST_ROOM = 1;
const LOST_PATTERNS = 2;
const FROM_OLDEST = 0;
const FROM_LAST = 1;
const FROM_AFTER = 2;
/** For "no retry time": any other is at least 0. */
const NO_RETRY = -1;

/** Writes any record but a message. @throws CodedError `too_large` for a publish that is beyond what a record can say. */
export function writeRecord(target: RecordTarget, record: WorkerRecord | HubRecord): void {
  switch (record.type) {
    case "hello":
      write(target, RECORD.hello, 0, [record.version], [], [record.worker]);
      return;
    case "open": {
      const { ref, room, after } = record;
      const flags = after === undefined ? 0 : HAS_AFTER;
      write(target, RECORD.open, flags, [ref], [after?.offset ?? 0], [room, after?.epoch ?? ""]);
      return;
    }
    case "close":
      write(target, RECORD.close, 0, [], [], [record.room]);
      return;
    case "publish":
      writePublish(target, record.ref, record.outgoing);
      return;
    case "history":
      writeHistory(target, record);
      return;
    case "state":
      write(target, RECORD.state, 0, [record.ref], [], [record.room]);
      return;
    case "watch":
      write(target, RECORD.watch, 0, [record.ref], [], [record.patterns.join(" ")]);
      return;
    case "unwatch":
      write(target, RECORD.unwatch, 0, [record.ref], [], [record.pattern]);
      return;
    case "welcome":
      write(target, RECORD.welcome, 0, [record.version], [], []);
      return;
    case "opened": {
      const { ref, number, head, lost } = record;
      write(target, RECORD.opened, REASONS.indexOf(lost), [ref, number], [head.offset], [head.epoch]);
      return;
    }
    case "reset": {
      const { number, head, reason } = record;
      write(target, RECORD.reset, REASONS.indexOf(reason), [number], [head.offset], [head.epoch]);
      return;
    }
    case "checkpoint":
      write(target, RECORD.checkpoint, 0, [record.number], [record.offset], []);
      return;
    case "status":
      write(target, RECORD.status, record.available ? IS_AVAILABLE : 0, [], [], [record.away.join(" ")]);
      return;
    case "lagged":
      write(target, RECORD.lagged, 0, [], [], []);
      return;
    case "published": {
      const { ref, position } = record;
      write(target, RECORD.published, 0, [ref], [position.offset], [position.epoch]);
      return;
    }
    case "page": {
      const { ref, head, more, lost } = record;
      const flags = REASONS.indexOf(lost) | (more ? HAS_MORE : 0);
      write(target, RECORD.page, flags, [ref], [head.offset], [head.epoch]);
      return;
    }
    case "snapshot": {
      const { ref, head, droppedKeys } = record;
      write(target, RECORD.snapshot, 0, [ref], [head.offset, droppedKeys], [head.epoch]);
      return;
    }
    case "watching":
      write(target, RECORD.watching, 0, [record.ref], [], []);
      return;
    case "watchLost":
      writeLost(target, record.where);
      return;
    case "failed": {
      const { code, message, retryMs } = record.error;
      write(target, RECORD.failed, CODES.indexOf(code), [record.ref], [retryMs ?? NO_RETRY], [message]);
      return;
    }
  }
}

/** What a worker says. @throws MalformedRecord */
export function readWorkerRecord(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  end: number,
): WorkerRecord {
  if (view.getUint8(start + 4) === RECORD.publish) return readPublish(bytes, view, start, end);
  const fields = new Fields(bytes, view, start, end);
  const record = readWorkerFields(fields);
  fields.finish();
  return record;
}

/** What the hub says, but for messages. @throws MalformedRecord */
export function readHubRecord(bytes: Uint8Array, view: DataView, start: number, end: number): HubRecord {
  const fields = new Fields(bytes, view, start, end);
  const record = readHubFields(fields);
  fields.finish();
  return record;
}

/** All numbers come before all texts, so that a record's fields need no description. */
function write(
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

function writeHistory(target: RecordTarget, record: Extract<WorkerRecord, { type: "history" }>): void {
  const { ref, room, from, limit } = record;
  if (from === "oldest") {
    write(target, RECORD.history, FROM_OLDEST, [ref], [limit, 0], [room, ""]);
    return;
  }
  if ("last" in from) {
    write(target, RECORD.history, FROM_LAST, [ref], [limit, from.last], [room, ""]);
    return;
  }
  const { epoch, offset } = from.after;
  write(target, RECORD.history, FROM_AFTER, [ref], [limit, offset], [room, epoch]);
  return;
}

function writeLost(target: RecordTarget, where: LostWhere): void {
  if (where === "all") write(target, RECORD.watchLost, LOST_ALL, [], [], [""]);
  else if ("room" in where) write(target, RECORD.watchLost, LOST_ROOM, [], [], [where.room]);
  else write(target, RECORD.watchLost, LOST_PATTERNS, [], [], [where.patterns.join(" ")]);
}

function readWorkerFields(fields: Fields): WorkerRecord {
  switch (fields.type) {
    case RECORD.hello:
      return { type: "hello", version: fields.integer(), worker: fields.text() };
    case RECORD.open: {
      const ref = fields.integer();
      const offset = fields.count();
      const room = fields.room();
      const epoch = fields.text();
      return { type: "open", ref, room, after: fields.flags === HAS_AFTER ? { epoch, offset } : undefined };
    }
    case RECORD.close:
      return { type: "close", room: fields.room() };
    case RECORD.history: {
      const ref = fields.integer();
      const limit = fields.count();
      const number = fields.count();
      const room = fields.room();
      return { type: "history", ref, room, from: readFrom(fields.flags, number, fields.text()), limit };
    }
    case RECORD.state:
      return { type: "state", ref: fields.integer(), room: fields.room() };
    case RECORD.watch:
      return { type: "watch", ref: fields.integer(), patterns: fields.patterns() };
    case RECORD.unwatch: {
      const ref = fields.integer();
      const [pattern, ...others] = fields.patterns();
      if (pattern === undefined || others.length > 0) throw new MalformedRecord("an unwatch of none or many");
      return { type: "unwatch", ref, pattern };
    }
    default:
      throw new MalformedRecord(`a record of type ${fields.type}, which no worker sends`);
  }
}

function readFrom(kind: number, number: number, epoch: string): HistoryFrom {
  if (kind === FROM_OLDEST) return "oldest";
  if (kind === FROM_LAST) return { last: number };
  if (kind === FROM_AFTER) return { after: { epoch, offset: number } };
  throw new MalformedRecord(`history from ${kind}, which is none`);
}

function readHubFields(fields: Fields): HubRecord {
  switch (fields.type) {
    case RECORD.welcome:
      return { type: "welcome", version: fields.integer() };
    case RECORD.opened: {
      const lost = fields.reason();
      return {
        type: "opened",
        ref: fields.integer(),
        number: fields.integer(),
        head: fields.position(),
        lost,
      };
    }
    case RECORD.reset: {
      const reason = fields.reason();
      if (reason === undefined) throw new MalformedRecord("a reset without a reason");
      return { type: "reset", number: fields.integer(), head: fields.position(), reason };
    }
    case RECORD.checkpoint:
      return { type: "checkpoint", number: fields.integer(), offset: fields.count() };
    case RECORD.status:
      return {
        type: "status",
        available: fields.flags === IS_AVAILABLE,
        away: fields
          .text()
          .split(" ")
          .filter((part) => part !== ""),
      };
    case RECORD.lagged:
      return { type: "lagged" };
    case RECORD.published:
      return { type: "published", ref: fields.integer(), position: fields.position() };
    case RECORD.page: {
      const more = (fields.flags & HAS_MORE) !== 0;
      const lost = fields.reason();
      return { type: "page", ref: fields.integer(), head: fields.position(), more, lost };
    }
    case RECORD.snapshot: {
      const ref = fields.integer();
      const offset = fields.count();
      const droppedKeys = fields.count();
      return { type: "snapshot", ref, head: { epoch: fields.text(), offset }, droppedKeys };
    }
    case RECORD.watching:
      return { type: "watching", ref: fields.integer() };
    case RECORD.watchLost:
      return { type: "watchLost", where: readLost(fields) };
    case RECORD.failed:
      return { type: "failed", ref: fields.integer(), error: readError(fields) };
    default:
      throw new MalformedRecord(`a record of type ${fields.type}, which no hub sends`);
  }
}

function readLost(fields: Fields): LostWhere {
  if (fields.flags === LOST_ROOM) return { room: fields.room() };
  if (fields.flags === LOST_PATTERNS) return { patterns: fields.patterns() };
  if (fields.flags !== LOST_ALL || fields.text() !== "") throw new MalformedRecord("a loss of nothing known");
  return "all";
}

function readError(fields: Fields): CodedError {
  const code = CODES[fields.flags];
  if (code === undefined) throw new MalformedRecord(`error code ${fields.flags}, which is none`);
  const retryMs = fields.float();
  return new CodedError(code, fields.text(), retryMs === NO_RETRY ? undefined : retryMs);
}

/** Reads a record's fields one after the other, never beyond its end. */
class Fields {
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

  room(): ReturnType<typeof readRoom> {
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
