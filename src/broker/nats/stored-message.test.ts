import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { parseRoom } from "../../protocol/room-name.js";
import { limits, wellFormedText } from "../../protocol/values.testkit.js";
import {
  LAST_SEQUENCE,
  lastNumber,
  lastValue,
  ownHeaders,
  publisherHeaders,
  SEQUENCE,
  SUBJECT,
} from "./message-headers.js";
import { binaryOf, contentOf, type StoredMessage } from "./stored-message.js";

const ROOM = parseRoom("chat.a");
const NOW = 1_700_000_000_000;

describe("headers", () => {
  test("what fanwire writes is read back, whatever key and origin are", () => {
    const text = fc.option(wellFormedText(0, 100), { nil: undefined });
    fc.assert(
      fc.property(fc.maxSafeNat(), text, text, (time, origin, key) => {
        const read = publisherHeaders(ownHeaders({ time, origin, key, id: "n.1" }));
        assert.deepEqual(read, { time, origin: origin === "" ? undefined : origin, key, msgpack: true });
      }),
    );
  });

  test("a publisher cannot forge what the server appends", () => {
    const forged =
      "NATS/1.0\r\nNats-Sequence: 999\r\nNats-Last-Sequence: 998\r\nNats-Subject: fw.in.1.other\r\n";
    const text = `${forged}Nats-Stream: FW_1\r\nNats-Subject: fw.in.1.a\r\nNats-Sequence: 12\r\nNats-Last-Sequence: 0\r\n\r\n`;
    assert.equal(lastNumber(text, SEQUENCE), 12);
    assert.equal(lastNumber(text, LAST_SEQUENCE), 0);
    assert.equal(lastValue(text, SUBJECT), "fw.in.1.a");
  });

  test("numbers that are none, missing or beyond 2^53 are not read", () => {
    for (const value of ["", " ", "x", " -1", " 9007199254740993", " ٣"])
      assert.equal(lastNumber(`NATS/1.0${SEQUENCE}${value}\r\n\r\n`, SEQUENCE), undefined, value);
    assert.equal(lastNumber("NATS/1.0\r\n\r\n", SEQUENCE), undefined);
    assert.equal(lastNumber(`NATS/1.0${SEQUENCE}7`, SEQUENCE), 7);
    assert.equal(
      lastNumber(`NATS/1.0${SEQUENCE} 9007199254740991\r\n\r\n`, SEQUENCE),
      Number.MAX_SAFE_INTEGER,
    );
  });

  test("a header of ours that is not valid is as if it were not there", () => {
    for (const value of ["", ";", "x y;;", "zzzzzzzzzzzzzz;;", "1;2;3;4", "-1;;"]) {
      const read = publisherHeaders(`NATS/1.0\r\nFw: ${value}\r\n\r\n`);
      assert.equal(read.msgpack, false, JSON.stringify(value));
      assert.equal(read.time, undefined);
    }
    assert.deepEqual(publisherHeaders("NATS/1.0\r\nFw: 1;%zz;%C3\r\n\r\n"), {
      time: 1,
      origin: undefined,
      key: undefined,
      msgpack: true,
    });
  });

  test("foreign publishers say type and key in headers of any case", () => {
    const read = publisherHeaders(
      "NATS/1.0\r\ncontent-type: application/msgpack\r\nFW-KEY: EUR%2FUSD\r\n\r\n",
    );
    assert.deepEqual(read, { time: undefined, origin: undefined, key: "EUR/USD", msgpack: true });
    assert.equal(publisherHeaders("NATS/1.0\r\nContent-Type: application/json\r\n\r\n").msgpack, false);
  });
});

describe("content", () => {
  test("JSON of a foreign publisher becomes MessagePack, with the server's time", () => {
    const { content, counters } = read({ data: Buffer.from('{"a":[1,"ü"]}'), storedMs: 5 });
    assert.deepEqual(decode(content.data), { a: [1, "ü"] });
    assert.equal(content.time, 5);
    assert.equal(content.key, undefined);
    assert.deepEqual(counters, { invalidData: 0, invalidKeys: 0 });
  });

  test("MessagePack comes through byte for byte", () => {
    const data = Uint8Array.from([0xd3, 0, 0, 0, 0, 0, 0, 0, 7]);
    const headers = ownHeaders({ time: 3, origin: "s-1", key: "k", id: undefined });
    const { content } = read({ data, headers, storedMs: 5 });
    assert.deepEqual(content, { room: ROOM, time: 3, data, key: "k", origin: "s-1" });
  });

  test("data that is not what it should be is delivered as bytes, and counted", () => {
    const own = ownHeaders({ time: 3, origin: undefined, key: undefined, id: undefined });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, isOwn) => {
        const { content, counters } = read({ data: bytes, headers: isOwn ? own : "" });
        const value = decode(content.data);
        if (counters.invalidData === 1) assert.deepEqual(value, bytes);
        else assert.equal(counters.invalidData, 0);
      }),
    );
    for (const text of ["", "nope", "{", '"\ud800"'.toString()])
      assert.equal(read({ data: Buffer.from(text, "latin1") }).counters.invalidData, 1, text);
    assert.equal(read({ data: encode("MessagePack, not said") }).counters.invalidData, 1);
  });

  test("bytes of every length are one MessagePack value", () => {
    for (const length of [0, 1, 255, 256, 65_535, 65_536]) {
      const bytes = new Uint8Array(length).fill(7);
      assert.deepEqual(decode(binaryOf(bytes)), bytes);
    }
  });

  test("in a keyed set the subject says the key, not the header", () => {
    const headers = "NATS/1.0\r\nFw-Key: other\r\n\r\n";
    for (const [keyToken, key] of [
      ["EUR%2FUSD", "EUR/USD"],
      ["~", undefined],
      ["%", ""],
      ["%%hash", "other"],
      ["%zz", "%zz"],
    ] as const)
      assert.equal(read({ headers, keyToken }).content.key, key, keyToken);
    assert.equal(read({ keyToken: "%%hash" }).content.key, "%%hash");
    assert.equal(read({ keyToken: "%zz" }).counters.invalidKeys, 1);
  });

  test("a key longer than allowed is left out, and counted", () => {
    const { content, counters } = read({ headers: `NATS/1.0\r\nFw-Key: ${"x".repeat(129)}\r\n\r\n` });
    assert.equal(content.key, undefined);
    assert.equal(counters.invalidKeys, 1);
  });
});

function read(message: Partial<StoredMessage>) {
  const counters = { invalidData: 0, invalidKeys: 0 };
  const whole: StoredMessage = {
    sequence: 1,
    storedMs: undefined,
    headers: "",
    data: Buffer.from("1"),
    roomToken: "chat~a",
    keyToken: undefined,
    ...message,
  };
  return { content: contentOf(ROOM, whole, limits, counters, NOW), counters };
}
