import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, ExtData, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { CodedError } from "./errors.js";
import { Scanner } from "./scan.js";
import { valueEnd } from "./value.js";
import { msgpackBytes } from "./values.testkit.js";

const scanner = new Scanner();

interface Scan {
  readonly end: number;
  readonly problem: string | undefined;
}

function scan(bytes: Uint8Array, depth = 32, elements = 20_000): Scan | CodedError {
  scanner.begin(bytes, elements);
  try {
    return { end: scanner.value(0, depth), problem: scanner.problem };
  } catch (cause) {
    if (cause instanceof CodedError) return cause;
    throw cause;
  }
}

test("whatever passes the scanner decodes, and ends where the scanner says", () => {
  let passed = 0;
  fc.assert(
    fc.property(msgpackBytes, (bytes) => {
      const scanned = scan(bytes);
      if (scanned instanceof CodedError || scanned.problem !== undefined) return;
      passed++;
      decode(bytes.subarray(0, scanned.end));
      assert.equal(valueEnd(bytes, 0), scanned.end);
    }),
    { numRuns: 30_000 },
  );
  assert.ok(passed > 1_000, `only ${passed} values passed: the test says little`);
});

test("what the codec encodes passes, well-formed text given", () => {
  fc.assert(
    fc.property(
      fc.anything({ withDate: true, withTypedArray: true, withNullPrototype: false, maxDepth: 4 }),
      (value) => {
        let bytes: Uint8Array;
        try {
          bytes = encode(value, { ignoreUndefined: true });
        } catch {
          return; // bigint and symbol have no MessagePack
        }
        const scanned = scan(bytes);
        assert.ok(!(scanned instanceof CodedError));
        assert.equal(scanned.end, bytes.length);
        if (scanned.problem !== undefined) assert.match(scanned.problem, /__proto__|UTF-8/);
      },
    ),
    { numRuns: 5_000 },
  );
});

test("UTF-8 is judged as TextDecoder does", () => {
  const strict = new TextDecoder("utf-8", { fatal: true });
  // Leads, continuations and borders more often than chance would give them.
  const byte = fc.oneof(
    fc.nat(255),
    fc.constantFrom(
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc0,
      0xc1,
      0xc2,
      0xdf,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
    ),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 8 }), (text) => {
      const scanned = scan(Uint8Array.of(0xa0 | text.length, ...text));
      assert.ok(!(scanned instanceof CodedError));
      let valid = true;
      try {
        strict.decode(Uint8Array.from(text));
      } catch {
        valid = false;
      }
      assert.equal(scanned.problem === undefined, valid);
    }),
    { numRuns: 20_000 },
  );
});

test("a value cut anywhere is refused as truncated, by the client's walk as well", () => {
  const value = {
    text: "abc",
    list: [1, 300, 70_000, 2 ** 40, -5, 1.5, null, true],
    bytes: Uint8Array.of(1, 2),
  };
  const bytes = encode([value, new ExtData(3, new Uint8Array(20)), new Date(1.5e12), "x".repeat(300)]);
  for (let length = 0; length < bytes.length; length++) {
    const scanned = scan(bytes.subarray(0, length));
    assert.ok(scanned instanceof CodedError && scanned.code === "bad_request", `${length} bytes`);
    assert.throws(() => valueEnd(bytes.subarray(0, length), 0), RangeError, `${length} bytes`);
  }
  assert.deepEqual(scan(bytes), { end: bytes.length, problem: undefined });
});

test("nesting counts empty containers and is allowed exactly to the limit", () => {
  const nested = (depth: number) => Uint8Array.from([...new Array<number>(depth - 1).fill(0x91), 0x90]);
  assert.deepEqual(scan(nested(3), 3), { end: 3, problem: undefined });
  const deeper = scan(nested(4), 3);
  assert.ok(deeper instanceof CodedError && deeper.code === "too_large");
  assert.deepEqual(scan(Uint8Array.of(0x81, 1, 0x80), 2), { end: 3, problem: undefined });
});

test("elements are counted over all levels, a map's entries once", () => {
  const bytes = encode([1, { a: 1, b: [1, 2] }]);
  assert.deepEqual(scan(bytes, 8, 6), { end: bytes.length, problem: undefined });
  const more = scan(bytes, 8, 5);
  assert.ok(more instanceof CodedError && more.code === "too_large");
});

test("a long value is walked in time that grows with its bytes", () => {
  const bytes = new Uint8Array(1_000_000).fill(0x91);
  bytes[bytes.length - 1] = 1;
  const start = performance.now();
  assert.deepEqual(scan(bytes, 1_000_000, 1_000_000), { end: bytes.length, problem: undefined });
  assert.equal(valueEnd(bytes, 0), bytes.length);
  assert.ok(performance.now() - start < 1_000);
});

test("an array's elements are found, the first eight at the most", () => {
  const starts: number[] = [];
  const bytes = encode([1, "ab", [2, 3], null]);
  scanner.begin(bytes, 100);
  assert.equal(scanner.array(0, 8, starts), bytes.length);
  assert.deepEqual(starts, [1, 2, 5, 8, 9]);
  const long = encode(new Array(20).fill(1));
  scanner.begin(long, 100);
  assert.equal(scanner.array(0, 8, starts), long.length);
  assert.deepEqual(starts, [3, 4, 5, 6, 7, 8, 9, 10, 11]);
  scanner.begin(encode({}), 100);
  assert.equal(scanner.array(0, 8, starts), -1);
});
