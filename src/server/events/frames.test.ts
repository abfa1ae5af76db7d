import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { type TestContext, test } from "node:test";
import { decodeFrames, encodeFrame } from "../../client/wire.js";
import type { ClientFrame, ServerFrame, SubscribeOptions } from "../../protocol/frames.js";
import { parseRoom } from "../../protocol/room-name.js";
import { parseServerFrame } from "../../protocol/server-frame.js";
import { eventually, type RigOptions, startRig } from "../gateway-rig.testkit.js";
import { BODY_BYTES_MAX, messagesOf } from "./request-body.js";

const NAMESPACES = {
  board: { state: true, history: { messages: 5_000, seconds: 3_600 } },
  news: { history: { messages: 5_000, seconds: 3_600 } },
} as const;
const DEADLINE_MS = 20_000;
const MSGPACK = { "content-type": "application/msgpack" };
const JSON_TYPE = { "content-type": "application/json" };

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** What a WebSocket would get, out of the events of a stream. */
class FrameReader {
  readonly frames: ServerFrame[] = [];
  ended: { readonly code: number } | undefined;
  readonly response: IncomingMessage;
  #text = "";

  constructor(response: IncomingMessage, isBinary: boolean) {
    this.response = response;
    response.setEncoding("utf8");
    response.on("error", () => undefined);
    response.on("data", (text: string) => {
      const events = (this.#text + text).split("\n\n");
      this.#text = events.pop() ?? "";
      for (const event of events) this.#take(event.split("\n"), isBinary);
    });
  }

  static async open(t: TestContext, port: number, frames: readonly ClientFrame[]): Promise<FrameReader> {
    const response = await ask(t, port, Buffer.concat(frames.map((frame) => encodeFrame(frame))), MSGPACK);
    assert.equal(response.statusCode, 200);
    return new FrameReader(response, true);
  }

  of<T extends ServerFrame["type"]>(type: T): Extract<ServerFrame, { type: T }>[] {
    return this.frames.filter((frame): frame is Extract<ServerFrame, { type: T }> => frame.type === type);
  }

  async until(isSo: () => boolean, what: string, ms = DEADLINE_MS): Promise<void> {
    await eventually(isSo, `${what} of ${JSON.stringify(this.frames.slice(-3))}`, ms);
  }

  #take(lines: readonly string[], isBinary: boolean): void {
    const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
    if (lines.includes("event: end")) this.ended = JSON.parse(data.join(""));
    else if (isBinary)
      for (const line of data) this.frames.push(...decodeFrames(Buffer.from(line, "base64")));
    else
      for (const line of data) {
        const frame = parseServerFrame(JSON.parse(line));
        if (frame !== undefined) this.frames.push(frame);
      }
  }
}

function ask(
  t: TestContext,
  port: number,
  body: Uint8Array | string,
  headers: Readonly<Record<string, string>>,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request({
      host: "127.0.0.1",
      port,
      path: "/v1/events",
      method: "POST",
      headers,
      agent: false,
    });
    t.after(() => asked.destroy());
    asked.once("response", resolve);
    asked.once("error", reject);
    asked.end(body);
  });
}

const subscribe = (ref: number, room: string, options: SubscribeOptions = {}): ClientFrame => ({
  type: "subscribe",
  ref,
  room: parseRoom(room),
  options,
});

const started = (t: TestContext, options: RigOptions = {}) =>
  startRig(t, { namespaces: NAMESPACES, ...options });

test("frames of the server as a WebSocket has them, for all that the body asks for", async (t) => {
  const rig = await started(t);
  for (const number of numbers(1, 9)) await rig.publish("board.a", number, `k${number % 3}`);
  const { epoch } = await rig.publish("news.b", Uint8Array.of(1, 2, 3));
  const reader = await FrameReader.open(t, rig.port, [
    subscribe(7, "board.a", { state: true, rate: 10 }),
    {
      type: "subscribeMany",
      ref: 8,
      rooms: [{ room: parseRoom("news.b"), after: { epoch, offset: 0 } }],
      options: {},
    },
    { type: "ping", ref: 9 },
  ]);
  await reader.until(() => reader.of("live").length === 2, "both live");
  assert.equal(reader.frames[0]?.type, "welcome");
  assert.deepEqual(
    reader
      .of("ok")
      .map(({ ref }) => ref)
      .sort(),
    [7, 8, 9],
  );
  assert.deepEqual(
    reader
      .of("message")
      .filter(({ room }) => room === "board.a")
      .map(({ data }) => data),
    [7, 8, 9],
  );
  // As it was published, not as JSON would have it.
  const [bytes] = reader.of("message").filter(({ room }) => room === "news.b");
  assert.deepEqual(bytes?.data instanceof Uint8Array && [...bytes.data], [1, 2, 3]);
  await rig.publish("news.b", "live");
  await reader.until(() => reader.of("message").at(-1)?.data === "live", "what is live");
  const json = await ask(t, rig.port, `[1,1,"news.b",{"last":1}]\n[1,2,"no room"]`, JSON_TYPE);
  const lines = new FrameReader(json, false);
  await lines.until(() => lines.of("live").length === 1 && lines.of("error").length === 1, "both answers");
  assert.equal(lines.of("message")[0]?.data, "live");
  assert.deepEqual(
    lines.of("error").map(({ ref, code }) => [ref, code]),
    [[2, "room_invalid"]],
  );

  const quiet = await FrameReader.open(t, rig.port, []);
  await quiet.until(() => quiet.frames.length === 1, "welcome without any request");
  void rig.gateway.drain(50);
  // As on a socket: it is the client that leaves.
  for (const one of [reader, lines, quiet]) {
    await one.until(() => one.of("goaway").length === 1, "to be sent away");
    one.response.destroy();
  }
  await eventually(() => rig.counters.connections === 0, "all to be gone");
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("a thousand rooms in one request, more than a WebSocket message holds", async (t) => {
  const rig = await started(t);
  const rooms = numbers(1, 1_000).map((number) => subscribe(number, `news.${"long-".repeat(10)}${number}`));
  const reader = await FrameReader.open(t, rig.port, rooms);
  await reader.until(() => reader.of("live").length === 1_000, "all of them");
  assert.equal(reader.of("error").length, 0);
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("what is no request is refused before the stream begins, and says why", async (t) => {
  const rig = await started(t);
  const long = `[1,1,${JSON.stringify("a".repeat(17_000))}]`;
  const bad: readonly (readonly [Uint8Array | string, Readonly<Record<string, string>>, number, RegExp])[] = [
    ["[7,1]", {}, 415, /content-type is missing/],
    ["[7,1]", { "content-type": "text/plain" }, 415, /text\/plain/],
    [Uint8Array.of(0x92, 7), MSGPACK, 400, /at byte 0 of the body is no whole MessagePack value/],
    [Uint8Array.of(0x92, 7, 0, 0xc1), MSGPACK, 400, /at byte 3/],
    [long, JSON_TYPE, 413, /a request has 170\d\d bytes, at most 16384/],
    ["\n".repeat(BODY_BYTES_MAX + 1), JSON_TYPE, 413, /more than 262144 bytes together/],
  ];
  for (const [body, headers, status, pattern] of bad) {
    const response = await ask(t, rig.port, body, headers);
    const text = (await response.setEncoding("utf8").toArray()).join("");
    assert.equal(response.statusCode, status, text);
    assert.match(text, pattern);
  }
  // Whole lines that are no JSON end the connection, as on a socket.
  const broken = new FrameReader(await ask(t, rig.port, "[7,", JSON_TYPE), false);
  await broken.until(() => broken.ended?.code === 4400, "the end of it");
  await eventually(() => rig.counters.connections === 0, "all to be gone");
  const { faults, httpRefused } = rig.gatewayCounters;
  // The first two were no streams at all.
  assert.deepEqual([faults, httpRefused], [0, bad.length - 2]);
});

test("who does not read has a bounded buffer, and is told what to ask for again", async (t) => {
  const limits = { bufferBytes: 262_144, softWatermarkBytes: 131_072, slowMs: 120_000 };
  const rig = await started(t, { limits });
  const slow = await FrameReader.open(t, rig.port, [subscribe(1, "news.a")]);
  const other = await FrameReader.open(t, rig.port, [subscribe(1, "news.a")]);
  for (const reader of [slow, other]) await reader.until(() => reader.of("live").length === 1, "live");
  slow.response.pause();
  const filler = "x".repeat(14_000);
  const count = 1_500;
  for (const number of numbers(1, count)) {
    await rig.publish("news.a", [number, filler]);
    if (number % 100 === 0)
      await other.until(() => other.of("message").length === number, "the other one to go on");
  }
  const waiting = rig.sessions.map(({ bufferedBytes }) => bufferedBytes);
  assert.ok(Math.max(...waiting) <= limits.bufferBytes + 30_000, `${waiting} bytes wait`);
  assert.ok(rig.counters.dropped > 0, "it was dropped from its room");
  slow.response.resume();
  await slow.until(() => slow.of("lagged").length > 0, "to be told");
  const offsets = slow.of("message").map(({ offset }) => offset);
  assert.deepEqual(offsets, numbers(1, offsets.length), "in order, up to where it stopped");
  assert.ok(offsets.length < count);
  assert.equal(rig.gatewayCounters.faults, 0);
});

test("requests are cut where one ends, none longer than a message may be", () => {
  const values = numbers(1, 40).map((size) =>
    encodeFrame({ type: "authenticate", ref: 1, token: "t".repeat(size) }),
  );
  const body = Buffer.concat(values);
  for (const bytesMax of [50, 64, 100, 1_000, 10_000]) {
    const messages = messagesOf(body, true, bytesMax);
    assert.deepEqual(Buffer.concat(messages), body);
    assert.ok(messages.every(({ length }) => length > 0 && length <= bytesMax));
  }
  assert.deepEqual(messagesOf(new Uint8Array(0), true, 10), []);
  const lines = messagesOf(Buffer.from("[1]\n[22]\n\n[333]"), false, 9).map((message) => String(message));
  assert.deepEqual(lines, ["[1]\n[22]\n", "\n[333]"]);
});
