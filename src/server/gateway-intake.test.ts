import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { ClientInput } from "../protocol/frames.js";
import { CODE } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { msgpackWire } from "../protocol/wire.js";
import { Floor } from "./gateway-floor.js";
import { Intake, SHARE_MIN, TURN_REQUESTS, TURN_SHARE } from "./gateway-intake.js";
import { createGatewayCounters } from "./gateway-limits.js";
import { logInto, startRig } from "./gateway-rig.testkit.js";
import { Connection, type SessionFace } from "./gateway-socket.js";
import { clientFrame, OPCODE } from "./raw-socket.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

/** An intake whose turns of the loop the test makes, and what was carried out. */
class World {
  readonly counters = createGatewayCounters();
  readonly intake: Intake;
  /** Who was served which ref, in order. */
  done: [name: string, ref: number][] = [];
  readonly closed: string[] = [];
  readonly #turns: (() => void)[] = [];

  constructor(inboxBytes = 1_000_000) {
    const floor = new Floor(logInto([]), this.counters);
    this.intake = new Intake({
      floor,
      inboxBytes,
      workDone: () => 0,
      asked: () => undefined,
      nextTurn: (run) => void this.#turns.push(run),
    });
  }

  /** One turn of the loop. Returns how many requests were carried out in it. */
  turn(): number {
    const before = this.done.length;
    for (const run of this.#turns.splice(0)) run();
    return this.done.length - before;
  }

  join(name: string): Connection {
    const connection = new Connection(msgpackWire, 65_536);
    connection.opened({
      send: () => 1,
      getBufferedAmount: () => 0,
      cork: (work) => work(),
      end: (code) => this.leave(connection, name, code),
      close: () => this.leave(connection, name, 1_006),
      subscribe: () => true,
      unsubscribe: () => true,
    });
    connection.session = this.#session(name, connection);
    return connection;
  }

  /** As the gateway's close handler does it. */
  leave(connection: Connection, name: string, code: number): void {
    connection.gone();
    if (!this.intake.outlives(connection, code)) connection.closed(0);
    this.closed.push(`${name} ${code}`);
  }

  #session(name: string, connection: Connection): SessionFace {
    const carryOut: SessionFace["carryOut"] = (inputs, from, most) => {
      let at = from;
      for (let left = most; left > 0 && at < inputs.length; at += 1, left -= 1) {
        const input: ClientInput | undefined = inputs[at];
        this.done.push([name, input?.ref ?? 0]);
      }
      return at;
    };
    const nothing = (): void => {};
    return {
      id: name,
      take: (bytes) => (connection.isOpen ? msgpackWire.decode(bytes, LIMITS) : []),
      carryOut,
      receive: nothing,
      heard: nothing,
      dropped: nothing,
      drained: nothing,
      lookAtBuffer: nothing,
      goaway: nothing,
      tellOutage: nothing,
      warnOfExpiry: nothing,
      closed: nothing,
      access: {
        rights: { allows: () => true, allowsPattern: () => true },
        sub: undefined,
        jti: undefined,
        issuedAt: 0,
        warnAt: 0,
        expiresAt: 0,
      },
    };
  }
}

const LIMITS = { values: 1_000, depth: 8, elements: 1_000, dataBytes: 1_000, keyBytes: 100 };
const ROOM = parseRoom("a.b");

/** Messages of one request each, or one message of all. */
function pings(from: number, count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => Buffer.from(encode([CODE.ping, from + index])));
}

function send(world: World, connection: Connection, messages: readonly Uint8Array[]): void {
  for (const message of messages) {
    const bytes = Uint8Array.from(message);
    world.intake.receive(connection, bytes.buffer, true);
    // Somebody else's from here on, as with uWebSockets.js.
    bytes.fill(0xff);
  }
}

const refsOf = (world: World, name: string): number[] =>
  world.done.filter(([who]) => who === name).map(([, ref]) => ref);

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

test("a connection has so many requests of its burst carried out in a turn of the loop, in order, as messages or as one", () => {
  const world = new World();
  const many = world.join("many");
  const one = world.join("one");
  send(world, many, pings(1, 2_000));
  send(world, one, [Buffer.concat(pings(1, 900))]);
  assert.equal(world.done.length, 2 * TURN_SHARE);
  let turns = 0;
  for (; world.intake.waiting > 0; turns += 1) {
    const before = refsOf(world, "many").length;
    assert.ok(world.turn() <= 2 * TURN_SHARE);
    assert.ok(refsOf(world, "many").length - before <= TURN_SHARE);
  }
  assert.equal(turns, Math.ceil(2_000 / TURN_SHARE) - 1);
  assert.deepEqual(refsOf(world, "many"), upTo(2_000));
  assert.deepEqual(refsOf(world, "one"), upTo(900));
});

test("who asks for little beside a hundred floods is served within two turns", () => {
  const world = new World(64_000_000);
  const floods = upTo(100).map((number) => world.join(`flood ${number}`));
  for (const flood of floods) send(world, flood, pings(1, 500));
  assert.equal(world.done.length, TURN_REQUESTS, "what comes in one turn is bounded, too");
  const honest = world.join("honest");
  send(world, honest, pings(1, 1));
  let turns = 0;
  for (; refsOf(world, "honest").length === 0; turns += 1) assert.ok(world.turn() <= TURN_REQUESTS);
  assert.ok(turns <= Math.ceil((101 * SHARE_MIN) / TURN_REQUESTS), `${turns} turns`);
  while (world.intake.waiting > 0) assert.ok(world.turn() <= TURN_REQUESTS);
  assert.equal(world.done.length, 100 * 500 + 1);
});

test("in a new turn everybody has a share again, without any wait", () => {
  const world = new World();
  const ann = world.join("ann");
  for (let turn = 0; turn < 10; turn += 1) {
    send(world, ann, pings(turn * TURN_SHARE + 1, TURN_SHARE));
    assert.equal(world.intake.waiting, 0);
    world.turn();
  }
  assert.deepEqual(refsOf(world, "ann"), upTo(10 * TURN_SHARE));
});

test("where too much waits, who has most of it is closed with 4429, and nobody else", () => {
  const world = new World(100_000);
  const [small, large] = [world.join("small"), world.join("large")];
  send(world, small, pings(1, 40));
  send(world, large, pings(1, 1_000));
  assert.deepEqual(world.closed, ["large 4429"]);
  assert.equal(world.counters.inboxOverflows, 1);
  while (world.intake.waiting > 0) world.turn();
  assert.deepEqual(refsOf(world, "small"), upTo(40));
});

test("what a connection published before it went is published, and nothing else is done for it; one that was closed has nothing done", () => {
  const world = new World();
  const [gone, shut] = [world.join("gone"), world.join("shut")];
  const mixed = upTo(100).map((ref) =>
    Buffer.from(encode(ref % 2 === 0 ? [CODE.publish, ref, ROOM, ref] : [CODE.ping, ref])),
  );
  send(world, gone, mixed);
  send(world, shut, mixed);
  world.leave(gone, "gone", 1_001);
  world.leave(shut, "shut", 4_429);
  assert.notEqual(gone.session, undefined);
  while (world.intake.waiting > 0) world.turn();
  assert.equal(gone.session, undefined, "closed when it was done");
  assert.equal(shut.session, undefined);
  const begun = upTo(TURN_SHARE);
  const published = upTo(100).filter((ref) => ref > TURN_SHARE && ref % 2 === 0);
  assert.deepEqual(refsOf(world, "gone"), [...begun, ...published]);
  assert.deepEqual(refsOf(world, "shut"), begun);
});

test("over a socket: a burst of two thousand is answered whole and in order, others between; who goes at once has published", async (t) => {
  const rig = await startRig(t, {
    limits: { requestsInFlight: 5_000 },
    namespaces: { a: { history: { messages: 5_000, seconds: 60 } } },
  });
  const [burst, other, brief] = await Promise.all([
    WireClient.open(rig.port),
    WireClient.open(rig.port),
    WireClient.open(rig.port),
  ]);
  burst.ws.raw.write(Buffer.concat(pings(1, 1_900).map((ping) => clientFrame(OPCODE.binary, ping))));
  const asked = other.request(CODE.ping);
  await burst.find(([code, ref]) => code === CODE.ok && ref === 1_900, "the last answer");
  assert.equal((await asked)[0], CODE.ok);
  const publishes = upTo(1_000).map((value) =>
    clientFrame(OPCODE.binary, encode([CODE.publish, 0, ROOM, value])),
  );
  brief.ws.raw.write(Buffer.concat([...publishes, clientFrame(OPCODE.close, Buffer.from([0x03, 0xe8]))]));
  await brief.ws.closed;
  await other.subscribe(ROOM, { last: 1_000 });
  const messages = await other.arrived(ROOM, 1_000);
  assert.deepEqual(
    messages.map(({ data }) => data),
    upTo(1_000),
  );
});
