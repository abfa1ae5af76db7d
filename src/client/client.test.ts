import assert from "node:assert/strict";
import { test } from "node:test";
import { control, FakeSocket, fakeSockets, live, open, rejection, turn } from "./fake-socket.testkit.js";
import { Client, FanwireError } from "./index.js";

function code(expected: string): (cause: unknown) => boolean {
  return (cause) => cause instanceof FanwireError && cause.code === expected;
}

test("URLs of http and https become those of a WebSocket; others are refused", () => {
  const { WebSocket, sockets } = fakeSockets();
  for (const url of ["http://h/ws", "https://h:9001/ws?a=1#top", new URL("ws://h/ws"), "WSS://h"]) {
    new Client(url, { WebSocket }).close();
  }
  assert.deepEqual(
    sockets.map(({ url }) => url),
    ["ws://h/ws", "wss://h:9001/ws?a=1", "ws://h/ws", "wss://h/"],
  );
  for (const url of ["/ws", "nonsense", "ftp://h/ws"]) {
    assert.throws(() => new Client(url, { WebSocket }), code("bad_request"));
  }
});

test("options out of range are refused, all problems together", () => {
  const { WebSocket } = fakeSockets();
  assert.throws(
    () => new Client("ws://h", { WebSocket, timeoutMs: 0, queueBytes: Number.NaN }),
    (cause) =>
      code("bad_request")(cause) && cause instanceof Error && /timeoutMs.*queueBytes/.test(cause.message),
  );
});

test("a runtime without WebSocket says what to do", () => {
  const original = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  Object.defineProperty(globalThis, "WebSocket", { value: undefined, configurable: true });
  try {
    assert.throws(
      () => new Client("ws://h"),
      (cause) => code("bad_request")(cause) && cause instanceof Error && /"ws"/.test(cause.message),
    );
  } finally {
    Reflect.deleteProperty(globalThis, "WebSocket");
    if (original !== undefined) Object.defineProperty(globalThis, "WebSocket", original);
  }
});

test("it connects when told to, where it should not at once", () => {
  const { WebSocket, sockets } = fakeSockets();
  const client = new Client("ws://h", { WebSocket, autoConnect: false });
  assert.deepEqual([client.state.kind, sockets.length], ["idle", 0]);
  client.connect();
  assert.deepEqual([client.state.kind, sockets.length], ["connecting", 1]);
  client.close();
});

test("a token goes along as a sub-protocol item; a function is asked for a fresh one each time", async () => {
  let asked = 0;
  const { client, sockets, socket } = await openWith(async () => `t${++asked}`);
  assert.deepEqual(socket.protocols, ["fanwire.v1", "token.t1"]);
  socket.closed(4401, "expired");
  assert.equal(client.state.kind, "waiting");
  client.connect();
  await turn();
  assert.deepEqual(sockets[1]?.protocols, ["fanwire.v1", "token.t2"]);
  client.close();
});

async function openWith(
  token: () => Promise<string>,
): Promise<{ client: Client; socket: FakeSocket; sockets: FakeSocket[] }> {
  const { WebSocket, sockets } = fakeSockets();
  const client = new Client("ws://h", { WebSocket, token });
  await turn();
  const [socket] = sockets;
  assert.ok(socket !== undefined);
  return { client, socket, sockets };
}

test("a token that cannot be had is tried again; one that comes too late makes no socket", async () => {
  const { WebSocket, sockets } = fakeSockets();
  const client = new Client("ws://h", { WebSocket, token: () => Promise.reject(new Error("nobody home")) });
  await turn();
  assert.match(client.state.kind === "waiting" ? client.state.reason : "", /nobody home/);
  client.close();
  let give: (token: string) => void = () => undefined;
  const late = new Client("ws://h", { WebSocket, token: () => new Promise((resolve) => (give = resolve)) });
  await turn();
  late.close();
  give("t");
  await turn();
  assert.equal(sockets.length, 0);
});

test("a WebSocket that cannot be made at all ends it, with the reason", async () => {
  class Refusing extends FakeSocket {
    constructor(url: string, protocols: readonly string[]) {
      super(url, protocols);
      throw new SyntaxError("bad protocol");
    }
  }
  const client = new Client("ws://h", { WebSocket: Refusing });
  await turn();
  assert.deepEqual(client.state, { kind: "closed", code: 4403, reason: "bad protocol" });
});

test("the reason of a failed handshake is told", () => {
  const { client, socket } = open();
  socket.failed("connect ECONNREFUSED");
  socket.closed(1006);
  assert.match(client.state.kind === "waiting" ? client.state.reason : "", /ECONNREFUSED/);
  client.close();
});

test("text or broken bytes end the connection, are told, and are tried again", () => {
  for (const data of [
    "text",
    new Uint8Array([0xc1]).buffer,
    new Uint8Array([0x92, 0x13]).buffer,
    new Uint8Array([5]).buffer,
  ]) {
    const { client, socket } = open();
    const errors: string[] = [];
    client.on("error", (error) => errors.push(error.code));
    socket.receiveRaw(data);
    assert.deepEqual([errors, client.state.kind, socket.closedWith], [["bad_request"], "waiting", 4400]);
    client.close();
  }
});

test("unknown codes, elements and fields are ignored", async () => {
  const { client, socket } = open();
  const got: unknown[] = [];
  client.subscribe("a", { onMessage: ({ data }) => got.push(data) });
  await live(socket);
  // [99, {a: 1}], then [19, "a", 1, 0, 5, 7, nil, "more"].
  socket.receive(new Uint8Array([0x92, 99, 0x81, 0xa1, 97, 1]));
  socket.receive(new Uint8Array([0x98, 19, 0xa1, 97, 1, 0, 5, 7, 0xc0, 0xa4, 109, 111, 114, 101]));
  assert.deepEqual(got, [7]);
  client.close();
});

test("events of a socket that was left are not heard", () => {
  const { client, socket, sockets } = open();
  client.disconnect();
  assert.equal(socket.closedWith, 1000);
  socket.welcome();
  socket.closed(4403);
  assert.equal(client.state.kind, "idle");
  client.connect();
  socket.closed(4403);
  sockets[1]?.welcome();
  assert.equal(client.state.kind, "open");
  client.close();
});

test("a second subscription of a room is refused, unless the first has failed or ended", async () => {
  const { client, socket } = open();
  const first = client.subscribe("a");
  assert.throws(() => client.subscribe("a"), code("bad_request"));
  await turn();
  socket.refuse("subscribe");
  assert.equal(first.state.kind, "failed");
  const second = client.subscribe("a");
  assert.equal(first.state.kind, "ended");
  first.unsubscribe();
  assert.throws(() => client.subscribe("a"), code("bad_request"));
  second.unsubscribe();
  client.subscribe("a");
  client.close();
});

test("a bad room and contradicting options are refused at the call", async () => {
  const { client } = open();
  assert.throws(() => client.subscribe("a.*b"), code("room_invalid"));
  assert.throws(() => client.subscribe("a", { last: 1, state: true }), code("bad_request"));
  assert.throws(
    () => client.subscribe("a", { last: 1, after: { epoch: "e", offset: 1 } }),
    code("bad_request"),
  );
  assert.equal((await rejection(client.publish("a b", 1))).code, "room_invalid");
  assert.equal((await rejection(client.history(""))).code, "room_invalid");
  client.subscribe("a", { last: 0 });
  client.close();
});

test("publish resolves with the position, history with a page that can be continued", async () => {
  const { client, socket } = open();
  const published = client.publish("a", { n: 1 }, { key: "k" });
  await turn();
  socket.receive(control({ type: "ok", ref: socket.ref("publish"), result: { epoch: "e", offset: 7 } }));
  assert.deepEqual(await published, { epoch: "e", offset: 7 });
  const asked = client.history<number>("a", { limit: 2 });
  await turn();
  const result = {
    epoch: "e",
    messages: [
      [6, 1, 60],
      [7, 2, 70, "k"],
    ],
    more: true,
    lost: "expired",
  };
  socket.receive(control({ type: "ok", ref: socket.ref("history"), result }));
  const page = await asked;
  assert.deepEqual(
    page.messages.map(({ offset, data, key }) => [offset, data, key]),
    [
      [6, 60, undefined],
      [7, 70, "k"],
    ],
  );
  assert.deepEqual([page.more, page.position, page.lost], [true, { epoch: "e", offset: 7 }, "expired"]);
  const bad = client.history("a");
  await turn();
  socket.receive(
    control({ type: "ok", ref: socket.ref("history"), result: { epoch: "e", messages: [[0]] } }),
  );
  assert.equal((await rejection(bad)).code, "internal");
  client.close();
});

test("ping gives round trip and the server's clock; authenticate sends the token", async () => {
  const { client, socket } = open();
  assert.equal(client.latencyMs, undefined);
  const pinged = client.ping();
  const authenticated = client.authenticate("t2");
  await turn();
  socket.receive(control({ type: "ok", ref: socket.ref("ping"), result: { time: 1234 } }));
  socket.receive(control({ type: "ok", ref: socket.ref("authenticate"), result: undefined }));
  const { latencyMs, serverTimeMs } = await pinged;
  assert.deepEqual([serverTimeMs, client.latencyMs], [1234, latencyMs]);
  await authenticated;
  const input = socket.sent.find(({ type }) => type === "authenticate");
  assert.equal(input?.type === "authenticate" && input.token, "t2");
  client.close();
});

test("close ends subscriptions and loops, and rejects what is under way; it does so once", async () => {
  const { client, socket } = open();
  const states: string[] = [];
  client.on("state", ({ kind }) => states.push(kind));
  const subscription = client.subscribe("a");
  subscription.on("state", ({ kind }) => states.push(`a ${kind}`));
  const next = subscription[Symbol.asyncIterator]().next();
  const published = client.publish("a", 1);
  client.close();
  client.close();
  assert.equal((await rejection(published)).code, "closed");
  assert.deepEqual(await next, { done: true, value: undefined });
  assert.deepEqual([states, socket.closedWith], [["closed", "a ended"], 1000]);
});

test("rooms are typed by the client's map", async () => {
  interface Quote {
    readonly price: number;
  }
  type Rooms = { readonly "chat.main": string; readonly [quotes: `market.${string}`]: Quote };
  const { WebSocket } = fakeSockets();
  const client = new Client<Rooms>("ws://h", { WebSocket });
  client.subscribe("market.a", { onMessage: ({ data }) => data.price.toFixed(2) });
  client.subscribe("chat.main").on("message", ({ data }) => data.toUpperCase());
  client.subscribe<number>("other").on("message", ({ data }) => data.toFixed(2));
  // @ts-expect-error a quote is no number
  const wrong = client.publish("market.a", 5);
  const right = client.publish("market.a", { price: 5 });
  client.close();
  for (const published of [wrong, right]) assert.equal((await rejection(published)).code, "closed");
});
