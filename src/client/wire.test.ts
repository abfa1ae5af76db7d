import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ExtData } from "@msgpack/msgpack";
import { decodeServer, encodeClient, UndecodableData } from "../protocol/client-wire.testkit.js";
import type { ClientFrame, ClientInput } from "../protocol/frames.js";

import { decodeValue } from "../protocol/value.js";
import { type DecodeLimits, msgpackWire } from "../protocol/wire.js";
import { Extension } from "./extension.js";
import { decodeFrames, encodeFrame } from "./wire.js";

interface Vector {
  readonly name: string;
  readonly subprotocol: string;
  readonly direction: "client" | "server";
  readonly hex: string;
  readonly limits?: Partial<DecodeLimits>;
  readonly valid: boolean;
}

const file: { readonly limits: DecodeLimits; readonly vectors: readonly Vector[] } = JSON.parse(
  readFileSync(new URL("../../src/protocol/vectors.json", import.meta.url), "utf8"),
);
const vectors = file.vectors.filter(({ subprotocol }) => subprotocol === "fanwire.v1");

for (const { name, hex, valid } of vectors.filter(({ direction }) => direction === "server")) {
  test(`the client reads the vector: ${name}`, () => {
    const payload = new Uint8Array(Buffer.from(hex, "hex"));
    if (!valid) {
      assert.throws(() => decodeFrames(payload), Error);
      return;
    }
    const reference = decodeServer(payload);
    const frames = decodeFrames(payload).map((frame, index) => {
      const wanted = reference[index];
      // Data that the reference gives up on, such as a field named __proto__, the client reads.
      const lenient = wanted?.type === "message" && wanted.data instanceof UndecodableData;
      return frame.type === "message" && lenient ? { ...frame, data: wanted.data } : frame;
    });
    assert.deepEqual(frames, reference.map(ours));
  });
}

for (const { name, hex, limits } of vectors.filter(
  ({ direction, valid }) => direction === "client" && valid,
)) {
  test(`the client writes the vector: ${name}`, () => {
    for (const input of msgpackWire.decode(Buffer.from(hex, "hex"), { ...file.limits, ...limits })) {
      const frame = requestOf(input);
      if (frame === undefined) continue;
      const written = encodeFrame(frame.type === "publish" ? { ...frame, data: ours(frame.data) } : frame);
      // Not byte by byte: timestamps have more than one form.
      assert.deepEqual(decodeValue(written), decodeValue(encodeClient(frame)));
    }
  });
}

function requestOf(input: ClientInput): ClientFrame | undefined {
  if (input.type === "invalid") return undefined;
  return input.type === "publish" ? { ...input, data: decodeValue(input.data) } : input;
}

/** The reference's classes as the client's. */
function ours(value: unknown): unknown {
  if (value instanceof ExtData && value.data instanceof Uint8Array)
    return new Extension(value.type, value.data);
  if (value instanceof UndecodableData) return value;
  if (Array.isArray(value)) return value.map(ours);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array || value instanceof Date)
    return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, ours(field)]));
}
