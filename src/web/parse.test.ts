import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HOST_PANELS } from "./host.js";
import { parseNode, parsePointer, parseQuote } from "./parse.js";

test("a quote is rates above 0 and a date", () => {
  const quote = { rate: 1.1, previous: 1.2, date: "2015-01-15" };
  assert.deepEqual(parseQuote({ ...quote, more: 1 }), quote);
  for (const wrong of [
    { rate: 0 },
    { rate: "1" },
    { previous: Number.NaN },
    { date: "today" },
    { date: 5 },
  ]) {
    assert.equal(parseQuote({ ...quote, ...wrong }), undefined);
  }
});

test("a pointer is within its part of the page, and its name is cut", () => {
  const pointer = { name: "Quiet Heron", at: "chart", x: 0.5, y: 1 };
  assert.deepEqual(parsePointer(pointer), pointer);
  assert.equal(parsePointer({ ...pointer, name: "x".repeat(500) })?.name.length, 24);
  for (const wrong of [{ x: 1.01 }, { y: -0.1 }, { x: Number.POSITIVE_INFINITY }, { name: "" }, { at: 7 }]) {
    assert.equal(parsePointer({ ...pointer, ...wrong }), undefined);
  }
});

test("no data whatever makes a parser throw", () => {
  fc.assert(
    fc.property(fc.anything(), (data) => {
      parseQuote(data);
      parsePointer(data);
      for (const panel of HOST_PANELS) panel.read(data);
    }),
  );
});

test("a node is a port and whether it takes the feed", () => {
  assert.deepEqual(parseNode({ port: 9_001, feed: true, more: 1 }), { port: 9_001, feed: true });
  for (const wrong of [
    undefined,
    1,
    {},
    { port: 0, feed: true },
    { port: 1.5, feed: true },
    { port: 1, feed: 1 },
  ])
    assert.equal(parseNode(wrong), undefined);
});
