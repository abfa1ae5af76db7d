import assert from "node:assert/strict";
import { test } from "node:test";
import { CHUNK_BYTES } from "../protocol/frames.js";
import { Packer } from "./packer.js";

test("frames come back to back, in order", () => {
  const packer = new Packer();
  for (const byte of [1, 2, 3]) assert.ok(packer.add(Uint8Array.of(byte, byte)));
  assert.deepEqual(packer.take(), Uint8Array.of(1, 1, 2, 2, 3, 3));
  assert.equal(packer.take(), undefined);
});

test("a single frame is handed on without a copy", () => {
  const packer = new Packer();
  const frame = Uint8Array.of(1, 2);
  packer.add(frame);
  assert.equal(packer.take(), frame);
});

test("a chunk takes exactly its bytes and refuses one more", () => {
  const packer = new Packer();
  assert.ok(packer.add(new Uint8Array(CHUNK_BYTES - 1)));
  assert.ok(packer.add(new Uint8Array(1)));
  assert.equal(packer.add(new Uint8Array(1)), false);
  assert.equal(packer.take()?.length, CHUNK_BYTES);
  assert.ok(packer.add(new Uint8Array(1)));
});

test("a frame above the chunk goes alone", () => {
  const packer = new Packer();
  packer.add(Uint8Array.of(1));
  const long = new Uint8Array(CHUNK_BYTES + 1);
  assert.equal(packer.add(long), false);
  packer.take();
  assert.ok(packer.add(long));
  assert.equal(packer.add(Uint8Array.of(1)), false);
  assert.equal(packer.take(), long);
});
