import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { HistoryFrom } from "../../core/ports.js";
import { CodedError, ERROR_STATUS, type ErrorCode } from "../../protocol/errors.js";
import type { ResetReason } from "../../protocol/frames.js";
import { createMessage, dataOf, type Message } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { parsePattern } from "../../protocol/room-pattern.js";
import { FrameArena } from "./frame-arena.js";
import { numberOf, readMessage, roomIn, writeMessage } from "./message-record.js";
import { type HubRecord, MalformedRecord, RECORD, type WorkerRecord } from "./record.js";
import { readHubRecord, readWorkerRecord, writeRecord } from "./record-codec.js";
import { RecordReader } from "./record-reader.js";
import { ScratchRecord } from "./scratch-record.js";

const ROOM = parseRoom("log.a:1");

const uint32 = fc.nat({ max: 0xffffffff });
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
// Well-formed text, as the port asks for.
const text = fc.string({ unit: "grapheme", maxLength: 80 });
const room = fc
  .stringMatching(/^[A-Za-z0-9_:-]{1,20}(\.[A-Za-z0-9_:-]{1,20}){0,2}$/)
  .map((name) => parseRoom(name));
const pattern = fc.constantFrom("a.*", ">", "*", "a.b.>", "a").map((text) => parsePattern(text));
const patterns = fc.array(pattern, { minLength: 1, maxLength: 5 });
const position = fc.record({ epoch: text, offset: count });
const bytes = fc.uint8Array({ maxLength: 300 });
const reason = fc.constantFrom<ResetReason>("expired", "epoch", "purged");
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined });
const error = fc
  .tuple(fc.constantFrom(...(Object.keys(ERROR_STATUS) as ErrorCode[])), text, maybe(fc.nat()))
  .map(([code, message, retryMs]) => new CodedError(code, message, retryMs));

const workerRecord: fc.Arbitrary<WorkerRecord> = fc.oneof(
  fc.record({ type: fc.constant("hello" as const), version: uint32, worker: text }),
  fc.record({ type: fc.constant("open" as const), ref: uint32, room, after: maybe(position) }),
  fc.record({ type: fc.constant("close" as const), room }),
  fc.record({
    type: fc.constant("publish" as const),
    ref: uint32,
    outgoing: fc.oneof(
      fc.record({ room, data: bytes, key: maybe(text), id: maybe(text), origin: maybe(text) }),
      fc.record({
        room,
        data: bytes,
        key: maybe(text),
        id: maybe(text),
        origin: maybe(text),
        hold: fc.constantFrom("take" as const, "release" as const),
      }),
    ),
  }),
  fc.record({
    type: fc.constant("history" as const),
    ref: uint32,
    room,
    from: fc.oneof<fc.Arbitrary<HistoryFrom>[]>(
      fc.constant("oldest"),
      fc.record({ last: count }),
      fc.record({ after: position }),
    ),
    limit: count,
  }),
  fc.record({ type: fc.constant("state" as const), ref: uint32, room }),
  fc.record({ type: fc.constant("rooms" as const), ref: uint32, prefix: text, after: text, limit: count }),
  fc.record({ type: fc.constant("watch" as const), ref: uint32, patterns }),
  fc.record({ type: fc.constant("unwatch" as const), ref: uint32, pattern }),
);

const hubRecord: fc.Arbitrary<HubRecord> = fc.oneof(
  fc.record({ type: fc.constant("welcome" as const), version: uint32 }),
  fc.record({
    type: fc.constant("opened" as const),
    ref: uint32,
    number: uint32,
    head: position,
    lost: maybe(reason),
  }),
  fc.record({ type: fc.constant("reset" as const), number: uint32, head: position, reason }),
  fc.record({ type: fc.constant("lagged" as const) }),
  fc.record({ type: fc.constant("published" as const), ref: uint32, position }),
  fc.record({
    type: fc.constant("page" as const),
    ref: uint32,
    head: position,
    more: fc.boolean(),
    lost: maybe(reason),
  }),
  fc.record({ type: fc.constant("snapshot" as const), ref: uint32, head: position, droppedKeys: count }),
  fc.record({ type: fc.constant("failed" as const), ref: uint32, error }),
  fc.record({
    type: fc.constant("roomList" as const),
    ref: uint32,
    rooms: fc.array(fc.record({ room, head: maybe(position) }), { maxLength: 5 }),
    more: fc.boolean(),
  }),
  fc.record({ type: fc.constant("watching" as const), ref: uint32 }),
  fc.record({
    type: fc.constant("watchLost" as const),
    where: fc.oneof(fc.constant("all" as const), fc.record({ room }), fc.record({ patterns })),
  }),
);

const message: fc.Arbitrary<Message> = fc
  .record({
    room,
    offset: count,
    prev: count,
    time: count,
    data: bytes,
    key: maybe(text),
    origin: maybe(text),
  })
  .map((fields) => createMessage(fields));

test("records come out as they went in", () => {
  fc.assert(
    fc.property(workerRecord, (record) => {
      assert.deepEqual(plain(readWith(readWorkerRecord, encoded(record))), plain(record));
    }),
  );
  fc.assert(
    fc.property(hubRecord, (record) => {
      const read = readWith(readHubRecord, encoded(record));
      assert.deepEqual(plain(read), plain(record));
      if (record.type === "failed" && read.type === "failed")
        assert.equal(read.error.message, record.error.message);
    }),
  );
});

test("a message comes out as it went in, with bytes of its own", () => {
  fc.assert(
    fc.property(message, uint32, fc.boolean(), (sent, number, asBuffer) => {
      const { bytes, view } = placed(encodedMessage(sent, number), asBuffer);
      const end = bytes.length - TAIL;
      assert.equal(numberOf(view, LEAD, end), number);
      assert.equal(roomIn(bytes, view, LEAD, end), sent.room);
      const read = readMessage(bytes, view, LEAD, end, sent.room, new FrameArena());
      bytes.fill(0);
      assert.deepEqual(plain(read), plain(sent));
      assert.deepEqual(Buffer.from(dataOf(read)), Buffer.from(dataOf(sent)));
      assert.equal(read.frame.buffer.byteLength, read.frame.length);
    }),
  );
});

test("bytes that are no record are told as such, whatever they are", () => {
  const whole = fc.oneof(
    workerRecord.map(encoded),
    hubRecord.map(encoded),
    fc.tuple(message, uint32).map(([sent, number]) => encodedMessage(sent, number)),
    fc.uint8Array({ minLength: 6, maxLength: 200 }),
  );
  const flips = fc.array(fc.tuple(fc.nat({ max: 400 }), fc.nat({ max: 255 })), { maxLength: 6 });
  let malformed = 0;
  fc.assert(
    fc.property(whole, flips, fc.nat({ max: 400 }), (record, changes, cut) => {
      const broken = record.slice(0, Math.max(6, record.length - (cut > 300 ? cut - 300 : 0)));
      for (const [at, value] of changes) if (at >= 4 && at < broken.length) broken[at] = value;
      for (const read of [
        () => readWith(readWorkerRecord, broken),
        () => readWith(readHubRecord, broken),
        () => readMessageFrom(broken),
        () => readWith(roomIn, broken),
      ]) {
        try {
          read();
        } catch (cause) {
          assert.ok(cause instanceof MalformedRecord, String(cause));
          malformed += 1;
        }
      }
    }),
    { numRuns: 5_000 },
  );
  assert.ok(malformed > 5_000);
});

test("a stream is cut into its records wherever its chunks end", () => {
  const records = fc.array(workerRecord.map(encoded), { minLength: 1, maxLength: 20 });
  const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(records, sizes, (sent, lengths) => {
      const stream = Buffer.concat(sent);
      const got: string[] = [];
      // One buffer for all reads, as the link has, and poisoned after each.
      const shared = Buffer.alloc(400);
      const reader = new RecordReader(10_000, (bytes, _view, start, end) => {
        got.push(Buffer.from(bytes.subarray(start, end)).toString("hex"));
      });
      for (let at = 0, turn = 0; at < stream.length; turn += 1) {
        const length = Math.min(lengths[turn % lengths.length] ?? 1, stream.length - at);
        stream.copy(shared, 0, at, at + length);
        reader.push(shared.subarray(0, length));
        shared.fill(0xff);
        at += length;
      }
      assert.deepEqual(
        got,
        sent.map((record) => Buffer.from(record).toString("hex")),
      );
    }),
  );
});

test("a record of megabytes in small chunks is put together in time that grows with its length", () => {
  const size = 8_000_000;
  const record = encoded({ type: "publish", ref: 1, outgoing: { room: ROOM, data: new Uint8Array(size) } });
  let lengths = 0;
  const reader = new RecordReader(2 * size, (_bytes, _view, start, end) => {
    lengths += end - start;
  });
  const startedMs = performance.now();
  for (let at = 0; at < record.length; at += 100) reader.push(record.subarray(at, at + 100));
  // Copying all of it for each of 80,000 chunks would take minutes.
  assert.ok(performance.now() - startedMs < 20_000);
  assert.equal(lengths, record.length);
});

test("a length that no record has ends the stream before anything is held for it", () => {
  const reader = new RecordReader(1_000, () => assert.fail("no record"));
  for (const length of [0, 5, 1_001, 0xffffffff]) {
    const chunk = new Uint8Array(6);
    new DataView(chunk.buffer).setUint32(0, length, true);
    assert.throws(() => reader.push(chunk), MalformedRecord);
  }
});

test("a reader that was ended hands nothing over any more", () => {
  const record = encoded({ type: "close", room: ROOM });
  let records = 0;
  const reader: RecordReader = new RecordReader(1_000, () => {
    records += 1;
    reader.end();
  });
  reader.push(Buffer.concat([record, record]));
  reader.push(record);
  assert.equal(records, 1);
});

test("a text beyond what a record can say is refused", () => {
  const id = "x".repeat(65_536);
  const outgoing = { room: ROOM, data: Uint8Array.of(1) };
  for (const more of [{ id }, { key: id }, { origin: id }])
    assert.throws(
      () => encoded({ type: "publish", ref: 1, outgoing: { ...outgoing, ...more } }),
      (cause) => cause instanceof CodedError && cause.code === "too_large",
    );
});

/** Records never lie at the beginning of their bytes, nor do they end them. */
const LEAD = 7;
const TAIL = 9;

function encoded(record: WorkerRecord | HubRecord): Uint8Array {
  const target = new ScratchRecord();
  writeRecord(target, record);
  return target.record.slice();
}

function encodedMessage(sent: Message, number: number): Uint8Array {
  const target = new ScratchRecord();
  writeMessage(target, RECORD.message, number, sent);
  return target.record.slice();
}

function placed(record: Uint8Array, asBuffer = false) {
  const size = LEAD + record.length + TAIL;
  const bytes = asBuffer ? Buffer.alloc(size, 0x91) : new Uint8Array(size).fill(0x91);
  bytes.set(record, LEAD);
  return { bytes, view: new DataView(bytes.buffer) };
}

function readWith<T>(
  read: (bytes: Uint8Array, view: DataView, start: number, end: number) => T,
  record: Uint8Array,
): T {
  const { bytes, view } = placed(record);
  return read(bytes, view, LEAD, LEAD + record.length);
}

function readMessageFrom(record: Uint8Array): Message {
  const { bytes, view } = placed(record);
  numberOf(view, LEAD, LEAD + record.length);
  return readMessage(bytes, view, LEAD, LEAD + record.length, ROOM, new FrameArena());
}

/** Any bytes as hex, so that kinds of arrays compare. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (typeof value !== "object" || value === null) return value;
  // What is undefined counts as left out.
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([key, item]) => [key, plain(item)]));
}
