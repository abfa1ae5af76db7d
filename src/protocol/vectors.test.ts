import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ExtData, encode, encodeTimestampExtension } from "@msgpack/msgpack";
import { clientElements } from "./client-elements.js";
import { decodeServerJson, encodeClientJson } from "./client-json.testkit.js";
import { decodeServer, encodeClient, UndecodableData } from "./client-wire.testkit.js";
import { CodedError } from "./errors.js";
import type { ClientFrame, ClientInput, ServerFrame, Subprotocol } from "./frames.js";
import { createMessage } from "./message.js";
import { controlElements } from "./replies.js";

import { decodeValue } from "./value.js";
import { type DecodeLimits, wireFor } from "./wire.js";

interface Vector {
  readonly name: string;
  readonly subprotocol: Subprotocol;
  readonly direction: "client" | "server";
  readonly hex: string;
  readonly text?: string;
  readonly limits?: Partial<DecodeLimits>;
  readonly valid: boolean;
  readonly frames?: readonly unknown[];
  readonly canonical?: boolean;
  readonly error?: string;
}

const file: { limits: DecodeLimits; vectors: Vector[] } = JSON.parse(
  readFileSync(new URL("../../src/protocol/vectors.json", import.meta.url), "utf8"),
);

for (const vector of file.vectors) {
  test(`vector: ${vector.name}`, () => {
    const payload = Buffer.from(vector.hex, "hex");
    if (vector.text !== undefined) assert.equal(payload.toString(), vector.text);
    if (!vector.valid) {
      assert.throws(() => decode(vector, payload), { name: "CodedError", code: vector.error });
      return;
    }
    const decoded = decode(vector, payload);
    assert.deepEqual(decoded.map(elementsOf).map(plain), vector.frames);
    if (vector.canonical === true)
      assert.equal(Buffer.concat(decoded.map((frame) => encoded(vector, frame))).toString("hex"), vector.hex);
  });
}

test("there are vectors of both sub-protocols and directions, valid and not", () => {
  assert.ok(file.vectors.length >= 60);
  for (const subprotocol of ["fanwire.v1", "fanwire.v1.json"])
    for (const direction of ["client", "server"])
      for (const valid of [true, false])
        assert.ok(
          file.vectors.some(
            (vector) =>
              vector.subprotocol === subprotocol && vector.direction === direction && vector.valid === valid,
          ),
          `${subprotocol} ${direction} ${valid}`,
        );
});

function decode(vector: Vector, payload: Uint8Array): readonly (ClientInput | ServerFrame)[] {
  const wire = wireFor(vector.subprotocol);
  if (vector.direction === "client") return wire.decode(payload, { ...file.limits, ...vector.limits });
  return wire.binary ? decodeServer(payload) : decodeServerJson(Buffer.from(payload).toString());
}

/** The frame as it stands on the wire, without what its receiver ignores. */
function elementsOf(frame: ClientInput | ServerFrame): unknown {
  switch (frame.type) {
    case "invalid":
      return { error: frame.error.code, ref: frame.ref };
    case "message": {
      const { room, offset, prev, time, data, key } = frame;
      return [19, room, offset, prev, time, data, ...(key === undefined ? [] : [key])];
    }
    default:
      return isRequest(frame) ? clientElements(withValue(frame)) : controlElements(frame);
  }
}

function encoded(vector: Vector, frame: ClientInput | ServerFrame): Uint8Array {
  const wire = wireFor(vector.subprotocol);
  if (frame.type === "invalid") throw new Error("a refused value has no canonical bytes");
  if (frame.type === "message")
    return wire.encodeMessage(createMessage({ ...frame, data: encode(frame.data) }));
  if (!isRequest(frame)) return wire.encode(frame);
  return wire.binary ? encodeClient(withValue(frame)) : Buffer.from(encodeClientJson(withValue(frame)));
}

const REQUESTS: readonly string[] = [
  "subscribe",
  "unsubscribe",
  "subscribePattern",
  "unsubscribePattern",
  "publish",
  "authenticate",
  "history",
  "presence",
  "subscribeMany",
  "ping",
];

function isRequest(frame: ClientFrame<Uint8Array> | ServerFrame): frame is ClientFrame<Uint8Array> {
  return REQUESTS.includes(frame.type);
}

function withValue(frame: ClientFrame<Uint8Array>): ClientFrame {
  return frame.type === "publish" ? { ...frame, data: decodeValue(frame.data) } : frame;
}

/** A decoded value in the vectors' JSON form. */
function plain(value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value))
    return { $float: Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf" };
  // The codec makes it the nearest float; the vector has the exact one.
  if (value === 2 ** 64) return { $int: "18446744073709551615" };
  if (value instanceof Uint8Array) return { $bytes: base64(value) };
  if (value instanceof Date) return { $ext: [-1, base64(encodeTimestampExtension(value) ?? assert.fail())] };
  if (value instanceof ExtData && value.data instanceof Uint8Array)
    return { $ext: [value.type, base64(value.data)] };
  if (value instanceof UndecodableData) return { $undecodable: base64(value.bytes) };
  // An item of subscribe many that failed alone has its error where the room would be.
  if (Array.isArray(value))
    return value[0] instanceof CodedError ? { error: value[0].code } : value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
