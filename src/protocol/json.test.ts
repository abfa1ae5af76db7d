import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, ExtData, encode } from "@msgpack/msgpack";
import { decodeServerJson, encodeClientJson } from "./client-json.testkit.js";
import { createMessage } from "./message.js";
import { parseRoom } from "./room-name.js";
import { limits, textBytes } from "./values.testkit.js";
import { jsonWire } from "./wire.js";

const room = parseRoom("stock.AAPL");

function decodeText(text: string) {
  return jsonWire.decode(textBytes(text), limits);
}

test("requests come one a line, and empty lines count for nothing", () => {
  const text = `\n${encodeClientJson({ type: "ping", ref: 1 })}\r\n  \n[7,2]`;
  assert.deepEqual(decodeText(text), [
    { type: "ping", ref: 1 },
    { type: "ping", ref: 2 },
  ]);
});

test("a publish's data becomes MessagePack", () => {
  const [input] = decodeText('[3,1,"a.b",{"x":[1,"ü",null]},"k"]');
  assert.ok(input?.type === "publish");
  assert.deepEqual(decode(input.data), { x: [1, "ü", null] });
});

test("a lone surrogate is refused under its ref, since it has no UTF-8", () => {
  const [input] = decodeText('[3,5,"a.b","\\ud800"]');
  assert.ok(input?.type === "invalid");
  assert.equal(input.ref, 5);
  assert.equal(input.error.code, "bad_request");
});

test("what is not JSON, not UTF-8, nested too deep or too much is a coded error for the whole message", () => {
  const whole = (payload: Uint8Array, code: string) =>
    assert.throws(() => jsonWire.decode(payload, limits), { name: "CodedError", code });
  whole(textBytes("[7,1]\n[7,"), "bad_request");
  whole(Uint8Array.of(0x5b, 0xff, 0x5d), "bad_request");
  whole(textBytes(`[3,1,"a",${"[".repeat(7_000)}${"]".repeat(7_000)}]`), "too_large");
  whole(textBytes(`[3,1,"a",${"[".repeat(32)}${"]".repeat(32)}]`), "too_large");
  whole(textBytes("[7,0]\n".repeat(limits.values + 1)), "too_large");
});

test("what JSON cannot express is written as the protocol says", () => {
  const data = encode([
    Uint8Array.of(1, 2, 255),
    new Date(0),
    new ExtData(5, Uint8Array.of(9)),
    Number.NaN,
    1 / 0,
  ]);
  const bytes = jsonWire.encodeMessage(
    createMessage({ room, offset: 2, prev: 1, time: 3, data, key: "k" }),
    0,
  );
  assert.deepEqual(decodeServerJson(Buffer.from(bytes).toString()), [
    {
      type: "message",
      room,
      offset: 2,
      prev: 0,
      time: 3,
      data: ["AQL/", "1970-01-01T00:00:00.000Z", { ext: 5, data: "CQ==" }, null, null],
      key: "k",
    },
  ]);
});

test("history arrives with its messages", () => {
  const messages = [1, 2].map((offset) =>
    createMessage({ room, offset, prev: offset - 1, time: 5, data: encode({ offset }), key: "k" }),
  );
  const bytes = jsonWire.encodeHistory(3, { epoch: "e", messages, more: true, lost: "expired" });
  const result = {
    epoch: "e",
    messages: [
      [1, 5, { offset: 1 }, "k"],
      [2, 5, { offset: 2 }, "k"],
    ],
    more: true,
    lost: "expired",
  };
  assert.deepEqual(decodeServerJson(Buffer.from(bytes).toString()), [{ type: "ok", ref: 3, result }]);
});
