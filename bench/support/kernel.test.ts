import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelMemory, listenCounters, listenEventsSince } from "./kernel.js";

test("the kernel's memory is read, in bytes", () => {
  const { slabBytes, tcpBytes } = kernelMemory();
  assert.ok(slabBytes > 2 ** 20 && slabBytes < 2 ** 40, `${slabBytes}`);
  assert.ok(tcpBytes >= 0 && tcpBytes % 4_096 === 0, `${tcpBytes}`);
});

test("only events since then are told", () => {
  const now = listenCounters();
  assert.ok(Object.keys(now).length > 3);
  const before = { ...now, ListenOverflows: (now.ListenOverflows ?? 0) - 3, ListenDrops: Number.MAX_VALUE };
  assert.match(listenEventsSince(before), /^ListenOverflows \d+/);
  assert.ok(!listenEventsSince(before).includes("ListenDrops"));
});
