import type { HistoryFrom, ListedRoom, LostWhere } from "../../core/ports.js";
import { ROOM_LIST_MAX } from "../../core/room-list.js";
import { CodedError, ERROR_STATUS, type ErrorCode } from "../../protocol/errors.js";
import { readPublish, writePublish } from "./message-record.js";
import {
  type HubRecord,
  isCount,
  MalformedRecord,
  RECORD,
  type RecordTarget,
  type WorkerRecord,
} from "./record.js";
import { Fields, REASONS, writeFields } from "./record-fields.js";

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
/** For "no head": any other is at least 0. */
const NO_HEAD = -1;
/** For "no retry time": any other is at least 0. */
const NO_RETRY = -1;

/** Writes any record but a message. @throws CodedError `too_large` for a publish that is beyond what a record can say. */
export function writeRecord(target: RecordTarget, record: WorkerRecord | HubRecord): void {
  switch (record.type) {
    case "hello":
      writeFields(target, RECORD.hello, 0, [record.version], [], [record.worker]);
      return;
    case "open": {
      const { ref, room, after } = record;
      const flags = after === undefined ? 0 : HAS_AFTER;
      writeFields(target, RECORD.open, flags, [ref], [after?.offset ?? 0], [room, after?.epoch ?? ""]);
      return;
    }
    case "close":
      writeFields(target, RECORD.close, 0, [], [], [record.room]);
      return;
    case "publish":
      writePublish(target, record.ref, record.outgoing);
      return;
    case "history":
      writeHistory(target, record);
      return;
    case "state":
      writeFields(target, RECORD.state, 0, [record.ref], [], [record.room]);
      return;
    case "rooms":
      writeFields(target, RECORD.rooms, 0, [record.ref], [record.limit], [record.prefix, record.after]);
      return;
    case "watch":
      writeFields(target, RECORD.watch, 0, [record.ref], [], [record.patterns.join(" ")]);
      return;
    case "unwatch":
      writeFields(target, RECORD.unwatch, 0, [record.ref], [], [record.pattern]);
      return;
    case "welcome":
      writeFields(target, RECORD.welcome, 0, [record.version], [], []);
      return;
    case "opened": {
      const { ref, number, head, lost } = record;
      writeFields(target, RECORD.opened, REASONS.indexOf(lost), [ref, number], [head.offset], [head.epoch]);
      return;
    }
    case "reset": {
      const { number, head, reason } = record;
      writeFields(target, RECORD.reset, REASONS.indexOf(reason), [number], [head.offset], [head.epoch]);
      return;
    }
    case "checkpoint":
      writeFields(target, RECORD.checkpoint, 0, [record.number], [record.offset], []);
      return;
    case "status":
      writeFields(
        target,
        RECORD.status,
        record.available ? IS_AVAILABLE : 0,
        [],
        [],
        [record.away.join(" ")],
      );
      return;
    case "lagged":
      writeFields(target, RECORD.lagged, 0, [], [], []);
      return;
    case "published": {
      const { ref, position } = record;
      writeFields(target, RECORD.published, 0, [ref], [position.offset], [position.epoch]);
      return;
    }
    case "page": {
      const { ref, head, more, lost } = record;
      const flags = REASONS.indexOf(lost) | (more ? HAS_MORE : 0);
      writeFields(target, RECORD.page, flags, [ref], [head.offset], [head.epoch]);
      return;
    }
    case "snapshot": {
      const { ref, head, droppedKeys } = record;
      writeFields(target, RECORD.snapshot, 0, [ref], [head.offset, droppedKeys], [head.epoch]);
      return;
    }
    case "roomList":
      writeRoomList(target, record);
      return;
    case "watching":
      writeFields(target, RECORD.watching, 0, [record.ref], [], []);
      return;
    case "watchLost":
      writeLost(target, record.where);
      return;
    case "failed": {
      const { code, message, retryMs } = record.error;
      writeFields(target, RECORD.failed, CODES.indexOf(code), [record.ref], [retryMs ?? NO_RETRY], [message]);
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

function writeHistory(target: RecordTarget, record: Extract<WorkerRecord, { type: "history" }>): void {
  const { ref, room, from, limit } = record;
  if (from === "oldest") {
    writeFields(target, RECORD.history, FROM_OLDEST, [ref], [limit, 0], [room, ""]);
    return;
  }
  if ("last" in from) {
    writeFields(target, RECORD.history, FROM_LAST, [ref], [limit, from.last], [room, ""]);
    return;
  }
  const { epoch, offset } = from.after;
  writeFields(target, RECORD.history, FROM_AFTER, [ref], [limit, offset], [room, epoch]);
  return;
}

function writeRoomList(target: RecordTarget, record: Extract<HubRecord, { type: "roomList" }>): void {
  const { ref, rooms, more } = record;
  const offsets = rooms.map(({ head }) => head?.offset ?? NO_HEAD);
  const texts = rooms.flatMap(({ room, head }) => [room, head?.epoch ?? ""]);
  writeFields(target, RECORD.roomList, more ? HAS_MORE : 0, [ref, rooms.length], offsets, texts);
}

function writeLost(target: RecordTarget, where: LostWhere): void {
  if (where === "all") writeFields(target, RECORD.watchLost, LOST_ALL, [], [], [""]);
  else if ("room" in where) writeFields(target, RECORD.watchLost, LOST_ROOM, [], [], [where.room]);
  else writeFields(target, RECORD.watchLost, LOST_PATTERNS, [], [], [where.patterns.join(" ")]);
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
    case RECORD.rooms: {
      const ref = fields.integer();
      const limit = fields.count();
      return { type: "rooms", ref, prefix: fields.text(), after: fields.text(), limit };
    }
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
    case RECORD.roomList:
      return readRoomList(fields);
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

function readRoomList(fields: Fields): HubRecord {
  const ref = fields.integer();
  const count = fields.integer();
  if (count > ROOM_LIST_MAX) throw new MalformedRecord(`a list of ${count} rooms`);
  const offsets = Array.from({ length: count }, () => fields.float());
  const rooms = offsets.map((offset): ListedRoom => {
    const room = fields.room();
    const epoch = fields.text();
    if (offset === NO_HEAD && epoch === "") return { room, head: undefined };
    if (!isCount(offset)) throw new MalformedRecord("a room at an offset that is none");
    return { room, head: { epoch, offset } };
  });
  return { type: "roomList", ref, rooms, more: (fields.flags & HAS_MORE) !== 0 };
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
