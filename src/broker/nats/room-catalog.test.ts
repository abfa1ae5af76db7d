import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import { parseRoom } from "../../protocol/room-name.js";
import { LISTS_MAX } from "../room-lists.js";
import { parseServers } from "./connection.js";
import { ApiError } from "./js-api.js";
import { freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { RoomCatalog } from "./room-catalog.js";
import { serverOfFile } from "./server-of-file.testkit.js";
import { planStreams } from "./stream-plan.js";
import { Stream, Streams } from "./streams.js";
import { encodeRoom, Subjects } from "./subjects.js";

const SETTINGS = {
  defaults: DEFAULT_ROOM_SETTINGS,
  byName: {
    keyed: { ...DEFAULT_ROOM_SETTINGS, state: true },
    deep: DEFAULT_ROOM_SETTINGS,
    eph: { ...DEFAULT_ROOM_SETTINGS, history: { messages: 0, seconds: 0 }, ephemeral: true },
  },
  sets: { deep: "deep" },
};
const ALL = { prefix: "", after: "", limit: 100 };
const system = serverOfFile();

test("what stands in no room's place is no room, and each namespace is looked for in its own streams", async (t) => {
  const prefix = freshPrefix();
  const { url } = system.server;
  // A set of its own is more than the documented users may.
  const node = await startTestBroker(url, { prefix, settings: SETTINGS, access: parseServers(url) });
  t.after(() => node.stop(1_000));
  for (const name of ["log.a", "keyed.a", "deep.a", "eph.a"])
    await node.publish({ room: parseRoom(name), data: encode(1), key: "k" });
  const subjects = new Subjects(prefix, 2);
  const partition = subjects.partitionOf(encodeRoom(parseRoom("log.b")));
  for (const subject of [
    `in.${1 - partition}.log~b`,
    `in.${partition}.log~~b`,
    `in.${partition}.~`,
    `in.${subjects.partitionOf("keyed~b")}.keyed~b`,
    `in.${subjects.partitionOf("deep~b")}.deep~b`,
    `key.${partition}.log~b.k`,
  ])
    await system.admin.connection.request(`${prefix}.${subject}`, encode(1), { timeout: 5_000 });
  const names = async (asked: string) => (await node.rooms(asked, "", 100)).rooms.map(({ room }) => room);
  assert.deepEqual(await names(""), ["deep.a", "keyed.a", "log.a"]);
  for (const name of ["log.", "keyed.", "deep."]) assert.deepEqual(await names(name), [`${name}a`]);
  assert.deepEqual(await names("eph."), []);
  await system.admin.api(
    `STREAM.PURGE.${subjects.stream({ name: "deep", keyed: false, suffix: "-deep" }, 0)}`,
  );
  await system.admin.api(
    `STREAM.PURGE.${subjects.stream({ name: "deep", keyed: false, suffix: "-deep" }, 1)}`,
  );
  assert.deepEqual(await names(""), ["keyed.a", "log.a"]);
});

test("who asks while a round runs shares the next; too many are refused and counted", async () => {
  const leader = new Leader(["log.a", "log.b"]);
  const first = leader.catalog.list(ALL);
  const same = leader.catalog.list({ ...ALL, prefix: "log.b" });
  await leader.asked();
  const next = Array.from({ length: LISTS_MAX }, () => leader.catalog.list(ALL));
  await assert.rejects(leader.catalog.list(ALL), { code: "unavailable" });
  assert.equal(leader.refused, 1);
  leader.rooms = ["log.c"];
  leader.open();
  assert.deepEqual(namesOf(await first), ["log.a", "log.b"]);
  assert.deepEqual(namesOf(await same), ["log.b"]);
  for (const list of await Promise.all(next)) assert.deepEqual(namesOf(list), ["log.c"]);
  assert.equal(leader.calls, 2);
});

test("very many subjects are asked for page by page, up to a bound", async () => {
  const rooms = Array.from({ length: 25 }, (_, index) => `log.${index}`);
  const leader = new Leader(rooms, 25);
  leader.open();
  assert.deepEqual(namesOf(await leader.catalog.list(ALL)), [...rooms].sort());
  assert.equal(leader.calls, 3);
  leader.rooms = [...rooms, "log.more"];
  await assert.rejects(leader.catalog.list(ALL), { code: "too_large", message: /more than 25 subjects/ });
  assert.equal(leader.calls, 6);
});

test("a stream that does not answer fails the list, and not the next one", async () => {
  const leader = new Leader(["log.a"]);
  leader.open();
  leader.failing = true;
  await assert.rejects(leader.catalog.list(ALL), { code: "unavailable" });
  leader.failing = false;
  assert.deepEqual(namesOf(await leader.catalog.list(ALL)), ["log.a"]);
});

/** A stream's leader that keeps these rooms; its first answer waits until it is open. */
class Leader {
  calls = 0;
  refused = 0;
  failing = false;
  rooms: readonly string[];
  readonly catalog: RoomCatalog;
  readonly #opened = deferred();
  readonly #called = deferred();

  constructor(rooms: readonly string[], subjectsMax = 1_000) {
    this.rooms = rooms;
    const subjects = new Subjects("fw", 1);
    const plan = planStreams({ defaults: DEFAULT_ROOM_SETTINGS, byName: {} }, subjects);
    const info = {
      created: "",
      seenBefore: 0,
      firstSequence: 0,
      lastSequence: 0,
      messages: 0,
      perSubject: 1,
    };
    const rest = { maxAgeMs: 0, isBounded: false, subjects: 0, replicas: 1 };
    const streams = plan.sets.map(
      ({ set }) => new Stream(subjects, set, 0, { ...info, ...rest }, { generation: 1, mark: "" }, 1),
    );
    this.catalog = new RoomCatalog({
      plan,
      streams: new Streams(plan, streams),
      api: { call: (_subject, body) => this.#answer(Number(body?.offset)) },
      readMs: 100,
      onRefused: () => {
        this.refused += 1;
      },
      subjectsMax,
    });
  }

  open(): void {
    this.#opened.resolve();
  }

  async asked(): Promise<void> {
    await this.#called.promise;
  }

  async #answer(offset: number) {
    this.calls += 1;
    const rooms = this.rooms;
    this.#called.resolve();
    await this.#opened.promise;
    if (this.failing) throw new ApiError(503, 0, "no leader");
    const page = rooms.slice(offset, offset + 10);
    const subjects = Object.fromEntries(page.map((room) => [`fw.in.0.${encodeRoom(parseRoom(room))}`, 1]));
    return { state: { subjects }, total: rooms.length };
  }
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let settle = (): void => {};
  const promise = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: () => settle() };
}

function namesOf({ rooms }: { readonly rooms: readonly { readonly room: string }[] }): readonly string[] {
  return rooms.map(({ room }) => room);
}
