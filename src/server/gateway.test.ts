import assert from "node:assert/strict";
import { test } from "node:test";
import { CODE } from "../protocol/frames.js";
import type { EngineFace } from "./gateway.js";
import { eventually, startRig } from "./gateway-rig.testkit.js";
import { freePort, OPCODE, RawSocket, RawWebSocket } from "./raw-socket.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

const ROOM = "news.world";

test("subscribe, publish, message; in both sub-protocols", async (t) => {
  const rig = await startRig(t);
  for (const protocol of ["fanwire.v1", "fanwire.v1.json"]) {
    const client = await WireClient.open(rig.port, { protocol });
    const room = `${ROOM}.${protocol.length}`;
    await client.subscribe(room);
    await rig.publish(room, { price: 1.5, bytes: "é" });
    const [message] = await client.arrived(room, 1);
    assert.deepEqual(message?.data, { price: 1.5, bytes: "é" });
    const [code, , position] = await client.request(CODE.publish, room, "mine");
    assert.equal(code, CODE.ok);
    assert.deepEqual(position, { epoch: client.position(room)[0], offset: 2 });
    assert.equal((await client.arrived(room, 2))[1]?.data, "mine");
    client.destroy();
  }
});

test("a client that reconnects goes on after its position, none missing, none twice", async (t) => {
  const rig = await startRig(t);
  const first = await WireClient.open(rig.port);
  await first.subscribe(ROOM);
  for (let value = 1; value <= 10; value += 1) await rig.publish(ROOM, value);
  await first.arrived(ROOM, 10);
  first.destroy();
  await first.ws.closed;
  for (let value = 11; value <= 20; value += 1) await rig.publish(ROOM, value);
  const second = await WireClient.open(rig.port);
  second.follow(ROOM, first);
  const result = await second.subscribe(ROOM, { after: first.position(ROOM) });
  assert.equal(result.recovered, true);
  await second.find(([code, room]) => code === CODE.live && room === ROOM, "live");
  await rig.publish(ROOM, 21);
  const all = await second.arrived(ROOM, 21);
  assert.deepEqual(
    all.map(({ data }) => data),
    Array.from({ length: 21 }, (_, index) => index + 1),
  );
  assert.equal(second.gaps + second.duplicates, 0);
});

test("what is published in one turn arrives packed in few WebSocket messages, none above 16,000 bytes", async (t) => {
  const rig = await startRig(t);
  const client = await WireClient.open(rig.port);
  await client.subscribe(ROOM);
  const writes = (): number => rig.counters.topicPublishes + rig.counters.directWrites;
  const before = writes();
  const published = Array.from({ length: 500 }, (_, index) => rig.publish(ROOM, "x".repeat(100) + index));
  await Promise.all(published);
  await client.arrived(ROOM, 500);
  assert.equal(client.gaps + client.duplicates, 0);
  assert.ok(client.mostValuesInFrame > 50, `${client.mostValuesInFrame} values in a frame`);
  assert.ok(client.longestFrame <= 16_000, `${client.longestFrame} bytes in a frame`);
  assert.ok(writes() > before && writes() - before <= 10);
});

test("every socket of a room gets what one of them publishes, in the same order", async (t) => {
  const rig = await startRig(t);
  const clients = await Promise.all(Array.from({ length: 20 }, () => WireClient.open(rig.port)));
  await Promise.all(clients.map((client) => client.subscribe(ROOM)));
  await Promise.all(
    clients.map((client, index) =>
      Promise.all([1, 2, 3].map((n) => client.request(CODE.publish, ROOM, [index, n]))),
    ),
  );
  const [first, ...others] = await Promise.all(clients.map((client) => client.arrived(ROOM, 60)));
  for (const other of others) assert.deepEqual(other, first);
});

test("the wrong kind of frame is told, then closed with 4400", async (t) => {
  const rig = await startRig(t);
  for (const protocol of ["fanwire.v1", "fanwire.v1.json"]) {
    const client = await WireClient.open(rig.port, { protocol });
    client.ws.send(protocol === "fanwire.v1" ? OPCODE.text : OPCODE.binary, "[7,1]");
    const [code, ref, error] = await client.find(() => true, "error");
    assert.deepEqual([code, ref, error], [CODE.error, 0, "bad_request"]);
    assert.equal((await client.ws.closed).code, 4400);
  }
});

test("close codes and reasons are those the engine gives, long reasons cut to fit", async (t) => {
  const rig = await startRig(t, {
    wrapEngine: (engine) => ({
      tick: (nowMs) => engine.tick(nowMs),
      sweep: (nowMs) => engine.sweep(nowMs),
      connect: (id, wire, outbox) => {
        const session = engine.connect(id, wire, outbox);
        setImmediate(() => outbox.close(4403, "ä".repeat(100)));
        return session;
      },
    }),
  });
  const ws = await RawWebSocket.open(rig.port);
  const { code, reason } = await ws.untilClosed();
  assert.equal(code, 4403);
  assert.match(reason, /^ä{50,}/);
});

/** An engine of which one method throws, once. */
function failing(
  engine: EngineFace,
  method: "connect" | "receive" | "closed" | "tick" | "sweep",
): EngineFace {
  let armed = true;
  const fail = (name: typeof method): void => {
    if (name !== method || !armed) return;
    armed = false;
    throw new Error(`${method} fails`);
  };
  return {
    tick: (nowMs) => {
      fail("tick");
      engine.tick(nowMs);
    },
    sweep: (nowMs) => {
      fail("sweep");
      engine.sweep(nowMs);
    },
    connect: (...args) => {
      fail("connect");
      const session = engine.connect(...args);
      return {
        id: session.id,
        receive: (payload, nowMs) => session.receive(payload, nowMs),
        take: (payload, nowMs) => {
          fail("receive");
          return session.take(payload, nowMs);
        },
        carryOut: (...args) => session.carryOut(...args),
        heard: (bytes, nowMs) => session.heard(bytes, nowMs),
        closed: (nowMs) => {
          fail("closed");
          session.closed(nowMs);
        },
        dropped: () => session.dropped(),
        drained: () => session.drained(),
        goaway: (reason, delayMs) => session.goaway(reason, delayMs),
        access: session.access,
        warnOfExpiry: (nowMs) => session.warnOfExpiry(nowMs),
        tellOutage: () => session.tellOutage(),
        lookAtBuffer: () => session.lookAtBuffer(),
      };
    },
  };
}

for (const method of ["connect", "receive", "closed", "tick", "sweep"] as const)
  test(`${method} throws: logged, counted, one socket closed at most, all others served`, async (t) => {
    const rig = await startRig(t, { wrapEngine: (engine) => failing(engine, method) });
    const victim = await RawWebSocket.open(rig.port);
    if (method === "receive") victim.send(OPCODE.binary, Buffer.of(0x92, 7, 1));
    if (method === "closed") victim.destroy();
    if (method === "receive" || method === "connect") assert.equal((await victim.untilClosed()).code, 1011);
    const client = await WireClient.open(rig.port);
    await client.subscribe(ROOM);
    await rig.publish(ROOM, 1);
    await rig.publish(ROOM, 2);
    await client.arrived(ROOM, 2);
    await eventually(() => rig.gatewayCounters.faults === 1, "the fault's count");
    assert.equal(rig.lines.filter((line) => line.level === "error").length, 1);
  });

test("a port that is taken is an error that says so", async (t) => {
  // Not 0 in either: only for a port by number does the system let several programs share it.
  const rig = await startRig(t, { port: await freePort() });
  await assert.rejects(startRig(t, { port: rig.port }), {
    message: new RegExp(`cannot listen on 127.0.0.1:${rig.port}: the port is taken`),
  });
});

test("close tells every session goaway, closes with 1001, and listens no more", async (t) => {
  const rig = await startRig(t);
  const clients = await Promise.all(Array.from({ length: 10 }, () => WireClient.open(rig.port)));
  const closed = rig.gateway.close(2_000);
  const delays = await Promise.all(
    clients.map(async (client) => {
      const [, , delayMs] = await client.find(([code]) => code === CODE.goaway, "goaway");
      assert.equal((await client.ws.closed).code, 1001);
      return Number(delayMs);
    }),
  );
  assert.ok(new Set(delays).size > 1, "every client has its own delay");
  assert.ok(delays.every((delayMs) => delayMs >= 0 && delayMs <= 500));
  await closed;
  assert.equal(rig.counters.connections, 0);
  await assert.rejects(RawSocket.connect(rig.port));
});

test("close under load ends within its deadline; a request that is being answered is answered first", async (t) => {
  let release: (() => void) | undefined;
  const rig = await startRig(t, {
    http: async () => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return { status: 200, headers: {}, body: "done" };
    },
  });
  const clients = await Promise.all(Array.from({ length: 20 }, () => WireClient.open(rig.port)));
  await Promise.all(clients.map((client) => client.subscribe(ROOM)));
  const slow = await RawWebSocket.open(rig.port);
  slow.send(
    OPCODE.binary,
    Buffer.concat([Buffer.of(0x94, 1, 1, 0xa0 | ROOM.length), Buffer.from(ROOM), Buffer.of(0x80)]),
  );
  slow.raw.pause();
  let publishing = true;
  const load = (async () => {
    while (publishing) {
      for (let n = 0; n < 50; n += 1) await rig.publish(ROOM, "x".repeat(1_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  await Promise.all(clients.map((client) => client.arrived(ROOM, 1_000)));
  const request = await RawSocket.connect(rig.port);
  request.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await eventually(() => release !== undefined, "the request");
  const startMs = Date.now();
  const closed = rig.gateway.close(1_500);
  setTimeout(() => release?.(), 300);
  assert.equal((await request.answer()).body.toString(), "done");
  await closed;
  assert.ok(Date.now() - startMs < 2_500);
  publishing = false;
  await load;
  for (const client of clients) {
    assert.equal((await client.ws.closed).code, 1001);
    assert.equal(client.gaps + client.duplicates, 0);
  }
  assert.equal(rig.counters.connections, 0);
  slow.destroy();
});
