import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../client/index.js";
import { describeResume, RoomLedger } from "./ledger.js";

/** Of a room whose offsets grow by one, unless it is said which one is before it. */
function message(offset: number, replayed = false, epoch = "e1", prev = Math.max(0, offset - 1)): Message {
  return {
    room: "market.fx",
    epoch,
    offset,
    prev,
    replayed,
    data: null,
    key: undefined,
    time: 0,
    reset: undefined,
  };
}

const at = (offset: number, epoch = "e1") => ({ epoch, offset });

/** A room that is live at offset 100 after a snapshot with holes. */
function liveLedger(): RoomLedger {
  const ledger = new RoomLedger("market.fx");
  ledger.subscribed({ position: at(100), recovered: false });
  for (const offset of [7, 40, 99]) ledger.message(message(offset, true));
  ledger.live(at(100));
  return ledger;
}

test("a snapshot's holes are none, those in the live flow's chain are counted", () => {
  const ledger = liveLedger();
  assert.equal(ledger.missing, 0);
  ledger.message(message(101));
  ledger.message(message(102));
  assert.equal(ledger.missing, 0);
  ledger.message(message(106));
  assert.equal(ledger.missing, 1);
  assert.deepEqual(ledger.position, at(106));
  assert.equal(ledger.received, 6);
});

test("numbers with holes are none in the chain, whatever broker numbers the room", () => {
  const ledger = liveLedger();
  ledger.message(message(250, false, "e1", 100));
  ledger.live(at(300));
  ledger.message(message(310, false, "e1", 250));
  assert.equal(ledger.missing, 0);
  ledger.message(message(340, false, "e1", 330));
  assert.equal(ledger.missing, 1);
});

test("a resume without a hole: from, to, replayed, none missing", () => {
  const ledger = liveLedger();
  ledger.message(message(101));
  ledger.broke();
  ledger.subscribed({ position: at(101), recovered: true });
  for (let offset = 102; offset <= 150; offset += 1) ledger.message(message(offset, true));
  assert.deepEqual(ledger.live(at(150)), {
    kind: "resumed",
    room: "market.fx",
    from: 101,
    to: 150,
    replayed: 49,
    missing: 0,
  });
  ledger.message(message(151));
  assert.equal(ledger.missing, 0);
});

test("a hole in the replay or at its start is missing", () => {
  for (const lost of [102, 120, 149]) {
    const ledger = liveLedger();
    ledger.message(message(101));
    ledger.broke();
    ledger.subscribed({ position: at(101), recovered: true });
    for (let offset = 102; offset <= 150; offset += 1)
      if (offset !== lost) ledger.message(message(offset, true));
    const resume = ledger.live(at(150));
    assert.equal(resume?.kind === "resumed" && resume.missing, 1, `without ${lost}`);
    assert.equal(ledger.missing, 1);
  }
});

test("a second break in the middle of a replay counts from where it stands", () => {
  const ledger = liveLedger();
  ledger.broke();
  ledger.subscribed({ position: at(100), recovered: true });
  ledger.message(message(101, true));
  ledger.broke();
  ledger.subscribed({ position: at(101), recovered: true });
  ledger.message(message(102, true));
  const resume = ledger.live(at(102));
  assert.equal(resume?.kind === "resumed" && resume.from, 101);
  assert.equal(ledger.missing, 0);
});

test("a reset tells both epochs, and the new numbering is checked from there", () => {
  const ledger = liveLedger();
  ledger.broke();
  const resume = ledger.reset({ reason: "epoch", position: at(5, "e2") });
  assert.deepEqual(resume, {
    kind: "lost",
    room: "market.fx",
    reason: "epoch",
    oldEpoch: "e1",
    newEpoch: "e2",
  });
  ledger.message(message(2, true, "e2"));
  ledger.live(at(5, "e2"));
  ledger.message(message(6, false, "e2"));
  assert.equal(ledger.missing, 0);
  ledger.message(message(8, false, "e2"));
  assert.equal(ledger.missing, 1);
});

test("a room without numbering is neither missing nor replayed", () => {
  const ledger = new RoomLedger("cursors.lobby");
  ledger.subscribed({ position: undefined, recovered: false });
  ledger.live(undefined);
  ledger.message(message(0, false, ""));
  ledger.broke();
  ledger.subscribed({ position: undefined, recovered: false });
  assert.deepEqual(ledger.live(undefined), { kind: "unnumbered", room: "cursors.lobby" });
  assert.equal(ledger.missing, 0);
});

test("the report names the first room and sums up the others", () => {
  const resumed = (room: string, replayed: number, missing = 0) =>
    ({ kind: "resumed", room, from: 48_211, to: 50_714, replayed, missing }) as const;
  assert.equal(
    describeResume(
      [resumed("market.fx", 2_503), resumed("host.cpu", 50), resumed("host.disk", 50)],
      "market.fx",
    ),
    "market.fx resumed from offset 48,211: 2,503 messages replayed, 0 missing · 2 other rooms: 100 replayed, 0 missing",
  );
  assert.equal(describeResume([], "market.fx"), "back, nothing to resume");
  const lost = { kind: "lost", room: "market.fx", reason: "epoch", oldEpoch: "a", newEpoch: "b" } as const;
  assert.match(
    describeResume([lost], "market.fx"),
    /1 room could not resume, the epoch changed .*: state fetched anew/,
  );
});

test("a conflated class skips without a hole, and every message counts again after it", () => {
  const ledger = liveLedger();
  ledger.message(message(101));
  ledger.subscribed({ position: at(101), recovered: true });
  ledger.message(message(110, true, "e1", 101));
  ledger.message(message(130, true, "e1", 110));
  ledger.live(at(140));
  ledger.message(message(150, false, "e1", 140));
  ledger.message(message(190, false, "e1", 150));
  assert.equal(ledger.missing, 0);
  ledger.subscribed({ position: at(190), recovered: true });
  for (const offset of [191, 192]) ledger.message(message(offset, true));
  ledger.live(at(192));
  ledger.message(message(194));
  assert.equal(ledger.missing, 1);
});
