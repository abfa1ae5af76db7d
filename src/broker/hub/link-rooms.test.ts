import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { LostWhere } from "../../core/ports.js";
import { createMessage } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { parsePattern } from "../../protocol/room-pattern.js";
import { createHubLinkCounters } from "./hub-counters.js";
import { DEFAULT_HUB_LIMITS } from "./hub-limits.js";
import { LinkRooms } from "./link-rooms.js";
import { LinkWatch } from "./link-watch.js";
import { writeMessage } from "./message-record.js";
import { RECORD, type WorkerRecord } from "./record.js";
import { ScratchRecord } from "./scratch-record.js";

const ROOM = parseRoom("log.a");
const LOGS = parsePattern("log.>");
const OTHERS = parsePattern("other.>");
const DUE_MS = Number.POSITIVE_INFINITY;
/** The room's number at the hub. */
const NUMBER = 5;

/** The rooms and patterns of a link without its socket: a test says what the hub answers, and when. */
function rig() {
  const sent: WorkerRecord[] = [];
  let refs = 0;
  const owner = {
    counters: createHubLinkCounters(),
    limits: DEFAULT_HUB_LIMITS,
    send: (record: WorkerRecord) => void sent.push(record),
    nextRef: () => ++refs,
    fault: (cause: unknown) => assert.fail(String(cause)),
  };
  const patterns = new LinkWatch(owner);
  const rooms = new LinkRooms({ ...owner, patterns });
  const watched: (number | LostWhere)[] = [];
  const flow: number[] = [];
  const scratch = new ScratchRecord();
  return {
    patterns,
    rooms,
    watched,
    flow,
    watcher: {
      message: ({ offset }: { offset: number }) => void watched.push(offset),
      lost: (where: LostWhere) => void watched.push(where),
    },
    sink: {
      message: ({ offset }: { offset: number }) => void flow.push(offset),
      reset: () => assert.fail("nothing is lost in the room"),
    },
    /** The ref of the request of this kind that was sent last. */
    ref(type: "open" | "watch" | "unwatch"): number {
      const record = sent.findLast((each) => each.type === type);
      assert.ok(record !== undefined && "ref" in record && record.ref !== undefined);
      return record.ref;
    },
    opened(ref: number, offset: number): void {
      rooms.opened({ type: "opened", ref, number: NUMBER, head: { epoch: "e", offset }, lost: undefined });
    },
    live(offset: number): void {
      const data = encode(offset);
      const fields = { room: ROOM, time: 0, key: undefined, origin: undefined, data };
      writeMessage(scratch, RECORD.message, NUMBER, createMessage({ ...fields, offset, prev: offset - 1 }));
      const { record } = scratch;
      rooms.message(scratch.bytes, scratch.view, 0, record.length);
    },
  };
}

test("a lag while a room opens: what comes under the first request is the watcher's, after the second the sink's", async () => {
  const { patterns, rooms, watched, flow, watcher, sink, ref, opened, live } = rig();
  const watching = patterns.watch(LOGS, watcher, DUE_MS);
  patterns.watching(ref("watch"));
  await watching;
  const position = rooms.open(ROOM, sink, DUE_MS);
  const first = ref("open");
  rooms.lagged();
  patterns.lagged();
  const second = ref("open");
  assert.notEqual(second, first);
  opened(first, 0);
  live(1);
  opened(second, 1);
  live(2);
  assert.deepEqual(await position, { epoch: "e", offset: 1 });
  assert.deepEqual(watched, ["all", 1]);
  assert.deepEqual(flow, [2]);
});

test("the same where no pattern means the room, or none does any more: the watcher gets nothing of it", async () => {
  const { patterns, rooms, watched, flow, watcher, sink, ref, opened, live } = rig();
  for (const pattern of [OTHERS, LOGS]) {
    const watching = patterns.watch(pattern, watcher, DUE_MS);
    patterns.watching(ref("watch"));
    await watching;
  }
  const position = rooms.open(ROOM, sink, DUE_MS);
  const first = ref("open");
  rooms.lagged();
  const second = ref("open");
  patterns.unwatch(LOGS);
  patterns.watching(ref("unwatch"));
  opened(first, 0);
  live(1);
  opened(second, 1);
  live(2);
  assert.deepEqual(await position, { epoch: "e", offset: 1 });
  assert.deepEqual(watched, []);
  assert.deepEqual(flow, [2]);
});
