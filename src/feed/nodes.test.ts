import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeMessages, parseNodes } from "./nodes.js";

test("nodes are told by name and port, and which of them takes the feed", () => {
  const nodes = parseNodes("node-a=9001, node-b=9101") ?? [];
  assert.deepEqual(nodeMessages(nodes), [
    { room: "host.nodes", key: "node-a", data: { port: 9_001, feed: true } },
    { room: "host.nodes", key: "node-b", data: { port: 9_101, feed: false } },
  ]);
});

test("what is no such list is refused whole", () => {
  for (const list of [
    "",
    "a",
    "a=",
    "=1",
    "a=0",
    "a=65536",
    "a=1,,b=2",
    "a b=1",
    "a=1;b=2",
    `${"a".repeat(65)}=1`,
  ])
    assert.equal(parseNodes(list), undefined, list);
});
