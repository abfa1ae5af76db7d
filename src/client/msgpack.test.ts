import assert from "node:assert/strict";
import { test } from "node:test";
import * as reference from "@msgpack/msgpack";
import fc from "fast-check";
import { Extension } from "./extension.js";
import { Reader } from "./msgpack-reader.js";
import { encode } from "./msgpack-writer.js";

const SEED = Number(process.env.FC_SEED ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = { seed: SEED, numRuns: 5_000 };

const integers = fc.oneof(
  fc.maxSafeInteger(),
  fc
    .tuple(fc.integer({ min: 0, max: 52 }), fc.integer({ min: -2, max: 2 }), fc.constantFrom(1, -1))
    .map(([bits, off, sign]) => sign * (2 ** bits + off)),
);
const text = fc.oneof(fc.string({ unit: "binary", maxLength: 300 }), fc.string({ maxLength: 40 }));
const bytes = fc.uint8Array({ maxLength: 300 });
const dates = fc.date({ noInvalidDate: true });
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(null, true, false),
    integers,
    fc.double(),
    text,
    bytes,
    dates,
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(
      text.filter((name) => name !== "__proto__"),
      tie("value"),
      { maxKeys: 20 },
    ),
  ),
})).value;

/** As it comes back: -0 as 0, lone surrogates as the replacement character, which the reference does too. */
function expected(value: unknown): unknown {
  return reference.decode(reference.encode(value));
}

function decoded(input: Uint8Array): unknown {
  const reader = new Reader(input);
  const value = reader.value();
  assert.ok(reader.done);
  return value;
}

test(`any value reads back, and as @msgpack/msgpack reads it (seed ${SEED})`, () => {
  fc.assert(
    fc.property(values, (value) => {
      const ours = encode(value);
      assert.deepEqual(decoded(ours), expected(value));
      assert.deepEqual(reference.decode(ours), expected(value));
    }),
    RUNS,
  );
});

test(`whatever @msgpack/msgpack writes is read (seed ${SEED})`, () => {
  fc.assert(
    fc.property(values, (value) => {
      assert.deepEqual(decoded(reference.encode(value)), expected(value));
      assert.deepEqual(decoded(reference.encode(value, { forceFloat32: true })), expectedFloat32(value));
    }),
    RUNS,
  );
});

function expectedFloat32(value: unknown): unknown {
  return reference.decode(reference.encode(value, { forceFloat32: true }));
}

test("strings, bytes, arrays and maps around every length of header", () => {
  for (const length of [0, 1, 15, 16, 23, 24, 25, 31, 32, 255, 256, 65_535, 65_536, 70_000]) {
    for (const value of [
      "x".repeat(length),
      "é".repeat(length),
      new Uint8Array(length).fill(7),
      new Array(length).fill(1),
      Object.fromEntries(Array.from({ length }, (_, i) => [`k${i}`, i])),
    ]) {
      const ours = encode(value);
      assert.deepEqual(ours, reference.encode(value));
      assert.deepEqual(decoded(ours), value);
    }
  }
});

test("every view of bytes is sent as bytes", () => {
  const buffer = new Uint8Array([1, 2, 3, 4]).buffer;
  for (const value of [buffer, new DataView(buffer), new Uint16Array(buffer), new Uint8Array(buffer)]) {
    assert.deepEqual(decoded(encode(value)), new Uint8Array([1, 2, 3, 4]));
  }
});

test("fields that are undefined are left out, items that are undefined are nil", () => {
  assert.deepEqual(decoded(encode({ a: undefined, b: [undefined, 1] })), { b: [null, 1] });
});

test("integers beyond 2^53 are read as the nearest number", () => {
  for (const value of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n - 1n, 2n ** 53n + 1n]) {
    const written = reference.encode(value, { useBigInt64: true });
    assert.equal(decoded(written), Number(value));
  }
});

test("extensions keep type and data in every length", () => {
  for (const length of [0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 70_000]) {
    const extension = new Extension(-5, new Uint8Array(length).fill(9));
    assert.deepEqual(decoded(encode(extension)), extension);
    const written = reference.encode(new reference.ExtData(42, new Uint8Array(length).fill(9)));
    assert.deepEqual(decoded(written), new Extension(42, new Uint8Array(length).fill(9)));
  }
});

test("a timestamp of a length that is none is an extension, not an error", () => {
  assert.deepEqual(decoded(new Uint8Array([0xd5, 0xff, 1, 2])), new Extension(-1, new Uint8Array([1, 2])));
});

test("a field named __proto__ is a field", () => {
  const value = decoded(encode(JSON.parse('{"__proto__": {"a": 1}}')));
  assert.deepEqual(Object.getPrototypeOf(value), Object.prototype);
  assert.deepEqual(Object.entries(Object(value)), [["__proto__", { a: 1 }]]);
});

test("what cannot be sent is refused", () => {
  const circle: unknown[] = [];
  circle.push(circle);
  for (const value of [() => 1, Symbol("s"), 1n, circle, new Date(Number.NaN), { deep: [Symbol("s")] }]) {
    assert.throws(() => encode(value), TypeError);
  }
});

test(`bytes cut anywhere are refused, never read past their end (seed ${SEED})`, () => {
  fc.assert(
    fc.property(values, fc.nat(), (value, cut) => {
      const whole = reference.encode(value);
      const part = whole.subarray(0, cut % whole.length);
      assert.throws(() => new Reader(part).value(), RangeError);
    }),
    RUNS,
  );
});

test(`any bytes are a value or a RangeError or TypeError (seed ${SEED})`, () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (input) => {
      try {
        for (const reader = new Reader(input); !reader.done; ) reader.value();
      } catch (cause) {
        assert.ok(cause instanceof RangeError || cause instanceof TypeError);
      }
    }),
    { ...RUNS, numRuns: 50_000 },
  );
});

test("claimed lengths make no room for what is not there", () => {
  for (const head of [0xdd, 0xdf, 0xdb, 0xc6, 0xc9]) {
    assert.throws(() => new Reader(new Uint8Array([head, 0xff, 0xff, 0xff, 0xff, 1])).value(), RangeError);
  }
});
