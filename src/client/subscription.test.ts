import assert from "node:assert/strict";
import { test } from "node:test";
import { live, message, open, rejection, turn } from "./fake-socket.testkit.js";
import type { Message } from "./index.js";

test("a handler that ends its subscription gets no more of the same batch", async () => {
  const { client, socket } = open();
  const got: unknown[] = [];
  const subscription = client.subscribe("a");
  subscription.on("message", ({ data }) => {
    got.push(data);
    if (got.length === 2) subscription.unsubscribe();
  });
  await live(socket);
  socket.receive(message("a", 1), message("a", 2), message("a", 3));
  assert.deepEqual([got, subscription.state.kind], [[1, 2], "ended"]);
  client.close();
});

test("the position is that of the message being handled, also in the middle of a batch", async () => {
  const { client, socket } = open();
  const positions: unknown[] = [];
  const subscription = client.subscribe("a", {
    onMessage: () => positions.push(subscription.position?.offset),
  });
  await live(socket);
  socket.receive(message("a", 1), message("a", 2), message("a", 3));
  assert.deepEqual(positions, [1, 2, 3]);
  client.close();
});

test("a handler that throws stops nobody else, and its error is not swallowed", async () => {
  const { client, socket } = open();
  const got: unknown[] = [];
  const subscription = client.subscribe("a");
  subscription.on("message", () => {
    throw new Error("mine");
  });
  subscription.on("message", ({ data }) => got.push(data));
  await live(socket);
  const reported: (() => void)[] = [];
  const original = globalThis.queueMicrotask;
  globalThis.queueMicrotask = (run) => reported.push(run);
  try {
    socket.receive(message("a", 1), message("a", 2));
  } finally {
    globalThis.queueMicrotask = original;
  }
  assert.deepEqual(got, [1, 2]);
  assert.equal(reported.length, 2);
  for (const run of reported) assert.throws(run, /mine/);
  client.close();
});

test("a handler is called until it is taken off", async () => {
  const { client, socket } = open();
  const got: unknown[] = [];
  const off = client.subscribe("a").on("message", ({ data }) => got.push(data));
  await live(socket);
  socket.receive(message("a", 1));
  off();
  socket.receive(message("a", 2));
  assert.deepEqual(got, [1]);
  client.close();
});

test("a loop gets every message, then ends with the subscription", async () => {
  const { client, socket } = open();
  const subscription = client.subscribe<number>("a");
  const got: number[] = [];
  const loop = (async () => {
    for await (const { data } of subscription) got.push(data);
  })();
  await live(socket);
  socket.receive(message("a", 1), message("a", 2));
  await turn();
  socket.receive(message("a", 3));
  subscription.unsubscribe();
  await loop;
  assert.deepEqual(got, [1, 2, 3]);
  client.close();
});

test("a loop that falls behind gets what is queued without a hole, then the error overflow", async () => {
  const { client, socket } = open();
  const subscription = client.subscribe("a", { queue: 2 });
  const loop = subscription[Symbol.asyncIterator]();
  await live(socket);
  socket.receive(message("a", 1), message("a", 2), message("a", 3), message("a", 4));
  assert.equal((await loop.next()).value?.offset, 1);
  socket.receive(message("a", 5));
  assert.equal((await loop.next()).value?.offset, 2);
  assert.equal((await rejection(loop.next())).code, "overflow");
  assert.equal((await loop.next()).done, true);
  assert.equal(subscription.state.kind, "live");
  client.close();
});

test("leaving a loop keeps the subscription", async () => {
  const { client, socket } = open();
  const subscription = client.subscribe("a");
  const first = (async (): Promise<Message | undefined> => {
    for await (const one of subscription) return one;
    return undefined;
  })();
  await live(socket);
  socket.receive(message("a", 1), message("a", 2));
  assert.equal((await first)?.offset, 1);
  assert.equal(subscription.state.kind, "live");
  client.close();
});

test("a loop over a room or connection refused for good throws why", async () => {
  const { client, socket } = open();
  const failed = client.subscribe("a")[Symbol.asyncIterator]().next();
  await turn();
  socket.refuse("subscribe");
  assert.equal((await rejection(failed)).code, "forbidden");
  const closed = client.subscribe("b")[Symbol.asyncIterator]().next();
  socket.closed(4403, "no");
  assert.equal((await rejection(closed)).code, "closed");
  assert.equal((await rejection(client.publish("a", 1))).code, "closed");
});
