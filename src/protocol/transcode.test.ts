import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { batchFromJson, batchFromMsgpack } from "./batch.js";
import { CodedError } from "./errors.js";
import { checkData, dataFromJson, dataFromValue, jsonFromData } from "./transcode.js";
import { limits, textBytes } from "./values.testkit.js";

const refuses = (code: string, act: () => unknown) => assert.throws(act, { name: "CodedError", code });

test("JSON made data and back is the same JSON", () => {
  fc.assert(
    fc.property(fc.json({ noUnicodeString: false }), (json) => {
      const value: unknown = JSON.parse(json);
      if (/"__proto__"|\\ud[89a-f]/i.test(JSON.stringify(value))) return;
      assert.deepEqual(
        JSON.parse(jsonFromData(dataFromJson(json, limits))),
        JSON.parse(JSON.stringify(value)),
      );
    }),
    { numRuns: 2_000 },
  );
});

test("JSON may come as bytes", () => {
  assert.equal(decode(dataFromJson(textBytes('"ü"'), limits)), "ü");
  refuses("bad_request", () => dataFromJson(Uint8Array.of(0x22, 0xff, 0x22), limits));
});

test("what is not JSON, or no data, is refused", () => {
  refuses("bad_request", () => dataFromJson("{", limits));
  refuses("bad_request", () => dataFromJson("", limits));
  refuses("bad_request", () => dataFromJson('"\\udc00"', limits));
  refuses("bad_request", () => dataFromJson('{"__proto__": 1}', limits));
  refuses("bad_request", () => dataFromValue(() => 1, limits));
  refuses("bad_request", () => dataFromValue(1n, limits));
});

test("data above a limit is refused as too large", () => {
  refuses("too_large", () => dataFromJson(`"${"x".repeat(limits.dataBytes)}"`, limits));
  refuses("too_large", () => dataFromJson(`${"[".repeat(32)}${"]".repeat(32)}`, limits));
  refuses("too_large", () => dataFromJson(`${"[".repeat(100_000)}${"]".repeat(100_000)}`, limits));
  refuses("too_large", () =>
    dataFromValue(new Array(limits.elements + 1).fill(0), { ...limits, dataBytes: 1e6 }),
  );
  assert.ok(dataFromJson(`${"[".repeat(31)}${"]".repeat(31)}`, limits));
});

test("MessagePack data is one whole value", () => {
  const data = encode({ a: 1 });
  assert.equal(checkData(data, limits), data);
  refuses("bad_request", () => checkData(Uint8Array.of(), limits));
  refuses("bad_request", () => checkData(Uint8Array.of(1, 2), limits));
  refuses("bad_request", () => checkData(Uint8Array.of(0x92, 2), limits));
});

const batchLimits = { ...limits, items: 3 };

test("a batch means the same in JSON and MessagePack, and what is wrong with an item stays with it", () => {
  const batch = [
    { room: "a.b", data: { x: 1 }, key: "k", id: "i", more: 1 },
    { room: "a b", data: 1 },
    { room: "a" },
  ];
  for (const results of [
    batchFromJson(JSON.stringify(batch), batchLimits),
    batchFromMsgpack(encode(batch), batchLimits),
  ]) {
    const [item, ...errors] = results;
    assert.ok(item !== undefined && !(item instanceof CodedError));
    assert.deepEqual(
      { ...item, data: decode(item.data) },
      { room: "a.b", data: { x: 1 }, key: "k", id: "i" },
    );
    assert.deepEqual(
      errors.map((error) => error instanceof CodedError && error.code),
      ["room_invalid", "bad_request"],
    );
  }
});

test("a MessagePack batch keeps numbers that JavaScript cannot hold", () => {
  const data = Uint8Array.of(0xcf, 255, 255, 255, 255, 255, 255, 255, 255);
  const body = Buffer.concat([Uint8Array.of(0x91, 0x82), encode("room"), encode("a"), encode("data"), data]);
  const [item] = batchFromMsgpack(body, batchLimits);
  assert.ok(item !== undefined && !(item instanceof CodedError));
  assert.deepEqual(Buffer.from(item.data), Buffer.from(data));
});

test("items with a wrong key or id, or no map at all, are refused one by one", () => {
  const items = [1, { room: "a", data: 1, key: 5 }, { room: "a", data: 1, id: "" }];
  for (const results of [
    batchFromJson(JSON.stringify(items), batchLimits),
    batchFromMsgpack(encode(items), batchLimits),
  ])
    assert.deepEqual(
      results.map((result) => result instanceof CodedError && result.code),
      ["bad_request", "bad_request", "bad_request"],
    );
  const badText = Uint8Array.of(
    0x91,
    0x82,
    0xa4,
    0x72,
    0x6f,
    0x6f,
    0x6d,
    0xa1,
    0xff,
    0xa4,
    0x64,
    0x61,
    0x74,
    0x61,
    1,
  );
  const [result] = batchFromMsgpack(badText, batchLimits);
  assert.ok(result instanceof CodedError && result.code === "bad_request");
});

test("a key with a lone surrogate is refused: its bytes would be another key", () => {
  const [result] = batchFromJson('[{"room":"a","data":1,"key":"\\ud800"}]', batchLimits);
  assert.ok(result instanceof CodedError && result.code === "bad_request");
});

test("a batch that is none, or too long, is refused as a whole", () => {
  refuses("bad_request", () => batchFromJson("{}", batchLimits));
  refuses("bad_request", () => batchFromJson("[", batchLimits));
  refuses("too_large", () => batchFromJson("[1,2,3,4]", batchLimits));
  refuses("too_large", () => batchFromMsgpack(encode([1, 2, 3, 4]), batchLimits));
  refuses("bad_request", () => batchFromMsgpack(encode({}), batchLimits));
  refuses("bad_request", () => batchFromMsgpack(Uint8Array.of(), batchLimits));
  refuses("bad_request", () => batchFromMsgpack(Uint8Array.of(0x91), batchLimits));
  refuses("bad_request", () => batchFromMsgpack(Uint8Array.of(0x90, 0x90), batchLimits));
});
