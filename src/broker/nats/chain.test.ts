import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Chain, type ChainPort } from "./chain.js";

interface Item {
  readonly sequence: number;
  readonly previous: number;
}

/** A chain whose every effect is written down. */
class Rig implements ChainPort<Item, Item> {
  readonly counters = { knownMessages: 0, holes: 0, queueOverflows: 0 };
  readonly chain: Chain<Item>;
  readonly log: string[] = [];
  expired = false;

  constructor(dense = false, queueMax = 5) {
    this.chain = new Chain<Item>(this, this.counters, queueMax, dense);
  }

  deliver({ sequence }: Item, prev: number): void {
    this.log.push(`${prev}→${sequence}`);
  }
  repair(): void {
    this.log.push("repair");
  }
  isExpiry(): boolean {
    return this.expired;
  }
  reset(head: number, reason: string): void {
    this.log.push(`${reason} ${head}`);
  }

  /** Live messages, each as [sequence, previous]. */
  live(...items: readonly (readonly [number, number])[]): this {
    for (const [sequence, previous] of items) this.chain.receive({ sequence, previous });
    return this;
  }

  /** What was read back. */
  read(upTo: number, ...sequences: readonly number[]): this {
    this.chain.repaired(
      sequences.map((sequence) => ({ sequence, previous: -1 })),
      upTo,
    );
    return this;
  }

  open(last: number, isMessage = true): this {
    this.chain.open(last, isMessage);
    return this;
  }
}

describe("one room's chain", () => {
  test("messages that follow one another are delivered at once", () => {
    const rig = new Rig().open(0, false).live([3, 0], [5, 3], [9, 5]);
    assert.deepEqual(rig.log, ["0→3", "3→5", "5→9"]);
  });

  test("what comes before the baseline is known waits, and what the baseline has is dropped", () => {
    const rig = new Rig().live([3, 0], [5, 3], [9, 5]).open(5);
    assert.deepEqual(rig.log, ["5→9"]);
    rig.live([9, 5]);
    assert.equal(rig.counters.knownMessages, 1);
  });

  test("a hole is read back before anything later is delivered", () => {
    const rig = new Rig().open(1).live([7, 5], [8, 7]);
    assert.deepEqual(rig.log, ["repair"]);
    assert.equal(rig.chain.goal, 5);
    rig.read(5, 3, 5);
    assert.deepEqual(rig.log, ["repair", "1→3", "3→5", "5→7", "7→8"]);
    assert.equal(rig.chain.state, "live");
    assert.equal(rig.counters.holes, 1);
  });

  test("a hole behind the hole is read back too", () => {
    const rig = new Rig().open(1).live([5, 3], [9, 7]).read(3, 3);
    assert.deepEqual(rig.log, ["repair", "1→3", "3→5", "repair"]);
    rig.read(9, 7, 9);
    assert.deepEqual(rig.log.slice(4), ["5→7", "7→9"]);
  });

  test("a page that does not reach the goal keeps the chain waiting", () => {
    const rig = new Rig().open(0, false).live([9, 7]).read(3, 1, 3);
    assert.equal(rig.chain.state, "repairing");
    rig.read(7, 5, 7);
    assert.deepEqual(rig.log, ["repair", "0→1", "1→3", "3→5", "5→7", "7→9"]);
  });

  test("what was read back beyond the goal is not delivered twice", () => {
    const rig = new Rig().open(1).live([5, 3], [7, 5]).read(7, 3, 5, 7);
    assert.deepEqual(rig.log, ["repair", "1→3", "3→5", "5→7"]);
    rig.live([9, 7]);
    assert.equal(rig.log.at(-1), "7→9");
  });

  test("around an election later messages may come first", () => {
    const rig = new Rig().open(1).live([5, 3], [3, 1], [7, 5]).read(3, 3);
    assert.deepEqual(rig.log, ["repair", "1→3", "3→5", "5→7"]);
  });

  test("too many that wait are forgotten and read back as well", () => {
    const rig = new Rig(false, 2).open(1).live([5, 3], [7, 5], [9, 7]);
    assert.equal(rig.counters.queueOverflows, 3);
    assert.equal(rig.chain.goal, 9);
    rig.live([11, 9]).read(5, 3, 5);
    assert.equal(rig.chain.state, "repairing");
    rig.read(9, 7, 9);
    assert.deepEqual(rig.log, ["repair", "1→3", "3→5", "5→7", "7→9", "9→11"]);
  });

  test("too many before the baseline are read back from there", () => {
    const rig = new Rig(false, 1).live([3, 1], [5, 3]).open(1);
    assert.deepEqual(rig.log, ["repair"]);
    rig.read(5, 3, 5);
    assert.deepEqual(rig.log, ["repair", "1→3", "3→5"]);
  });

  test("a message that is known of from elsewhere is read back", () => {
    const rig = new Rig().open(1);
    rig.chain.exists(1);
    assert.deepEqual(rig.log, []);
    rig.chain.exists(3);
    rig.chain.exists(5);
    rig.live([7, 5]).read(3, 3);
    assert.equal(rig.chain.state, "repairing");
    rig.read(5, 5);
    assert.deepEqual(rig.log, ["repair", "1→3", "3→5", "5→7"]);
  });

  test("where the past is gone it is told, and what waits goes on behind it", () => {
    const rig = new Rig().open(1).live([7, 5], [9, 7]);
    rig.chain.lost(7, "expired");
    assert.deepEqual(rig.log, ["repair", "expired 7", "7→9"]);
  });

  test("a last message that is gone though it is not old was purged, and that is told", () => {
    const rig = new Rig().open(5).live([9, 0], [11, 9]);
    assert.deepEqual(rig.log, ["purged 8", "8→9", "9→11"]);
    const old = new Rig().open(5);
    old.expired = true;
    assert.deepEqual(old.live([9, 0]).log, ["5→9"]);
  });

  test("a place at which there is no message cannot be purged", () => {
    assert.deepEqual(new Rig().open(5, false).live([9, 0]).log, ["5→9"]);
    const quiet = new Rig().open(5, false);
    quiet.chain.purged();
    assert.deepEqual(quiet.log, []);
    const heard = new Rig().open(5);
    heard.chain.purged();
    heard.chain.purged();
    assert.deepEqual(heard.log, ["purged 5"]);
  });

  test("a new numbering begins where it is told, and what waited is forgotten", () => {
    const rig = new Rig().open(50).live([60, 55], [61, 60]);
    rig.chain.restart(4);
    assert.deepEqual(rig.log, ["repair", "epoch 4"]);
    rig.read(55, 55);
    rig.live([5, 3], [6, 5]);
    assert.deepEqual(rig.log, ["repair", "epoch 4", "4→5", "5→6"]);
  });
});

describe("a stream's chain", () => {
  test("every number is of it, and what is not kept is passed over", () => {
    const rig = new Rig(true).open(4, true).live([5, 4], [9, 8]);
    assert.deepEqual(rig.log, ["4→5", "repair"]);
    rig.read(8, 7);
    assert.equal(rig.chain.last, 9);
    assert.deepEqual(rig.log, ["4→5", "repair", "5→7", "8→9"]);
    rig.live([10, 9]);
    assert.equal(rig.log.at(-1), "9→10");
  });

  test("a number known of from elsewhere is a place, reached when all up to it was read", () => {
    const rig = new Rig(true).open(4);
    rig.chain.exists(9);
    rig.read(9, 6);
    assert.equal(rig.chain.state, "live");
    assert.equal(rig.chain.last, 9);
    assert.deepEqual(rig.live([10, 9]).log, ["repair", "4→6", "9→10"]);
  });
});
