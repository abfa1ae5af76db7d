import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { type WebSocket, WebSocketServer } from "ws";
import type { ClientReply, ClientRequest } from "./load-client.js";
import { Child } from "./support/child.js";
import { hostMicros } from "./support/clock.js";
import { benchRoom, createContent, setDue } from "./support/message-scan.js";

type WindowReply = Extract<ClientReply, { kind: "window" }>;

const DEADLINE_MS = 5_000;

function message(room: number, offset: number, prev: number): Buffer {
  const content = createContent(100);
  setDue(content, hostMicros() - 2_000);
  return Buffer.from(encode([19, benchRoom(room), offset, prev, Date.now(), content]));
}

/** A server of one subscriber with two rooms; `send` writes after the subscription, then the window is ended at `heads`. */
async function windowOf(heads: number[], send: (socket: WebSocket) => void): Promise<WindowReply> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "fanwire.v1" });
  await once(server, "listening");
  const child = new Child<ClientRequest, ClientReply>("load-client.js");
  try {
    const connected = once(server, "connection");
    const target = {
      name: "t",
      port: (server.address() as AddressInfo).port,
      connections: 1,
      rooms: 2,
      roomsEach: 2,
    };
    const subscribed = child.ask({ kind: "connect", target }, DEADLINE_MS);
    const [socket]: WebSocket[] = await connected;
    assert.ok(socket !== undefined);
    socket.send(encode([16, { session: "s", node: "n", pingMs: 25_000, maxBytes: 16_384 }]));
    socket.once("message", (request: Buffer) => {
      assert.equal((decode(request.subarray(0, request.length / 2)) as unknown[])[2], benchRoom(0));
      for (const ref of [1, 2]) socket.send(encode([17, ref, { epoch: "e", offset: 0, recovered: false }]));
    });
    await subscribed;
    await child.ask({ kind: "begin", target: "t" }, DEADLINE_MS);
    send(socket);
    const reply = await child.ask({ kind: "end", target: "t", heads, deadlineMs: 300 }, DEADLINE_MS);
    assert.equal(reply.kind, "window");
    return reply as WindowReply;
  } finally {
    await child.stop();
    server.close();
    for (const socket of server.clients) socket.terminate();
  }
}

test("a whole flow, packed or not, is counted and has no failure", async () => {
  const seen = await windowOf([3, 1], (socket) => {
    socket.send(Buffer.concat([message(0, 1, 0), message(0, 2, 1), message(1, 1, 0)]));
    socket.send(message(0, 3, 2));
  });
  assert.deepEqual(
    [seen.messages, seen.frames, seen.failures, seen.incomplete, seen.firstFailures],
    [4, 2, 0, 0, []],
  );
  assert.ok(seen.latency.max >= 2_000 && seen.latency.max < 2_000_000, `${seen.latency.max} µs`);
});

test("offsets that grow by more than one are no failure while prev chains them", async () => {
  const seen = await windowOf([17, 0], (socket) =>
    socket.send(Buffer.concat([message(0, 9, 0), message(0, 17, 9)])),
  );
  assert.deepEqual([seen.failures, seen.incomplete], [0, 0]);
});

test("a hole, a duplicate and disorder are each a failure", async () => {
  const flows = {
    hole: [message(0, 1, 0), message(0, 3, 2)],
    duplicate: [message(0, 1, 0), message(0, 1, 0), message(0, 3, 1)],
    disorder: [message(0, 2, 1), message(0, 1, 0), message(0, 3, 2)],
  };
  for (const [name, flow] of Object.entries(flows)) {
    const seen = await windowOf([3, 0], (socket) => socket.send(Buffer.concat(flow)));
    assert.ok(seen.failures > 0, name);
    assert.equal(seen.incomplete, 0, name);
  }
});

test("a missing end is incomplete, a lagged frame and a lost socket are failures", async () => {
  const short = await windowOf([2, 1], (socket) => socket.send(message(0, 1, 0)));
  assert.deepEqual([short.incomplete, short.failures], [2, 0]);
  const lagged = await windowOf([1, 0], (socket) =>
    socket.send(Buffer.concat([encode([21]), message(0, 1, 0)])),
  );
  assert.deepEqual(lagged.firstFailures, ["the server said [21]"]);
  const lost = await windowOf([1, 0], (socket) => socket.terminate());
  assert.deepEqual([lost.incomplete, lost.failures], [1, 1]);
});
