import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeServerJson, encodeClientJson } from "./client-json.testkit.js";
import { decodeServer, encodeClient } from "./client-wire.testkit.js";
import { CodedError } from "./errors.js";
import type { ClientInput, ServerFrame } from "./frames.js";
import { createMessage, dataOf } from "./message.js";
import { checkData } from "./transcode.js";
import { decodeValue } from "./value.js";
import {
  clientFrame,
  controlFrame,
  limits,
  messageFields,
  msgpackBytes,
  textBytes,
} from "./values.testkit.js";
import { jsonWire, msgpackWire } from "./wire.js";

// 100,000 cases in all; a failure prints the seed and the path to it.
const RUNS = { bytes: 30_000, mutants: 30_000, json: 20_000, roundTrips: 20_000 };

/** No payload of some hundred bytes may take so long, however slow the machine. */
const MS_MAX = 1_000;

/** Runs a decoder; what it throws must be coded, and it must not take long. */
function survives<T>(decode: () => T): T | undefined {
  const start = performance.now();
  try {
    return decode();
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    assert.notEqual(cause.code, "internal", cause.message);
    return undefined;
  } finally {
    assert.ok(performance.now() - start < MS_MAX, "took too long");
  }
}

/** What a server took must be sound to its last byte. */
function checkInputs(inputs: readonly ClientInput[] | undefined): void {
  for (const input of inputs ?? []) {
    assert.ok(input.ref >= 0 && input.ref < 2 ** 32 && Number.isInteger(input.ref));
    if (input.type === "publish") decodeValue(checkData(input.data, limits));
    if (input.type === "invalid") assert.notEqual(input.error.code, "internal", input.error.message);
  }
}

function feed(bytes: Uint8Array): void {
  checkInputs(survives(() => msgpackWire.decode(bytes, limits)));
  survives(() => decodeServer(bytes));
}

/** One change to bytes: overwritten, cut out, put in or repeated. */
const mutation = fc.record({
  kind: fc.constantFrom("set", "cut", "insert", "repeat"),
  at: fc.nat(10_000),
  length: fc.integer({ min: 1, max: 8 }),
  byte: fc.oneof(fc.nat(255), fc.constantFrom(0xc1, 0xdd, 0xdf, 0x90, 0x80, 0xa0, 0xff)),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(bytes: Uint8Array, { kind, at, length, byte }: Mutation): Uint8Array {
  const start = at % (bytes.length + 1);
  const head = bytes.subarray(0, start);
  const tail = bytes.subarray(start);
  const filled = new Uint8Array(length).fill(byte);
  switch (kind) {
    case "set":
      return Buffer.concat([head, filled.subarray(0, 1), tail.subarray(1)]);
    case "cut":
      return Buffer.concat([head, tail.subarray(length)]);
    case "insert":
      return Buffer.concat([head, filled, tail]);
    default:
      return Buffer.concat([head, tail.subarray(0, length), tail]);
  }
}

const frameBytes = fc.oneof(
  clientFrame.map((frame) => encodeClient(frame)),
  controlFrame.map((frame) => msgpackWire.encode(frame)),
  messageFields.map((fields) => createMessage(fields).frame),
);

test("no bytes whatever make a decoder throw anything but coded errors", () => {
  fc.assert(fc.property(msgpackBytes, feed), { numRuns: RUNS.bytes });
});

test("valid frames with some bytes changed do not either", () => {
  const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(frameBytes, { minLength: 1, maxLength: 3 }), mutations, (frames, changes) => {
      feed(changes.reduce(mutate, Buffer.concat(frames)));
    }),
    { numRuns: RUNS.mutants },
  );
});

test("nor does any text in the JSON sub-protocol", () => {
  const line = fc.oneof(
    clientFrame.map((frame) => encodeClientJson(frame)),
    fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 6 }).map((elements) => JSON.stringify(elements)),
    fc.string({ unit: fc.constantFrom(...'[]{}",:0123456789eE.-\\u\n tfnd'), maxLength: 30 }),
  );
  const changes = fc.array(mutation, { maxLength: 2 });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 3 }), changes, (lines, mutations) => {
      const bytes = mutations.reduce(mutate, textBytes(lines.join("\n")));
      checkInputs(survives(() => jsonWire.decode(bytes, limits)));
      survives(() => decodeServerJson(Buffer.from(bytes).toString()));
    }),
    { numRuns: RUNS.json },
  );
});

test("every request and reply arrives as it was sent, in both sub-protocols", () => {
  fc.assert(
    fc.property(clientFrame, controlFrame, messageFields, (anyRequest, anyReply, fields) => {
      // Records come without a prototype now and then, which no decoder makes.
      const request = structuredClone(anyRequest);
      const reply = structuredClone(anyReply);
      const message = createMessage(fields);
      const { room, offset, prev, time, key } = message;
      const data = decodeValue(dataOf(message));
      const sent: ServerFrame = { type: "message", room, offset, prev, time, data, key };
      const binary = Buffer.concat([msgpackWire.encode(reply), msgpackWire.encodeMessage(message)]);
      assert.deepEqual(decodeServer(binary), [reply, sent]);
      assert.deepEqual(msgpackWire.decode(encodeClient(request), limits).map(withValue), [request]);
      const text = Buffer.concat([jsonWire.encode(reply), jsonWire.encodeMessage(message)]);
      assert.deepEqual(decodeServerJson(text.toString()), [reply, sent]);
      const requestText = textBytes(encodeClientJson(request));
      assert.deepEqual(jsonWire.decode(requestText, limits).map(withValue), [request]);
    }),
    { numRuns: RUNS.roundTrips },
  );
});

test("a history page arrives with its messages, in both sub-protocols", () => {
  fc.assert(
    fc.property(fc.array(messageFields, { maxLength: 40 }), fc.nat(2 ** 32 - 1), (fields, ref) => {
      const messages = fields.map((one) => createMessage(one));
      const reply = { epoch: "e", messages, more: false };
      for (const wire of [msgpackWire, jsonWire]) {
        const bytes = wire.encodeHistory(ref, reply);
        const [frame] = wire.binary ? decodeServer(bytes) : decodeServerJson(Buffer.from(bytes).toString());
        assert.ok(frame?.type === "ok" && frame.ref === ref);
        const entries = messages.map((message) => {
          const entry = [message.offset, message.time, decodeValue(dataOf(message))];
          return message.key === undefined ? entry : [...entry, message.key];
        });
        assert.deepEqual(frame.result, { epoch: "e", messages: entries, more: false });
      }
    }),
    { numRuns: 1_000 },
  );
});

function withValue(input: ClientInput): unknown {
  return input.type === "publish" ? { ...input, data: decodeValue(input.data) } : input;
}
