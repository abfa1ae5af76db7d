import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, type TestContext, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import type { HistoryPage } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import { dataOf } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { assertChain, Collector, offsetsOf } from "../conformance-rig.testkit.js";
import { NatsLink } from "./connection.js";
import { Control } from "./control.js";
import { ACCOUNTS_FILE, accessAs } from "./nats-accounts.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { CONFORMANCE_NAMESPACES, freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";
import { type Purging, preparePurge } from "./purge.js";
import { serverOfFile } from "./server-of-file.testkit.js";
import { Subjects } from "./subjects.js";

const DEADLINE_MS = 30_000;
const system = serverOfFile();

describe("a room that is purged", () => {
  for (const name of ["log.victim", "keyed.victim"])
    test(`${name}: who follows it and who resumes from before it is told, on every node; others are not`, async (t) => {
      const rig = await Rig.start(t, name);
      const [away, missed, seen] = [rig.positions[1], rig.positions[2], rig.positions.at(-1)];
      assert.ok(away !== undefined && missed !== undefined && seen !== undefined);
      const purging = await rig.purging();
      assert.deepEqual(
        purging.rooms.map(({ room, messages, upTo }) => ({ room, messages, upTo })),
        [{ room: rig.victim, messages: 4, upTo: seen.offset }],
      );
      const purged = purging.apply();
      await until("it to be announced", async () => (await rig.after(rig.far, away)).kind === "lost");
      const kept = await rig.publish(rig.victim, "kept");
      assert.deepEqual(await purged, [4]);
      for (const { sink } of rig.followers) {
        await until("who follows it to be told", () => sink.resets.length > 0);
        assert.deepEqual(
          sink.resets.map(({ reason }) => reason),
          ["purged"],
        );
      }
      const later = await rig.publish(rig.victim, "later");
      for (const { sink, start } of rig.followers) {
        await sink.until(6);
        assertChain(sink.messages.slice(0, 5), start.offset);
        assert.deepEqual(offsetsOf(sink.messages.slice(4)), [kept.offset, later.offset]);
        assert.equal(sink.resets.length, 1, "once");
      }
      const fresh = await rig.node();
      for (const node of [rig.near, rig.far, fresh]) {
        for (const position of [away, missed]) {
          const page = await rig.after(node, position);
          assert.deepEqual([page.kind, page.kind === "lost" && page.reason], ["lost", "purged"]);
          assert.ok(page.head.offset >= seen.offset);
        }
        const whole = await rig.after(node, seen);
        assert.ok(whole.kind === "page");
        assert.deepEqual(offsetsOf(whole.messages), [kept.offset, later.offset]);
        const other = await rig.after(node, rig.witnessed, rig.witness);
        assert.equal(other.kind, "page", "of another room nothing is told");
      }
      if (name.startsWith("keyed"))
        assert.deepEqual(
          (await fresh.state(rig.victim)).messages.map((message) => decode(dataOf(message))),
          ["kept", "later"],
        );
    });

  test("of many that are resumed at once, in one pass over the stream, it is told", async (t) => {
    const rig = await Rig.start(t, "log.victim");
    const rooms = Array.from({ length: 40 }, (_, index) => parseRoom(`log.r${index}`));
    const before = new Map<RoomName, Position>();
    for (const room of rooms) before.set(room, await rig.publish(room, "one"));
    for (const room of rooms) await rig.publish(room, "two");
    const victims = rooms.filter((_, index) => index % 4 === 0);
    const purging = await rig.purging(victims);
    await purging.apply();
    const node = await rig.node();
    const pages = await Promise.all(rooms.map((room) => rig.after(node, at(before, room), room)));
    for (const [index, page] of pages.entries()) assert.equal(page.kind, index % 4 === 0 ? "lost" : "page");
    assert.ok(node.counters.passes > 0, "read in a pass");
  });

  test("again, and one of which nothing is stored", async (t) => {
    const rig = await Rig.start(t, "log.victim");
    await (await rig.purging()).apply();
    const again = await rig.purging();
    assert.deepEqual([again.rooms[0]?.messages, again.rooms[0]?.upTo], [0, 0]);
    assert.deepEqual(await again.apply(), [0]);
    const next = await rig.publish(rig.victim, "next");
    assert.deepEqual(await (await rig.purging()).apply(), [1]);
    for (const { sink } of rig.followers)
      await until("who follows it to be told once more", () => sink.resets.length === 2);
    const [first] = rig.positions;
    assert.ok(first !== undefined);
    for (const node of [rig.near, rig.far]) {
      assert.equal((await rig.after(node, first)).kind, "lost");
      assert.equal((await rig.after(node, next)).kind, "page");
    }
  });

  test("who may not purge is told so, and nothing is announced", async (t) => {
    const file = readFileSync(ACCOUNTS_FILE, "utf8");
    const config = file.replace(', "$JS.API.STREAM.PURGE.*"', "");
    assert.notEqual(config, file);
    const server = await NatsServer.start({ bare: true, config });
    t.after(() => server.dispose());
    const node = await startTestBroker(server.url, { prefix: "fw", partitions: 1 });
    t.after(() => node.stop(0));
    const room = parseRoom("log.a");
    const first = await node.publish({ room, data: encode(1) });
    await node.publish({ room, data: encode(2) });
    const access = accessAs("provisioner", server.url);
    const purging = await preparePurge({
      ...{ access, settings: CONFORMANCE_NAMESPACES, prefix: "fw", partitions: 1, rooms: [room] },
      announceMs: 0,
    });
    t.after(() => purging.close());
    await assert.rejects(
      purging.apply(),
      (cause) => cause instanceof CodedError && cause.code === "forbidden" && /PURGE/.test(cause.message),
    );
    const fresh = await startTestBroker(server.url, { prefix: "fw", partitions: 1 });
    t.after(() => fresh.stop(0));
    const page = await fresh.history(room, { after: first }, 10);
    assert.equal(page.kind, "page", "nobody is told of a purge");
    const link = await NatsLink.open(access, "test", {}, DEADLINE_MS);
    t.after(() => link.close());
    assert.deepEqual((await new Control(link, new Subjects("fw", 1)).readPurges()).value, []);
  });

  test("what cannot be purged is said", async () => {
    const prefix = freshPrefix();
    const options = { access: accessAs("provisioner", system.server.url), settings: CONFORMANCE_NAMESPACES };
    const refused = async (rooms: string[], partitions: number, expected: RegExp): Promise<void> => {
      await assert.rejects(
        preparePurge({ ...options, prefix, partitions, rooms: rooms.map(parseRoom) }),
        (cause) =>
          cause instanceof CodedError && cause.code === "bad_request" && expected.test(cause.message),
      );
    };
    await refused(["log.a"], 1, /nothing is provisioned/);
    const broker = await startTestBroker(system.server.url, { prefix, partitions: 1 });
    await broker.stop(0);
    await refused(["log.a"], 2, /partitions is 2 here and 1 in the plan/);
    await refused(["eph.a"], 1, /ephemeral/);
    await refused(
      Array.from({ length: 501 }, (_, index) => `log.r${index}`),
      1,
      /at most 500/,
    );
  });
});

/** Two nodes and a room with four messages, among those of another one. */
class Rig {
  readonly victim: RoomName;
  readonly witness: RoomName;
  readonly near: NatsBroker;
  readonly far: NatsBroker;
  readonly positions: Position[] = [];
  readonly followers: { readonly sink: Collector; readonly start: Position }[] = [];
  witnessed: Position = { epoch: "", offset: 0 };
  readonly #prefix: string;
  readonly #t: TestContext;

  private constructor(t: TestContext, prefix: string, name: string, near: NatsBroker, far: NatsBroker) {
    this.#t = t;
    this.#prefix = prefix;
    this.victim = parseRoom(name);
    this.witness = parseRoom(name.replace("victim", "witness"));
    this.near = near;
    this.far = far;
  }

  static async start(t: TestContext, name: string): Promise<Rig> {
    const prefix = freshPrefix();
    const options = { prefix, partitions: 1, limits: { tailMessages: 0 } };
    const [near, far] = [
      await startTestBroker(system.server.url, options),
      await startTestBroker(system.server.url, options),
    ];
    t.after(() => Promise.all([near.stop(0), far.stop(0)]));
    const rig = new Rig(t, prefix, name, near, far);
    // The stream's first message stays, so that its numbers show nothing.
    rig.witnessed = await rig.publish(rig.witness, "witness");
    for (const node of [near, far]) {
      const sink = new Collector(DEADLINE_MS);
      rig.followers.push({ sink, start: await node.open(rig.victim, sink) });
    }
    for (const value of ["a", "b", "c", "d"]) {
      rig.positions.push(await rig.publish(rig.victim, value));
      await rig.publish(rig.witness, value);
    }
    for (const { sink } of rig.followers) await sink.until(4);
    return rig;
  }

  /** One that was not there. */
  async node(): Promise<NatsBroker> {
    const node = await startTestBroker(system.server.url, { prefix: this.#prefix, partitions: 1 });
    this.#t.after(() => node.stop(0));
    return node;
  }

  publish(room: RoomName, value: string): Promise<Position> {
    return this.near.publish({ room, data: encode(value), key: value });
  }

  after(node: NatsBroker, after: Position, room = this.victim): Promise<HistoryPage> {
    return node.history(room, { after }, 100);
  }

  async purging(rooms: readonly RoomName[] = [this.victim]): Promise<Purging> {
    const purging = await preparePurge({
      access: accessAs("provisioner", system.server.url),
      settings: CONFORMANCE_NAMESPACES,
      prefix: this.#prefix,
      partitions: 1,
      rooms,
      announceMs: ANNOUNCE_MS,
    });
    this.#t.after(() => purging.close());
    return purging;
  }
}

/** Nodes here are told at once, by the control stream's live records. */
const ANNOUNCE_MS = 700;

function at(positions: ReadonlyMap<RoomName, Position>, room: RoomName): Position {
  const position = positions.get(room);
  if (position === undefined) throw new Error(`nothing was published to ${room}`);
  return position;
}
