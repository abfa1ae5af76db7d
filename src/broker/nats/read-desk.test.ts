import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HistoryFrom, HistoryPage } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import { createMessage } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { DEFAULT_NATS_LIMITS, type NatsLimits } from "./limits.js";
import { createNatsCounters } from "./nats-counters.js";
import { PageCache } from "./page-cache.js";
import { type Inquiry, ReadDesk } from "./read-desk.js";
import { RoomReader } from "./room-reader.js";
import { SnapshotPass } from "./snapshot-pass.js";
import type { StoredMessage } from "./stored-message.js";
import { StreamPass } from "./stream-pass.js";
import type { Cursor, CursorFilter, CursorStart, KeptMessage, StreamReads } from "./stream-reader.js";
import type { Stream, StreamInfo } from "./streams.js";

const NOW_MS = 1_000_000;

/** A stream in memory, and what is asked of it. Reads can be held back. */
class FakeStream implements StreamReads {
  readonly messages: StoredMessage[] = [];
  readonly cursors: { readonly filter: CursorFilter; readonly from: CursorStart }[] = [];
  closed = 0;
  batches = 0;
  epoch = "e";
  replicas = 1;
  /** A replica that is behind has nothing above this. */
  reached = Number.MAX_SAFE_INTEGER;
  readonly stream: Stream;
  #gate: Promise<void> = Promise.resolve();
  #open: () => void = () => undefined;

  constructor(keyed = false) {
    const fake = this;
    this.stream = {
      name: "FW_0",
      allSubjects: "all",
      set: { keyed, name: "", suffix: "" },
      messagesMin: 50,
      get epoch() {
        return fake.epoch;
      },
      get seen() {
        return fake.messages.length;
      },
      get info() {
        return fake.#info();
      },
      position: (offset: number) => ({ epoch: this.epoch, offset }),
    } as unknown as Stream;
  }

  store(roomToken: string, keyToken?: string): number {
    const sequence = this.messages.length + 1;
    const data = Uint8Array.of(0xc0);
    this.messages.push({ sequence, storedMs: NOW_MS, headers: "", data, roomToken, keyToken });
    return sequence;
  }

  hold(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  release(): void {
    this.#open();
  }

  async info(): Promise<StreamInfo> {
    await this.#gate;
    return this.#info();
  }

  async last(_stream: Stream, filter: string): Promise<number> {
    await this.#gate;
    return this.messages.findLast((message) => matches(filter, message))?.sequence ?? 0;
  }

  async first(_stream: Stream, filter: string, from = 1): Promise<number> {
    const isIt = (message: StoredMessage): boolean => message.sequence >= from && matches(filter, message);
    return this.messages.find(isIt)?.sequence ?? 0;
  }

  async at(): Promise<KeptMessage | undefined> {
    return undefined;
  }

  async cursor(_stream: Stream, filter: CursorFilter, from: CursorStart): Promise<Cursor> {
    this.cursors.push({ filter, from });
    const isIt = (message: StoredMessage): boolean =>
      message.sequence <= this.reached && matches(filter, message);
    const all = this.messages.filter(isIt);
    const start = typeof from === "number" ? from : 0;
    const rest = from === "lastOfEach" ? lastOfEach(all) : all.filter(({ sequence }) => sequence >= start);
    return {
      pending: rest.length,
      read: async (count) => {
        await this.#gate;
        this.batches += 1;
        return rest.splice(0, count);
      },
      close: () => {
        this.closed += 1;
      },
    };
  }

  #info(): StreamInfo {
    return {
      created: "now",
      seenBefore: this.messages.length,
      isBounded: false,
      firstSequence: 1,
      lastSequence: this.messages.length,
      messages: this.messages.length,
      subjects: new Set(this.messages.map(({ roomToken, keyToken }) => `${roomToken} ${keyToken}`)).size,
      perSubject: 50,
      maxAgeMs: 0,
      replicas: this.replicas,
    };
  }
}

function matches(filter: CursorFilter, { roomToken }: StoredMessage): boolean {
  if (filter === undefined || filter === "all") return true;
  return typeof filter === "string" ? filter === roomToken : filter.includes(roomToken);
}

function lastOfEach(messages: readonly StoredMessage[]): StoredMessage[] {
  const last = new Map(messages.map((message) => [`${message.roomToken} ${message.keyToken}`, message]));
  return [...last.values()].sort((a, b) => a.sequence - b.sequence);
}

/** A desk over that stream, whose clock is the test's. */
class Rig {
  readonly reads: FakeStream;
  readonly counters = createNatsCounters();
  readonly desk: ReadDesk;
  nowMs = NOW_MS;

  constructor({ keyed = false, manyFilters = false, ...limits }: Partial<NatsLimits> & RigOptions = {}) {
    const reads = new FakeStream(keyed);
    this.reads = reads;
    const all: NatsLimits = { ...DEFAULT_NATS_LIMITS, readBatch: 16, ...limits };
    const nowMs = (): number => this.nowMs;
    this.desk = new ReadDesk({
      reader: new RoomReader(
        reads,
        () => true,
        all.readBatch,
        () => Promise.resolve(0),
      ),
      pass: new StreamPass(reads, () => true, all.readBatch),
      snapshots: new SnapshotPass(reads, () => true, all.readBatch),
      cache: new PageCache(all.pageBytes, all.pageKeepMs, nowMs),
      limits: all,
      counters: this.counters,
      nowMs,
      manyFilters: () => manyFilters,
      open: () => undefined,
      version: () => reads.messages.length,
      headOfEmpty: () => reads.messages.length,
      message: (room, { sequence, data }, prev) =>
        createMessage({ room, offset: sequence, prev, time: NOW_MS, data }),
    });
  }

  inquiry(room: string): Inquiry {
    const place = { stream: this.reads.stream, filter: room };
    return { room: parseRoom(room), place, bounds: { messages: 40, maxAgeMs: 60_000 } };
  }

  async page(room: string, from: number | HistoryFrom, limit = 100): Promise<unknown> {
    const wanted = typeof from === "number" ? { after: { epoch: "e", offset: from } } : from;
    return told(await this.desk.page(this.inquiry(room), wanted, limit));
  }

  /** So many messages in each room, in turn. */
  fill(rooms: readonly string[], rounds: number): void {
    for (let round = 0; round < rounds; round += 1) for (const room of rooms) this.reads.store(room);
  }

  expected(room: string, after: number): number[] {
    const isIt = ({ roomToken, sequence }: StoredMessage): boolean => roomToken === room && sequence > after;
    return this.reads.messages.filter(isIt).map(({ sequence }) => sequence);
  }
}

interface RigOptions {
  readonly keyed?: boolean;
  readonly manyFilters?: boolean;
}

function told(page: HistoryPage): unknown {
  if (page.kind === "lost") return page.reason;
  const offsets = page.messages.map(({ offset }) => offset);
  return page.more ? [...offsets, "more"] : offsets;
}

const ROOMS = Array.from({ length: 20 }, (_, index) => `r${index}`);

describe("one room", () => {
  test("is read once for all who ask at the same time, whatever their position", async () => {
    const rig = new Rig();
    rig.fill(["a", "b"], 20);
    const asked = Array.from({ length: 39 }, (_, after) => after);
    const pages = await Promise.all(asked.map((after) => rig.page("a", after)));
    assert.deepEqual(
      pages,
      asked.map((after) => rig.expected("a", after)),
    );
    assert.equal(rig.reads.cursors.length, 1);
    assert.equal(rig.counters.sharedReads, 38);
    await turn();
    assert.equal(rig.reads.closed, 1);
    assert.equal(rig.desk.size, 0);
  });

  test("is joined while it is read by those who ask for less, and not where something came meanwhile", async () => {
    const rig = new Rig();
    rig.fill(["a", "b"], 5);
    rig.reads.hold();
    const first = rig.page("a", 2);
    await turn();
    const joined = rig.page("a", 4);
    const lower = rig.page("a", 0);
    rig.reads.store("a");
    const later = rig.page("a", 4);
    rig.reads.release();
    const all = await Promise.all([first, joined, lower, later]);
    assert.deepEqual(all[3], [5, 7, 9, 11]);
    assert.deepEqual(all[2], [1, 3, 5, 7, 9, 11]);
    assert.equal(rig.reads.cursors.length, 2);
  });

  test("of which a page does not hold all is read on for those who are further", async () => {
    const rig = new Rig();
    rig.fill(["a"], 40);
    const pages = await Promise.all([0, 10, 20, 30].map((after) => rig.page("a", after, 8)));
    assert.deepEqual(pages[0], [1, 2, 3, 4, 5, 6, 7, 8, "more"]);
    assert.deepEqual(pages[3], [31, 32, 33, 34, 35, 36, 37, 38, "more"]);
  });

  test("is told as lost where it is, after some few reads for all", async () => {
    const rig = new Rig();
    rig.fill(["a"], 90);
    const asked = Array.from({ length: 90 }, (_, after) => after);
    const pages = await Promise.all(asked.map((after) => rig.page("a", after)));
    for (const after of asked)
      assert.deepEqual(pages[after], after < 50 ? "expired" : rig.expected("a", after), `after ${after}`);
    assert.ok(rig.counters.reads <= 9, `${rig.counters.reads} reads`);
    assert.equal(await rig.page("a", 91), "epoch");
  });

  test("is read once for all who want its last messages", async () => {
    const rig = new Rig();
    rig.fill(["a", "b"], 10);
    const asked = [3, 1, 5, 5, 2];
    const pages = await Promise.all(asked.map((last) => rig.page("a", { last }, last)));
    assert.deepEqual(
      pages,
      asked.map((last) => rig.expected("a", 0).slice(-last)),
    );
    assert.equal(rig.counters.reads, 1);
  });
});

describe("many rooms of a stream", () => {
  for (const manyFilters of [false, true])
    test(`are read in one pass ${manyFilters ? "with a filter for each" : "over all"}, each from its own positions`, async () => {
      const rig = new Rig({ manyFilters });
      const others = manyFilters ? Array.from({ length: 400 }, (_, index) => `o${index}`) : ["o"];
      rig.fill([...ROOMS, ...others], 4);
      const last = rig.reads.messages.length;
      const asked = ROOMS.flatMap((room) =>
        [0, 5, last - 3 * others.length, last].map((after) => ({ room, after })),
      );
      const pages = await Promise.all(asked.map(({ room, after }) => rig.page(room, after)));
      assert.deepEqual(
        pages,
        asked.map(({ room, after }) => rig.expected(room, after)),
      );
      assert.equal(rig.reads.cursors.length, 1);
      assert.equal(Array.isArray(rig.reads.cursors[0]?.filter), manyFilters);
      assert.deepEqual([rig.counters.passes, rig.counters.passRooms], [1, ROOMS.length]);
    });

  test("are told each what is lost, and what is not", async () => {
    const rig = new Rig();
    rig.fill(ROOMS, 60);
    const asked = ROOMS.flatMap((room, index) =>
      [0, 21, 41].map((round) => ({ room, after: round * ROOMS.length + index })),
    );
    const pages = await Promise.all(asked.map(({ room, after }) => rig.page(room, after)));
    for (const [index, { room, after }] of asked.entries()) {
      const rest = rig.expected(room, after);
      assert.deepEqual(pages[index], rest.length > 40 ? "expired" : rest);
    }
    assert.equal(rig.reads.cursors.length, 1);
  });

  test("that take more memory than a pass may are read alone", async () => {
    const rig = new Rig({ passBytes: 5_000 });
    rig.fill(ROOMS, 2);
    const pages = await Promise.all(ROOMS.map((room) => rig.page(room, 0)));
    assert.deepEqual(
      pages,
      ROOMS.map((room) => rig.expected(room, 0)),
    );
    assert.ok(rig.reads.cursors.length > 1 && rig.reads.cursors.length < ROOMS.length);
    assert.equal(rig.reads.closed, rig.reads.cursors.length);
  });

  for (const manyFilters of [false, true])
    test(`are not answered by a replica that is behind (filters: ${manyFilters})`, async () => {
      const rig = new Rig({ manyFilters });
      const others = manyFilters ? Array.from({ length: 400 }, (_, index) => `o${index}`) : [];
      rig.reads.replicas = 3;
      rig.fill([...ROOMS, ...others], 4);
      rig.fill(ROOMS, 1);
      rig.reads.reached = rig.reads.messages.length - 1;
      const settled = await Promise.allSettled(ROOMS.map((room) => rig.page(room, 0)));
      for (const outcome of settled)
        assert.ok(outcome.status === "rejected" && /a replica is behind/.test(String(outcome.reason)));
      rig.reads.reached += 1;
      assert.deepEqual(await rig.page("r1", 0), rig.expected("r1", 0));
    });

  test("have their state read in one pass", async () => {
    const rig = new Rig({ keyed: true });
    for (let round = 0; round < 3; round += 1)
      for (const room of ROOMS) for (const key of ["x", "y", "~"]) rig.reads.store(room, key);
    const states = await Promise.all(
      [...ROOMS, ...ROOMS].map(async (room) => await rig.desk.state(rig.inquiry(room))),
    );
    for (const [index, { messages, head }] of states.entries()) {
      const [x, y, none] = rig.expected(ROOMS[index % ROOMS.length] ?? "", 0).slice(-3);
      assert.deepEqual(
        messages.map(({ offset }) => offset),
        [x, y],
      );
      assert.equal(head.offset, none);
    }
    assert.deepEqual(rig.reads.cursors, [{ filter: undefined, from: "lastOfEach" }]);
  });
});

describe("who waits", () => {
  test("is given up at his deadline, and a pass that nobody waits for ends", async () => {
    const rig = new Rig({ readMs: 1_000 });
    rig.fill(ROOMS, 40);
    rig.reads.hold();
    const asked = ROOMS.map((room) => rig.page(room, 0));
    const settled = Promise.allSettled(asked);
    await turn();
    rig.nowMs += 1_000;
    // It looks at deadlines some times a second.
    for (const outcome of await settled) {
      assert.ok(outcome.status === "rejected" && outcome.reason instanceof CodedError);
      assert.equal(outcome.reason.code, "timeout");
    }
    rig.reads.release();
    await turn();
    await turn();
    assert.equal(rig.desk.size, 0);
    assert.deepEqual([rig.reads.batches, rig.reads.closed], [1, 1]);
    rig.desk.stop();
  });

  test("is told when the stream was numbered anew meanwhile", async () => {
    const rig = new Rig();
    rig.fill(["a"], 5);
    rig.reads.hold();
    const page = rig.page("a", 2);
    await turn();
    rig.reads.epoch = "other";
    rig.reads.release();
    await assert.rejects(page, /the room has a new numbering/);
  });

  test("is told when the broker stops", async () => {
    const rig = new Rig();
    rig.fill(["a"], 5);
    rig.reads.hold();
    const page = rig.page("a", 2);
    rig.desk.stop();
    await assert.rejects(page, /the broker has stopped/);
    rig.reads.release();
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
