import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { CODE } from "../protocol/frames.js";
import { Bystander, startTestServer } from "./bystander.testkit.js";
import { eventually } from "./gateway-rig.testkit.js";
import {
  clientFrame,
  handshake,
  OPCODE,
  RawSocket,
  type RawWebSocket,
  within,
} from "./raw-socket.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

interface SocketCase {
  readonly name: string;
  readonly protocol?: string;
  readonly send: (ws: RawWebSocket) => void | Promise<void>;
  /** The error that is told, if one is. */
  readonly error?: string;
  /** How the connection ends; it stays open and useful where this is missing. 1006: without a close frame. */
  readonly close?: number;
}

const binary = (payload: Uint8Array) => (ws: RawWebSocket) => ws.send(OPCODE.binary, payload);
const text = (payload: string | Uint8Array) => (ws: RawWebSocket) => ws.send(OPCODE.text, payload);
const value = (...elements: readonly unknown[]) => binary(encode(elements));
const deep = (levels: number): Uint8Array => Buffer.concat([Buffer.alloc(levels, 0x91), Buffer.of(0x90)]);

const FRAMES: readonly SocketCase[] = [
  { name: "a reserved bit", send: (ws) => ws.send(OPCODE.binary, "x", { reserved: 4 }), close: 1006 },
  { name: "a reserved opcode", send: (ws) => ws.send(3, "x"), close: 1006 },
  { name: "a reserved control opcode", send: (ws) => ws.send(11, "x"), close: 1006 },
  {
    name: "a continuation of nothing",
    send: (ws) => ws.send(OPCODE.continuation, "x"),
    close: 1006,
  },
  { name: "a ping that is too long", send: (ws) => ws.send(OPCODE.ping, Buffer.alloc(126)), close: 1006 },
  { name: "a ping in fragments", send: (ws) => ws.send(OPCODE.ping, "x", { fin: false }), close: 1006 },
  { name: "text that is no UTF-8", protocol: "fanwire.v1.json", send: text(Buffer.of(0xff)), close: 1006 },
  {
    name: "a length above what is read at all",
    send: (ws) => ws.send(OPCODE.binary, "", { claim: 65_537 }),
    close: 1006,
  },
  { name: "an absurd length", send: (ws) => ws.send(OPCODE.binary, "", { claim: 2 ** 62 }), close: 1006 },
  {
    name: "fragments that are too long together",
    send: (ws) => {
      for (let part = 0; part < 5; part += 1)
        ws.send(part === 0 ? OPCODE.binary : OPCODE.continuation, Buffer.alloc(16_000), { fin: false });
    },
    close: 1006,
  },
  // Masking is not checked: four bytes after the head are taken for the mask, and what it makes of the rest is garbage.
  {
    name: "frames that are not masked",
    send: (ws) => {
      const payload = Buffer.concat([Buffer.alloc(4), Buffer.alloc(16, 0xc1)]);
      for (let frame = 0; frame < 2; frame += 1) ws.send(OPCODE.binary, payload, { mask: false });
    },
    close: 4400,
    error: "bad_request",
  },
  { name: "a close with half a code", send: (ws) => ws.send(OPCODE.close, "x"), close: 1005 },
  { name: "half a connection", send: (ws) => void ws.raw.socket.end(), close: 1006 },
];

const REQUESTS: readonly SocketCase[] = [
  { name: "no MessagePack", send: binary(Buffer.of(0xc1)), error: "bad_request", close: 4400 },
  { name: "half a value", send: binary(Buffer.of(0x93, 7)), error: "bad_request", close: 4400 },
  {
    name: "a whole value and half a one",
    send: binary(Buffer.of(0x92, 7, 1, 0x93)),
    error: "bad_request",
    close: 4400,
  },
  {
    name: "a length that is not there",
    send: binary(Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff)),
    error: "too_large",
    close: 4400,
  },
  { name: "deep nesting", send: binary(deep(1_000)), error: "too_large", close: 4400 },
  { name: "no array", send: binary(encode({ code: 1 })), error: "bad_request" },
  { name: "an empty array", send: value(), error: "bad_request" },
  { name: "an unknown code", send: value(99, 1), error: "bad_request" },
  { name: "a server's code", send: value(CODE.message, 1, "a"), error: "bad_request" },
  { name: "a ref that is none", send: value(CODE.ping, -1), error: "bad_request" },
  { name: "a room outside of the grammar", send: value(CODE.subscribe, 1, "a..b"), error: "room_invalid" },
  { name: "a wildcard in a token", send: value(CODE.subscribe, 1, "a.b*"), error: "room_invalid" },
  {
    name: "a room with a line break",
    send: value(CODE.publish, 1, "a\r\nb", 1),
    error: "room_invalid",
  },
  { name: "a room that is too long", send: value(CODE.subscribe, 1, "a".repeat(129)), error: "room_invalid" },
  { name: "a room that is a number", send: value(CODE.unsubscribe, 1, 5), error: "room_invalid" },
  { name: "a right that is missing", send: value(CODE.publish, 1, "news.a", 1), error: "forbidden" },
  {
    name: "options that contradict",
    send: value(CODE.subscribe, 1, "a", { last: 5, state: true }),
    error: "bad_request",
  },
  ...[7, 0, -30, 1e308, "fast", [10], true].map((rate) => ({
    name: `a rate of ${JSON.stringify(rate)}`,
    send: value(CODE.subscribe, 1, "a", { rate }),
    error: "bad_request",
  })),
  { name: "nothing at all", send: binary(new Uint8Array(0)) },
  {
    name: "a message just above the limit",
    send: binary(Buffer.alloc(16_385)),
    error: "too_large",
  },
  {
    name: "10,000 subscribes in one message",
    send: binary(Buffer.concat(Array.from({ length: 10_000 }, (_, n) => encode([1, n + 1, `r.${n}`])))),
    close: 1006,
  },
  {
    name: "more values than allowed in one message",
    send: binary(Buffer.concat(Array.from({ length: 1_001 }, (_, n) => encode([7, n + 1])))),
    error: "too_large",
    close: 4400,
  },
  { name: "no JSON", protocol: "fanwire.v1.json", send: text("[7,1"), error: "bad_request", close: 4400 },
  {
    name: "a JSON object",
    protocol: "fanwire.v1.json",
    send: text('{"code":7}'),
    error: "bad_request",
  },
  {
    name: "MessagePack where JSON was agreed",
    protocol: "fanwire.v1.json",
    send: value(CODE.ping, 1),
    error: "bad_request",
    close: 4400,
  },
  { name: "JSON where MessagePack was agreed", send: text("[7,1]"), error: "bad_request", close: 4400 },
];

test("each bad thing over a socket has its error or close code, and nobody else notices", async (t) => {
  const server = await startTestServer(t);
  const bystander = await Bystander.start(server);
  for (const { name, protocol, send, error, close } of [...FRAMES, ...REQUESTS])
    await t.test(name, async () => {
      const client = await WireClient.open(server.port, protocol === undefined ? {} : { protocol });
      await send(client.ws);
      if (error !== undefined) {
        const [, , code, message] = await client.find(([code]) => code === CODE.error, "an error");
        assert.equal(code, error);
        assert.ok(String(message).length > 10, "a text that helps");
      }
      if (close !== undefined) assert.equal((await client.ws.closed).code, close);
      else assert.equal((await client.request(CODE.ping))[0], CODE.ok, "still served");
      client.destroy();
    });
  await bystander.stop();
  await eventually(() => server.counters.connections === 0, "every connection gone");
  assert.equal(server.gatewayCounters.faults, 0);
  assert.equal(server.gatewayCounters.payloadsCut, 4);
});

test("more rooms than allowed are refused one by one, and given back when the connection ends", async (t) => {
  const server = await startTestServer(t, { limits: { roomLingerMs: 0, requestsPerSecond: 0 } });
  const bystander = await Bystander.start(server);
  const client = await WireClient.open(server.port);
  for (let frame = 0; frame < 10; frame += 1)
    client.send(...Array.from({ length: 1_000 }, (_, n) => [1, frame * 1_000 + n + 1, `r.${frame}.${n}`]));
  await client.find(([, ref]) => ref === 10_000, "the last answer");
  const answers = client.values.filter(([code]) => code === CODE.ok || code === CODE.error);
  assert.equal(answers.filter(([code]) => code === CODE.ok).length, 1_000);
  assert.ok(answers.filter(([code]) => code === CODE.error).every(([, , code]) => code === "too_many_rooms"));
  assert.equal(answers.length, 9_999);
  client.destroy();
  await bystander.stop();
});

const head = (method: string, path: string, ...headers: readonly string[]): string =>
  [`${method} ${path} HTTP/1.1`, "Host: a", ...headers, "", ""].join("\r\n");
const post = (type: string, body: string, path = "/v1/rooms/a.b/messages"): string =>
  head("POST", path, `Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(body)}`) + body;

interface HttpCase {
  readonly name: string;
  readonly send: string;
  readonly status: number;
  /** Missing where uWebSockets.js answers by itself. */
  readonly code?: string;
}

const HTTP: readonly HttpCase[] = [
  { name: "bad JSON", send: post("application/json", "{"), status: 400, code: "bad_request" },
  { name: "a wrong content type", send: post("text/html", "1"), status: 415, code: "bad_request" },
  {
    name: "a room outside of the grammar",
    send: post("application/json", "1", "/v1/rooms/a..b/messages"),
    status: 400,
    code: "room_invalid",
  },
  {
    name: "a body that says it is too large",
    send: head("POST", "/v1/messages", "Content-Length: 99999999999"),
    status: 413,
    code: "too_large",
  },
  {
    name: "two lengths",
    send: `${head("POST", "/v1/messages", "Content-Length: 1", "Content-Length: 2")}12`,
    status: 400,
    code: "bad_request",
  },
  { name: "no such path", send: head("GET", "/../../etc/passwd"), status: 404, code: "bad_request" },
  { name: "a wrong method", send: head("DELETE", "/v1/rooms/a/messages"), status: 405, code: "bad_request" },
  { name: "a handshake that is none", send: head("GET", "/ws"), status: 426, code: "bad_request" },
  {
    name: "headers without end",
    send: head("GET", "/", `X: ${"x".repeat(50_000)}`),
    status: 431,
    code: "too_large",
  },
  { name: "no host", send: "GET / HTTP/1.1\r\nX: y\r\n\r\n", status: 400 },
  {
    name: "a length that is no number",
    send: head("POST", "/v1/messages", "Content-Length: -1"),
    status: 400,
  },
  {
    name: "length and chunks at once",
    send: head("POST", "/v1/messages", "Content-Length: 1", "Transfer-Encoding: chunked"),
    status: 400,
  },
  { name: "an old version of HTTP", send: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", status: 505 },
  {
    name: "TLS where there is none",
    send: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    status: 505,
  },
];

test("each bad request over HTTP has its status, and nobody else notices", async (t) => {
  const server = await startTestServer(t);
  const bystander = await Bystander.start(server);
  for (const { name, send, status, code } of HTTP)
    await t.test(name, async () => {
      const raw = await RawSocket.connect(server.port);
      raw.write(send);
      const answer = await raw.answer();
      assert.equal(answer.status, status);
      if (code !== undefined) assert.equal(JSON.parse(answer.body.toString()).error.code, code);
      raw.destroy();
    });
  await bystander.stop();
  assert.equal(server.gatewayCounters.faults, 0);
});

const SEED = process.env.SEED ?? randomBytes(8).toString("hex");

/** The same bytes for the same seed and round. */
function garbageOf(round: number): Buffer {
  const outputLength = 1 + ((round * 37) % 2_000);
  return createHash("shake256", { outputLength }).update(`${SEED} ${round}`).digest();
}

test(`garbage: 300 connections of random bytes, before and after the handshake; SEED=${SEED}`, async (t) => {
  const server = await startTestServer(t);
  const bystander = await Bystander.start(server);
  const before = process.memoryUsage().rss;
  for (let round = 0; round < 300; round += 1) {
    const garbage = garbageOf(round);
    const raw = await RawSocket.connect(server.port);
    switch (round % 3) {
      case 0:
        raw.write(garbage);
        break;
      case 1:
        raw.write(handshake());
        raw.write(garbage);
        break;
      default:
        raw.write(handshake());
        raw.write(clientFrame(OPCODE.binary, garbage));
    }
    raw.socket.end();
    await within(raw.closed, `the end of round ${round}`);
  }
  await bystander.stop();
  await eventually(() => server.counters.connections === 0, "every connection gone");
  assert.equal(server.gatewayCounters.faults, 0);
  assert.ok(process.memoryUsage().rss - before < 100 * 1_048_576);
});

test("who says nothing, or a byte a second, is ended in time; the others go on", {
  timeout: 40_000,
}, async (t) => {
  const server = await startTestServer(t, { limits: { idleSeconds: 8, pingMs: 4_000 } });
  const bystander = await Bystander.start(server);
  const open = async (send: string) => {
    const raw = await RawSocket.connect(server.port);
    raw.write(send);
    return raw;
  };
  const silent = await open("");
  const halfHead = await open("GET / HTTP/1.1\r\nHost: a\r\n");
  const halfBody = await open(head("POST", "/v1/messages", "Content-Length: 1000"));
  const idle = await WireClient.open(server.port);
  const slow = await WireClient.open(server.port);
  const pinged = await WireClient.open(server.port);
  const dripBody = halfBody.drip("x".repeat(30), 1_000);
  const dripHead = halfHead.drip("X-Slow: aaaaaaaaaaaaaaaaaaaaaa", 1_000);
  // A byte a second is a sign of life: the frame is whole in the end, and the connection lives.
  const dripFrame = slow.ws.raw.drip(clientFrame(OPCODE.binary, encode([CODE.ping, 1])), 1_000);
  const pings = setInterval(() => pinged.send([CODE.ping, 0]), 4_000);

  const timeout = await halfBody.answer(true, 15_000);
  assert.equal(timeout.status, 408);
  assert.equal(JSON.parse(timeout.body.toString()).error.code, "timeout");
  await Promise.all([silent.closed, halfHead.closed, halfBody.closed]);
  assert.equal((await idle.ws.closed).code, 1006);
  await dripFrame;
  assert.equal((await slow.find(([code]) => code === CODE.ok, "the answer"))[1], 1);
  assert.equal((await pinged.request(CODE.ping))[0], CODE.ok);
  clearInterval(pings);
  await Promise.all([dripBody, dripHead]);
  slow.destroy();
  pinged.destroy();
  await bystander.stop();
  assert.equal(server.gatewayCounters.faults, 0);
});
