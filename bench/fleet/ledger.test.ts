import assert from "node:assert/strict";
import { test } from "node:test";
import { Ledger } from "./ledger.js";

const PLAN = { rooms: 2, roomsEach: 2, shared: false };

test("a flow in order passes; a hole, a duplicate and disorder tell what came before", () => {
  const ledger = new Ledger(2, PLAN);
  ledger.begin(1, 0, "e", 4);
  assert.equal(ledger.take(1, 0, 9, 4), undefined);
  assert.equal(ledger.take(1, 0, 9, 4), 9, "duplicate");
  assert.equal(ledger.take(1, 0, 12, 11), 9, "hole");
  assert.equal(ledger.take(1, 0, 11, 12), 12, "disorder");
  assert.equal(ledger.take(0, 0, 1, 0), -1, "before any subscription");
});

test("a position is that of the last message, or where the subscription began, in its epoch", () => {
  const ledger = new Ledger(1, PLAN);
  assert.equal(ledger.position(0, 0), undefined);
  assert.equal(ledger.begin(0, 0, "one", 0), false, "the first time there is nowhere to be");
  assert.deepEqual(ledger.position(0, 0), ["one", 0]);
  ledger.take(0, 0, 7, 0);
  assert.deepEqual(ledger.position(0, 0), ["one", 7]);
  assert.equal(ledger.begin(0, 0, "one", 7), true);
  assert.equal(ledger.begin(0, 0, "one", 9), false);
  assert.equal(ledger.begin(0, 0, "two", 9), false);
  assert.deepEqual(ledger.position(0, 0), ["two", 9]);
  assert.equal(ledger.position(0, 1), undefined, "another room's");
});

test("where the flow began may lie behind the room's last message, but only for the first that follows", () => {
  const ledger = new Ledger(1, PLAN);
  ledger.begin(0, 0, "e", 8);
  assert.equal(ledger.take(0, 0, 9, 5), undefined);
  assert.equal(ledger.take(0, 0, 12, 5), 9);
  ledger.begin(0, 0, "e", 8);
  assert.equal(ledger.take(0, 0, 12, 9), 8, "a hole at the beginning");
  ledger.begin(0, 0, "e", 8);
  assert.equal(ledger.take(0, 0, 8, 5), 8, "known before it began");
});

test("behind is who is not at a known head", () => {
  const ledger = new Ledger(2, PLAN);
  for (const connection of [0, 1]) for (const slot of [0, 1]) ledger.begin(connection, slot, "e", 0);
  ledger.take(0, 0, 3, 0);
  assert.equal(
    ledger.behind(2, (_, slot) => (slot === 0 ? 3 : undefined)),
    1,
  );
  assert.equal(
    ledger.behind(2, (_, slot) => (slot === 0 ? 3 : 0)),
    1,
  );
  assert.equal(
    ledger.behind(1, () => 0),
    1,
  );
});
