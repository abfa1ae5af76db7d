import assert from "node:assert/strict";
import { test } from "node:test";
import { type Verdict, verdictOf } from "./pass-verdict.js";
import type { HistoryBounds } from "./room-reader.js";
import type { StoredMessage } from "./stored-message.js";
import type { Passed, PassedRoom } from "./stream-pass.js";
import type { StreamInfo } from "./streams.js";

const NOW_MS = 1_000_000;
const BOUNDS: HistoryBounds = { messages: 5, maxAgeMs: 60_000 };
const MESSAGES_MIN = 8;

function stored(sequence: number, storedMs = NOW_MS): StoredMessage {
  return { sequence, storedMs, headers: "", data: new Uint8Array(), roomToken: "r", keyToken: undefined };
}

function room(after: number, sequences: readonly number[], count = sequences.length): PassedRoom {
  return {
    after,
    messages: sequences.map((sequence) => stored(sequence)),
    count,
    last: sequences.at(-1) ?? 0,
  };
}

/** A pass over a stream of 1 to 100 of which nothing below `first` is kept, with a hole below `unbrokenFrom`. */
function passed({ first = 1, last = 100, unbrokenFrom = 90 } = {}): Passed {
  const info = { firstSequence: first, lastSequence: 100 } as StreamInfo;
  const now = { firstSequence: first, lastSequence: last } as StreamInfo;
  return { before: info, now, upTo: 100, unbrokenFrom, rooms: new Map() };
}

function verdict(after: number, met: PassedRoom, pass: Passed = passed(), bounds = BOUNDS): Verdict {
  return verdictOf(after, met, pass, bounds, MESSAGES_MIN, NOW_MS);
}

test("all is there, unless the room was purged, where so few follow that the bound on a room's messages took none", () => {
  assert.equal(verdict(50, room(50, [60, 70])), "counted");
  assert.equal(verdict(60, room(50, [60, 70])), "counted");
  assert.equal(verdict(50, room(50, [])), "counted");
});

test("more than the room's history follow: expired for that position, not for a later one", () => {
  const met = room(50, [51, 60, 61, 70, 71, 80]);
  assert.equal(verdict(50, met), "expired");
  assert.equal(verdict(51, met), "counted");
});

test("what lies below the stream's first is gone, unless it was met with before it went", () => {
  assert.equal(verdict(50, room(50, [60]), passed({ first: 52 })), "expired");
  assert.equal(verdict(51, room(50, [60]), passed({ first: 52 })), "counted");
  assert.equal(verdict(50, room(50, [60]), passed({ first: 52, unbrokenFrom: 50 })), "whole");
});

test("where newer ones may have taken older ones before they were met with, it is not known", () => {
  const met = room(50, [60, 70]);
  assert.equal(verdict(50, met, passed({ last: 105 })), "counted");
  assert.equal(verdict(50, met, passed({ last: 106 })), "unknown");
  assert.equal(verdict(50, met, passed({ last: 106, unbrokenFrom: 50 })), "whole");
  // Those that were counted but not kept count as well.
  const many = { ...BOUNDS, messages: 20 };
  assert.equal(verdict(50, room(50, [60, 70], 7), passed(), many), "counted");
  assert.equal(verdict(50, room(50, [60, 70], 8), passed(), many), "unknown");
});

test("a position that the stream has not come to is of another numbering", () => {
  assert.equal(verdict(100, room(50, [])), "whole");
  assert.equal(verdict(101, room(50, [])), "epoch");
});

test("the first that follows must not be older than the room's history", () => {
  const met = { ...room(50, []), messages: [stored(60, NOW_MS - 60_000), stored(70)], count: 2, last: 70 };
  assert.equal(verdict(50, met), "expired");
  assert.equal(verdict(60, met), "counted");
});
