import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { room as anyRoom, wellFormedText } from "../../protocol/values.testkit.js";
import {
  decodeKey,
  decodeRoom,
  encodeKey,
  encodeRoom,
  percentDecode,
  percentEncode,
  Subjects,
  setName,
} from "./subjects.js";

const PLAIN = setName("", false);
const KEYED = setName("", true);
const subjects = new Subjects("fw", 64);
/** One token of a NATS subject that is no wildcard: what the server's own checks allow, and short enough for its lines. */
const TOKEN = /^[\x21-\x7e]{1,250}$/;

function isToken(text: string): boolean {
  return TOKEN.test(text) && !/[.*>\s]/.test(text);
}

describe("rooms", () => {
  test("every room is one token of a subject, and comes back", () => {
    fc.assert(
      fc.property(anyRoom, (room) => {
        const token = encodeRoom(room);
        assert.ok(isToken(token), token);
        assert.equal(decodeRoom(token), room);
      }),
    );
  });

  test("no two rooms share a token", () => {
    fc.assert(
      fc.property(anyRoom, anyRoom, (one, other) => {
        assert.equal(encodeRoom(one) === encodeRoom(other), one === other);
      }),
    );
  });

  test("what nobody encodes is no room", () => {
    for (const token of ["", "~", "a~~b", "~a", "a~", "a.b", "*", ">", "a%20b", "a b", "ü", "x".repeat(129)])
      assert.equal(decodeRoom(token), undefined, JSON.stringify(token));
  });

  test("partitions are those that the server's mapping function gives", () => {
    // `{{partition(64,1)}}` of nats-server 2.9.10, 2.10.27 and 2.15.1.
    assert.equal(subjects.partitionOf("market~fx"), 27);
    const whole = new Subjects("fw", 1);
    assert.equal(whole.partitionOf("market~fx"), 0);
  });

  test("rooms of one namespace spread evenly", () => {
    const counts = new Array<number>(64).fill(0);
    for (let index = 0; index < 10_000; index += 1) {
      const partition = subjects.partitionOf(encodeRoom(parseRoom(`chat.room-${index}`)));
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    // 156 are expected, with a deviation of 12.
    assert.ok(
      Math.min(...counts) > 90 && Math.max(...counts) < 230,
      `${Math.min(...counts)}-${Math.max(...counts)}`,
    );
  });
});

describe("keys", () => {
  const key = wellFormedText(0, 1_024);

  test("every key is one token, and comes back unless it is long", () => {
    fc.assert(
      fc.property(
        fc.oneof(key, fc.constantFrom("", "*", ">", "a.b", "~", "%", "%%", "\r\n\0", "späße 🦊")),
        (text) => {
          const token = encodeKey(text);
          assert.ok(isToken(token), JSON.stringify(token));
          const decoded = decodeKey(token);
          if (percentEncode(text).length <= 200) assert.deepEqual(decoded, { key: text });
          else assert.equal(decoded, "hashed");
        },
      ),
    );
  });

  test("no two keys share a token, and no key is the absence of one", () => {
    fc.assert(
      fc.property(key, key, (one, other) => {
        assert.equal(encodeKey(one) === encodeKey(other), one === other);
        assert.notEqual(encodeKey(one), encodeKey(undefined));
      }),
    );
    assert.equal(decodeKey(encodeKey(undefined)), "none");
  });

  test("a token that no key has is bad, also where it could be decoded", () => {
    for (const token of ["%41", "%e4", "%C3", "a~b", "%zz", "a%", "ü", "x".repeat(201).concat("%20")])
      assert.equal(decodeKey(token), "bad", token);
  });

  test("percent encoding is undone, and refuses what it never makes", () => {
    fc.assert(fc.property(key, (text) => assert.equal(percentDecode(percentEncode(text)), text)));
    for (const text of ["%zz", "%c3%a4", "%C3", "a b", "ü", "%"])
      assert.equal(percentDecode(text), undefined, text);
  });
});

describe("subjects", () => {
  const room: RoomName = parseRoom("market.fx");

  test("a room has one place to be published to, and one to be heard at", () => {
    assert.equal(subjects.stored(PLAIN, room, "ignored"), "fw.in.27.market~fx");
    assert.equal(subjects.stored(KEYED, room, "EUR/USD"), "fw.key.27.market~fx.EUR%2FUSD");
    assert.equal(subjects.stored(KEYED, room, undefined), "fw.key.27.market~fx.~");
    assert.equal(subjects.live(PLAIN, 27, "market~fx"), "fw.live.27.market~fx");
    assert.equal(subjects.filter(KEYED, 27, "market~fx"), "fw.key.27.market~fx.*");
    assert.equal(subjects.ephemeral(room), "fw.eph.27.market~fx");
  });

  test("a partition has one stream, whose live messages cannot be taken for stored ones", () => {
    assert.equal(subjects.stream(PLAIN, 3), "FW_3");
    assert.equal(subjects.stream(KEYED, 3), "FW_KEY_3");
    assert.equal(subjects.storedIn(PLAIN, 3), "fw.in.3.*");
    assert.equal(subjects.storedIn(KEYED, 3), "fw.key.3.*.*");
    assert.equal(subjects.liveIn(PLAIN, 3), "fw.live.3.*");
    assert.equal(subjects.liveIn(KEYED, 3), "fw.livekey.3.*.*");
    assert.equal(subjects.controlStream, "FW_CTL");
    assert.equal(subjects.revokedStream, "FW_REVOKED");
  });

  test("a set of its own has its own streams and subjects", () => {
    const ticks = setName("ticks", true);
    assert.equal(subjects.stream(ticks, 3), "FW_KEY_TICKS_3");
    assert.equal(subjects.stored(ticks, room, "k"), "fw.key-ticks.27.market~fx.k");
    assert.equal(subjects.liveIn(setName("ticks", false), 3), "fw.live-ticks.3.*");
  });

  test("names that would collide or not be valid are refused", () => {
    for (const prefix of ["", "FW", "1a", "a.b", "a*", "x".repeat(17)])
      assert.throws(() => new Subjects(prefix, 1), RangeError, prefix);
    for (const partitions of [0, 1.5, -1, 1_025, Number.NaN])
      assert.throws(() => new Subjects("fw", partitions), RangeError, String(partitions));
    for (const name of ["key", "ctl", "A", "a-b", "."])
      assert.throws(() => setName(name, false), RangeError, name);
  });
});
