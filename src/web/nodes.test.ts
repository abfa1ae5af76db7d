import assert from "node:assert/strict";
import { test } from "node:test";
import { Nodes } from "./nodes.js";

test("a page knows the node that it is on, without the number of the worker", () => {
  const nodes = new Nodes();
  assert.deepEqual(nodes.list(), []);
  nodes.connected("debian-1.lan.12");
  assert.deepEqual(nodes.list(), [{ name: "debian-1.lan", here: true, feed: false, port: undefined }]);
});

test("nodes that share the rooms are listed by name, whatever comes first", () => {
  const nodes = new Nodes();
  nodes.apply("node-b", { port: 9_101, feed: false });
  nodes.apply("node-a", { port: 9_001, feed: true });
  nodes.connected("node-b.0");
  assert.deepEqual(nodes.list(), [
    { name: "node-a", here: false, feed: true, port: 9_001 },
    { name: "node-b", here: true, feed: false, port: 9_101 },
  ]);
  nodes.connected("node-a.3");
  assert.deepEqual(
    nodes.list().map(({ here }) => here),
    [true, false],
  );
});

test("no more are kept than are shown", () => {
  const nodes = new Nodes();
  for (let index = 0; index < 100; index += 1) nodes.apply(`n${index}`, { port: 1, feed: false });
  nodes.connected("n0");
  assert.equal(nodes.list().length, 8);
});
