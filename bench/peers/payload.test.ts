import assert from "node:assert/strict";
import { test } from "node:test";
import { PAYLOAD_BYTES_MIN, PayloadScanner, payloadOf } from "./payload.js";

function stream(count: number): Buffer {
  const parts = Array.from({ length: count }, (_, at) => [
    Buffer.from(`42["m","`),
    payloadOf(at + 1, 1_000_000 + at, 100),
    Buffer.from(`"]`),
  ]);
  return Buffer.concat(parts.flat());
}

test("finds every message in order, however the stream is cut", () => {
  const bytes = stream(20);
  const whole = Array.from({ length: 20 }, (_, at) => [at + 1, 1_000_000 + at]);
  for (let piece = 1; piece <= 240; piece++) {
    const scanner = new PayloadScanner();
    const found: number[][] = [];
    for (let at = 0; at < bytes.length; at += piece)
      scanner.feed(bytes, at, Math.min(bytes.length, at + piece), (number, due) => found.push([number, due]));
    assert.deepEqual(found, whole, `pieces of ${piece} bytes`);
  }
});

test("messages of several lengths and with other bytes between them are found too", () => {
  const bytes = Buffer.concat([
    Buffer.from("#"),
    payloadOf(1, 5, 40),
    Buffer.from("#f#"),
    payloadOf(2, 6, 200),
    payloadOf(3, 7, PAYLOAD_BYTES_MIN),
    Buffer.from("##fw"),
  ]);
  const found: number[] = [];
  new PayloadScanner().feed(bytes, 0, bytes.length, (number) => found.push(number));
  assert.deepEqual(found, [1, 2, 3]);
});

test("a payload that cannot hold its number is refused", () => {
  assert.throws(() => payloadOf(1, 1, PAYLOAD_BYTES_MIN - 1), /at least 28/);
  assert.equal(payloadOf(1, 1, PAYLOAD_BYTES_MIN).length, PAYLOAD_BYTES_MIN);
});
