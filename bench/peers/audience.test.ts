import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { Audience } from "./audience.js";
import { payloadOf } from "./payload.js";

const DEADLINE_MS = 20_000;

/** A server that answers every handshake, and the sockets it has. */
async function server(t: TestContext, answer: string): Promise<{ port: number; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const listening = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("data", () => socket.write(answer));
  }).listen(0, "127.0.0.1");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    listening.close();
  });
  await once(listening, "listening");
  return { port: (listening.address() as AddressInfo).port, sockets };
}

const SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

function frame(number: number, dueMicros = 0): Buffer {
  const payload = payloadOf(number, dueMicros, 50);
  return Buffer.concat([Buffer.of(0x82, payload.length), payload]);
}

async function audienceOf(t: TestContext, port: number, connections: number): Promise<Audience> {
  const audience = new Audience({ port, dialect: "plain", localAddresses: ["127.0.0.1"] });
  t.after(() => audience.disconnect());
  await audience.connect(connections, DEADLINE_MS);
  return audience;
}

test("counts what arrives, and says when everybody has the last message", { timeout: 60_000 }, async (t) => {
  const { port, sockets } = await server(t, SWITCHED);
  const audience = await audienceOf(t, port, 3);
  for (const socket of sockets) socket.write(Buffer.concat([frame(1), frame(2)]));
  assert.equal(await audience.reach(2, DEADLINE_MS), 0);
  const { deliveries, failed } = audience.seen();
  assert.deepEqual({ deliveries, failed }, { deliveries: 6, failed: 0 });
  assert.equal(audience.seen().deliveries, 0, "counted once");
});

test("holes, duplicates and disorder are failures", { timeout: 60_000 }, async (t) => {
  const { port, sockets } = await server(t, SWITCHED);
  const audience = await audienceOf(t, port, 1);
  for (const number of [1, 3, 3, 2, 4]) sockets[0]?.write(frame(number));
  assert.equal(await audience.reach(4, DEADLINE_MS), 0);
  const { failed, failures } = audience.seen();
  assert.equal(failed, 4);
  assert.deepEqual(failures[0], "connection 0 got message 3 after 1");
});

test("who does not get the last message is told, and who is cut", { timeout: 60_000 }, async (t) => {
  const { port, sockets } = await server(t, SWITCHED);
  const audience = await audienceOf(t, port, 2);
  sockets[0]?.write(frame(1));
  assert.equal(await audience.reach(1, 200), 1);
  sockets[1]?.destroy();
  const seen = audience.seen();
  assert.equal(seen.deliveries, 1);
});

test("a handshake that is refused is told", { timeout: 60_000 }, async (t) => {
  const { port } = await server(t, "HTTP/1.1 403 Forbidden\r\n\r\n");
  const audience = new Audience({ port, dialect: "plain", localAddresses: ["127.0.0.1"] });
  t.after(() => audience.disconnect());
  assert.equal(await audience.connect(1, DEADLINE_MS), 0, "at once");
  assert.match(audience.seen().failures[0] ?? "", /403 Forbidden/);
});
