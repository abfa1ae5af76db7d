import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameArena } from "./frame-arena.js";

const BYTES = Buffer.from(Array.from({ length: 30_000 }, (_, index) => index % 251));

test("frames of a busy room share memory, and none is written over", () => {
  const frames = new FrameArena();
  const kept = Array.from({ length: 2_000 }, (_, index) => {
    const [start, size] = [index % 97, (index * 31) % (index % 200 === 0 ? 20_000 : 300)];
    return { start, size, frame: frames.copy(BYTES, start, start + size, index) };
  });
  for (const { start, size, frame } of kept)
    assert.ok(BYTES.subarray(start, start + size).equals(frame), `${size} bytes from ${start}`);
  const pieces = new Set(kept.map(({ frame }) => frame.buffer));
  assert.ok(pieces.size < 100, `${pieces.size} pieces of memory for 2,000 frames`);
});

test("a frame of a quiet room holds no more memory than itself, also after busy times", () => {
  const frames = new FrameArena();
  let timeMs = 1_000_000;
  for (let count = 0; count < 500; count += 1) frames.copy(BYTES, 0, 140, timeMs);
  const quiet = Array.from({ length: 200 }, () => {
    timeMs += 60_000;
    return frames.copy(BYTES, 0, 140, timeMs);
  });
  for (const { buffer } of quiet.slice(-100)) assert.equal(buffer.byteLength, 140);
});
