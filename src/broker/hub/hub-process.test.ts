import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { CodedError } from "../../protocol/errors.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { DEADLINE_MS, SocketFolder, until } from "./hub.testkit.js";
import { DEFAULT_HUB_LIMITS, type HubLimits } from "./hub-limits.js";
import { connectHub, type HubLink } from "./hub-link.js";
import type { HubReport } from "./hub-program.testkit.js";
import { Program } from "./program.testkit.js";
import type { WorkerReport } from "./worker-program.testkit.js";

const LONG = parseRoom("long.a");
const SHORT = parseRoom("short.a");
const MIB = 1_048_576;

/** Processes and links of one test. */
class Box {
  readonly #folder = new SocketFolder();
  readonly #path = this.#folder.at("hub.sock");
  readonly #limits: Partial<HubLimits>;
  readonly #programs: { kill(): Promise<void> }[] = [];
  readonly #links: HubLink[] = [];

  constructor(limits: Partial<HubLimits> = {}) {
    this.#limits = limits;
  }

  startHub(): Promise<Program<HubReport>> {
    return this.#start<HubReport>("hub-program.testkit.js", []);
  }

  startWorker(...rooms: RoomName[]): Promise<Program<WorkerReport>> {
    return this.#start<WorkerReport>("worker-program.testkit.js", rooms);
  }

  async link(): Promise<HubLink> {
    const link = connectHub({
      socketPath: this.#path,
      worker: "test",
      limits: { ...DEFAULT_HUB_LIMITS, ...this.#limits },
      onError: (cause) => assert.fail(String(cause)),
    });
    this.#links.push(link);
    await link.ready(DEADLINE_MS);
    return link;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.stop(0)));
    await Promise.all(this.#programs.map((program) => program.kill()));
    this.#folder.dispose();
  }

  async #start<Report>(file: string, rooms: readonly string[]): Promise<Program<Report>> {
    const args = [this.#path, JSON.stringify(this.#limits), ...rooms];
    const program = await Program.start<Report>(file, args);
    this.#programs.push(program);
    return program;
  }
}

/** Follows one room in this process, and keeps every offset. */
class Follow {
  readonly resets: ResetReason[] = [];
  readonly offsets: number[] = [];
  broken = 0;
  position: Position | undefined;

  async start(link: HubLink, room: RoomName): Promise<this> {
    this.position = await link.open(room, this);
    return this;
  }

  message({ offset, prev }: { readonly offset: number; readonly prev: number }): void {
    if (this.position === undefined) assert.fail("a message before the room was open");
    if (prev !== this.position.offset || offset !== prev + 1) this.broken += 1;
    this.position = { epoch: this.position.epoch, offset };
    this.offsets.push(offset);
  }

  reset(_room: RoomName, head: Position, reason: ResetReason): void {
    this.resets.push(reason);
    this.position = head;
  }
}

/** Publishes so many, a hundred under way. */
async function publishMany(link: HubLink, room: RoomName, count: number, bytes: number): Promise<void> {
  const data = encode(new Uint8Array(bytes));
  for (let sent = 0; sent < count; ) {
    const batch: Promise<Position>[] = [];
    for (; batch.length < 100 && sent < count; sent += 1) batch.push(link.publish({ room, data }));
    await Promise.all(batch);
  }
}

/** Tries again until it is not refused. */
async function eventually<T>(request: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await request();
    } catch (cause) {
      if (performance.now() > deadline) throw cause;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("kill -9 of the hub under load: every room is told once, and nothing was answered that was not stored", {
  timeout: 120_000,
}, async () => {
  const box = new Box();
  try {
    const rooms = Array.from({ length: 200 }, (_, index) => parseRoom(`long.r${index}`));
    const first = await box.startHub();
    const publisher = await box.link();
    const follows = new Map<RoomName, Follow>();
    for (const room of rooms) follows.set(room, await new Follow().start(publisher, room));
    const answered: { readonly room: RoomName; readonly position: Position }[] = [];
    const refused: unknown[] = [];
    let stopped = false;
    const load = (async () => {
      for (let turn = 0; !stopped; turn += 1) {
        const room = rooms[turn % rooms.length] ?? LONG;
        publisher.publish({ room, data: encode(turn) }).then(
          (position) => answered.push({ room, position }),
          (cause: unknown) => refused.push(cause),
        );
        if (turn % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await until(() => answered.length > 5_000);
    const epoch = answered[0]?.position.epoch;
    await first.kill();
    await until(() => !publisher.linked);
    await until(() => refused.length > 100);
    const second = await box.startHub();
    const backAt = performance.now();
    await publisher.ready(DEADLINE_MS);
    const backMs = performance.now() - backAt;
    const before = answered.length;
    await until(() => answered.length > before + 2_000);
    stopped = true;
    await load;
    await until(() => [...follows.values()].every(({ resets }) => resets.length > 0));
    for (const [room, follow] of follows) {
      assert.deepEqual(follow.resets, ["epoch"], room);
      assert.equal(follow.broken, 0, room);
    }
    for (const cause of refused)
      assert.ok(cause instanceof CodedError && cause.code === "unavailable", String(cause));
    // A link hears the flow of a publish before its answer: what was answered must have been heard.
    for (const { room, position } of answered) {
      const follow = follows.get(room);
      if (position.epoch === epoch)
        assert.ok(follow?.offsets.includes(position.offset), `${room} ${position.offset}`);
    }
    assert.equal(publisher.counters.lost, 1);
    assert.deepEqual((await second.report()).faults, []);
    console.log(`linked again ${Math.round(backMs)} ms after the new hub listened`);
  } finally {
    await box.dispose();
  }
});

test("10,000 open rooms come back after kill -9 of the hub, each told once, and flow again", {
  timeout: 120_000,
}, async () => {
  const box = new Box();
  try {
    const rooms = Array.from({ length: 10_000 }, (_, index) => parseRoom(`long.r${index}`));
    const hub = await box.startHub();
    const link = await box.link();
    const follows = await Promise.all(rooms.map((room) => new Follow().start(link, room)));
    await hub.kill();
    await until(() => !link.linked);
    const second = await box.startHub();
    const backAt = performance.now();
    await link.ready(DEADLINE_MS);
    await until(() => follows.every(({ resets }) => resets.length === 1));
    console.log(`all told ${Math.round(performance.now() - backAt)} ms after the new hub listened`);
    await Promise.all(rooms.map((room) => link.publish({ room, data: encode(1) })));
    for (const { offsets, resets, broken } of follows) {
      assert.deepEqual(offsets, [1]);
      assert.deepEqual([resets, broken], [["epoch"], 0]);
    }
    assert.equal((await second.report()).counters.rooms, rooms.length);
  } finally {
    await box.dispose();
  }
});

test("SIGSTOP of a worker under load: nobody else waits, the hub stays small, and the worker catches up", {
  timeout: 120_000,
}, async () => {
  const box = new Box({ bufferBytes: MIB });
  try {
    const hub = await box.startHub();
    const stopped = await box.startWorker(LONG, SHORT);
    const link = await box.link();
    const long = await new Follow().start(link, LONG);
    const short = await new Follow().start(link, SHORT);
    const before = (await hub.report()).residentBytes;
    stopped.signal("SIGSTOP");
    await publishMany(link, LONG, 20_000, 300);
    // Three hundred times what may wait.
    await publishMany(link, SHORT, 100_000, 3_000);
    const { residentBytes, waitingBytes, counters } = await hub.report();
    assert.ok(waitingBytes < 1.2 * MIB, `${waitingBytes} bytes wait`);
    assert.equal(counters.lagged, 1);
    const grownBy = residentBytes - before;
    assert.ok(grownBy < 150 * MIB, `${Math.round(grownBy / MIB)} MiB`);
    assert.deepEqual([long.offsets.length, long.broken, long.resets], [20_000, 0, []]);
    assert.deepEqual([short.offsets.length, short.broken, short.resets], [100_000, 0, []]);
    stopped.signal("SIGCONT");
    const { rooms } = await stopped.until(
      (report) =>
        report.rooms[LONG]?.position.offset === 20_000 && report.rooms[SHORT]?.position.offset === 100_000,
      "the stopped worker at the heads",
    );
    const { messages, broken, resets } = rooms[LONG] ?? assert.fail();
    assert.deepEqual([messages, broken, resets], [20_000, 0, []]);
    // Five messages of this one are kept: the rest is told as lost.
    assert.deepEqual(rooms[SHORT]?.resets, ["expired"]);
    assert.equal(rooms[SHORT]?.broken, 0);
    await publishMany(link, SHORT, 100, 10);
    const last = await stopped.until(
      (report) => report.rooms[SHORT]?.position.offset === 100_100,
      "live again",
    );
    assert.deepEqual([last.rooms[SHORT]?.broken, last.counters.lagged, last.counters.lost], [0, 1, 0]);
    console.log(`the hub grew by ${Math.round(grownBy / MIB)} MiB`);
  } finally {
    await box.dispose();
  }
});

test("a hub that stands still lets requests time out, holds nothing up for good, and goes on where it stood", {
  timeout: 120_000,
}, async () => {
  const box = new Box({ requestMs: 300, publishBytes: MIB });
  try {
    const hub = await box.startHub();
    const link = await box.link();
    const long = await new Follow().start(link, LONG);
    hub.signal("SIGSTOP");
    const data = encode(new Uint8Array(10_000));
    const errors = new Set<string>();
    // More than socket and link may hold, over several deadlines: the link refuses what it could only pile up.
    while (link.counters.refused < 500) {
      const batch = Array.from({ length: 50 }, () => link.publish({ room: LONG, data }));
      for (const result of await Promise.allSettled(batch))
        errors.add(
          result.status === "rejected" && result.reason instanceof CodedError ? result.reason.code : "?",
        );
    }
    assert.deepEqual([...errors].sort(), ["timeout", "unavailable"]);
    hub.signal("SIGCONT");
    const { offset } = await eventually(() => link.publish({ room: LONG, data }));
    await until(() => long.position?.offset === offset);
    assert.deepEqual([long.offsets.length, long.broken, long.resets, link.counters.lost], [offset, 0, [], 0]);
  } finally {
    await box.dispose();
  }
});

test("kill -9 of a worker in the middle of its flow costs nobody else anything", {
  timeout: 120_000,
}, async () => {
  const box = new Box({ bufferBytes: MIB });
  try {
    const hub = await box.startHub();
    const alone = parseRoom("long.alone");
    const link = await box.link();
    const long = await new Follow().start(link, LONG);
    for (let round = 1; round <= 3; round += 1) {
      const worker = await box.startWorker(LONG, alone);
      assert.equal((await hub.report()).counters.rooms, 2);
      // Nothing is read any more, so the kill comes in the middle of what the hub has to write.
      worker.signal("SIGSTOP");
      await publishMany(link, LONG, 3_000, 300);
      await worker.kill();
      await hub.until(
        ({ counters }) => counters.links === 1 && counters.rooms === 1,
        "the worker's rooms left",
      );
      assert.deepEqual([long.offsets.length, long.broken, long.resets], [3_000 * round, 0, []]);
    }
    const { counters, faults } = await hub.report();
    assert.deepEqual([counters.malformed, counters.lagged, faults], [0, 0, []]);
  } finally {
    await box.dispose();
  }
});
