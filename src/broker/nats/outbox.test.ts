import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CodedError } from "../../protocol/errors.js";
import { Outbox, type OutboxLimits, type Parcel } from "./outbox.js";

const LIMITS: OutboxLimits = {
  outboxMessages: 10,
  outboxBytes: 100_000,
  windowMessages: 3,
  windowBytes: 100_000,
  ackMs: 1_000,
  publishMs: 5_000,
  awayMs: 2_000,
};

/** Makes a parcel's size in the outbox 200 more than its data. */
const ENVELOPE = 100;

class Rig {
  readonly counters = { retriedPublishes: 0, refusedPublishes: 0, publishHolds: 0 };
  readonly outbox: Outbox<string>;
  nowMs = 1_000_000;

  constructor(limits: Partial<OutboxLimits> = {}) {
    this.outbox = new Outbox({ ...LIMITS, ...limits }, this.counters);
  }

  add(name: string, stream = "S", bytes = 1): void {
    const parcel: Parcel = { command: new Uint8Array(bytes + ENVELOPE), payloadBytes: bytes, stream };
    this.outbox.add(parcel, name, this.nowMs);
  }

  /** Names of what is sent now. */
  sent(): string[] {
    const names: string[] = [];
    for (
      let entry = this.outbox.next(this.nowMs);
      entry !== undefined;
      entry = this.outbox.next(this.nowMs)
    ) {
      names.push(entry.waiter);
      this.tokens.set(entry.waiter, entry.token);
    }
    return names;
  }

  readonly tokens = new Map<string, number>();

  token(name: string): number {
    return this.tokens.get(name) ?? -1;
  }

  acknowledge(name: string): string | undefined {
    return this.outbox.acknowledged(this.token(name), false)?.waiter;
  }

  given(): string[] {
    return this.outbox.tick(this.nowMs).map(({ entry, error }) => `${entry.waiter}: ${error.message}`);
  }
}

describe("the outbox", () => {
  test("sends in order, as many at once as the window has", () => {
    const rig = new Rig();
    for (const name of ["a", "b", "c", "d", "e"]) rig.add(name);
    assert.deepEqual(rig.sent(), ["a", "b", "c"]);
    assert.equal(rig.acknowledge("a"), "a");
    assert.deepEqual(rig.sent(), ["d"]);
    assert.equal(rig.acknowledge("a"), undefined);
    assert.equal(rig.outbox.size, 4);
  });

  test("bytes on their way are bounded too", () => {
    const rig = new Rig({ windowBytes: 1_000 });
    for (const name of ["a", "b", "c"]) rig.add(name, "S", 900);
    assert.deepEqual(rig.sent(), ["a"]);
  });

  test("a busy stream does not keep the others waiting for longer than its turn", () => {
    const rig = new Rig({ outboxMessages: 100, windowMessages: 36 });
    for (let number = 0; number < 40; number += 1) rig.add(`a${number}`, "A");
    for (const name of ["b1", "b2"]) rig.add(name, "B");
    const first = Array.from({ length: 32 }, (_, number) => `a${number}`);
    assert.deepEqual(rig.sent(), [...first, "b1", "b2", "a32", "a33"]);
    for (const name of ["a0", "a1"]) rig.acknowledge(name);
    rig.add("b3", "B");
    assert.deepEqual(rig.sent(), ["a34", "a35"], "its second turn goes on");
  });

  test("what is not acknowledged is sent again, the oldest first, after a pause", () => {
    const rig = new Rig();
    for (const name of ["a", "b", "c"]) rig.add(name);
    rig.sent();
    rig.outbox.failed(rig.token("b"), rig.nowMs);
    rig.outbox.failed(rig.token("a"), rig.nowMs);
    rig.add("d");
    assert.deepEqual(rig.sent(), []);
    rig.acknowledge("c");
    assert.deepEqual(rig.sent(), []);
    rig.nowMs += 100;
    assert.deepEqual(rig.sent(), ["a"], "alone, until it is known that there is a leader");
    rig.nowMs += 1_000;
    rig.outbox.tick(rig.nowMs);
    assert.deepEqual(rig.sent(), []);
    rig.nowMs += 1_000;
    assert.deepEqual(rig.sent(), ["a"]);
    rig.acknowledge("a");
    assert.deepEqual(rig.sent(), ["b", "d"]);
    assert.equal(rig.counters.retriedPublishes, 3);
    assert.equal(rig.counters.publishHolds, 1);
  });

  test("one that was overtaken was lost: what is left waits for it", () => {
    const rig = new Rig();
    for (const name of ["a", "b", "c"]) rig.add(name);
    rig.sent();
    rig.add("d");
    rig.acknowledge("b");
    assert.deepEqual(rig.sent(), []);
    rig.acknowledge("c");
    rig.nowMs += 500;
    rig.outbox.tick(rig.nowMs);
    assert.deepEqual(rig.sent(), ["a"]);
    rig.acknowledge("a");
    assert.deepEqual(rig.sent(), ["d"]);
  });

  test("a duplicate overtakes, since the server knows it at once", () => {
    const rig = new Rig();
    for (const name of ["a", "b"]) rig.add(name);
    rig.sent();
    rig.outbox.acknowledged(rig.token("b"), true);
    rig.add("c");
    assert.deepEqual(rig.sent(), ["c"]);
  });

  test("nothing follows one that is late, and all goes on when it comes", () => {
    const rig = new Rig();
    rig.add("a");
    rig.sent();
    rig.nowMs += 250;
    rig.outbox.tick(rig.nowMs);
    for (const name of ["b", "c"]) rig.add(name);
    assert.deepEqual(rig.sent(), []);
    rig.acknowledge("a");
    assert.deepEqual(rig.sent(), ["b", "c"]);
    assert.equal(rig.counters.retriedPublishes, 0);
  });

  test("after news of another leader what is on its way is waited for", () => {
    const rig = new Rig();
    rig.add("a");
    rig.sent();
    rig.outbox.leaderChanged("S");
    rig.add("b");
    assert.deepEqual(rig.sent(), []);
    rig.nowMs += 500;
    rig.outbox.tick(rig.nowMs);
    assert.deepEqual(rig.sent(), ["a"]);
    rig.acknowledge("a");
    assert.deepEqual(rig.sent(), ["b"]);
  });

  test("a stream without a leader pauses, the others go on", () => {
    const rig = new Rig();
    rig.add("a1", "A");
    rig.sent();
    rig.outbox.failed(rig.token("a1"), rig.nowMs);
    rig.add("a2", "A");
    rig.add("b1", "B");
    assert.deepEqual(rig.sent(), ["b1"]);
  });

  test("an answer to an earlier try counts", () => {
    const rig = new Rig();
    rig.add("a");
    rig.sent();
    rig.outbox.failed(rig.token("a"), rig.nowMs);
    assert.equal(rig.acknowledge("a"), "a");
    rig.nowMs += 10_000;
    assert.deepEqual(rig.sent(), []);
    assert.deepEqual(rig.given(), []);
    assert.equal(rig.outbox.size, 0);
  });

  test("at its deadline a publish is given up, saying whether it may have been stored", () => {
    const rig = new Rig({ windowMessages: 1 });
    rig.add("a");
    rig.add("b");
    rig.sent();
    rig.nowMs += 4_999;
    assert.deepEqual(rig.given(), []);
    rig.nowMs += 1;
    assert.deepEqual(rig.given(), [
      "a: NATS did not acknowledge it in time; it is not known whether it was stored",
      "b: NATS did not acknowledge it in time; not stored: it was never sent",
    ]);
    assert.equal(rig.outbox.size, 0);
    assert.deepEqual(rig.sent(), []);
  });

  test("without a connection nothing is sent; with the next one all of it, in order", () => {
    const rig = new Rig();
    for (const name of ["a", "b", "c", "d"]) rig.add(name);
    rig.sent();
    rig.acknowledge("b");
    rig.outbox.disconnected(rig.nowMs);
    rig.nowMs += 1_000;
    rig.add("e");
    assert.deepEqual(rig.sent(), []);
    rig.outbox.reconnected();
    assert.deepEqual(rig.sent(), ["a"], "alone, until it is known that there is a leader");
    rig.acknowledge("a");
    assert.deepEqual(rig.sent(), ["c", "d", "e"]);
  });

  test("refuses at its bounds, and at once when NATS has been away for a while", () => {
    const refused = (rig: Rig, text: RegExp): void =>
      assert.throws(
        () => rig.add("x"),
        (error) => error instanceof CodedError && error.code === "unavailable" && text.test(error.message),
      );
    const full = new Rig({ outboxMessages: 1 });
    full.add("a");
    refused(full, /1 publishes wait/);
    const large = new Rig({ outboxBytes: 300 });
    large.add("a");
    refused(large, /300 bytes wait/);
    const away = new Rig();
    away.outbox.disconnected(away.nowMs);
    away.nowMs += 1_999;
    away.add("a");
    away.nowMs += 1;
    refused(away, /NATS is away/);
    assert.equal(away.counters.refusedPublishes, 1);
    away.outbox.reconnected();
    away.add("b");
  });

  test("what the server refuses for good is not sent again", () => {
    const rig = new Rig();
    rig.add("a");
    rig.sent();
    assert.equal(rig.outbox.refused(rig.token("a"))?.waiter, "a");
    assert.equal(rig.outbox.size, 0);
    rig.nowMs += 10_000;
    assert.deepEqual(rig.given(), []);
  });

  test("the end gives up everything", () => {
    const rig = new Rig({ windowMessages: 1 });
    for (const name of ["a", "b"]) rig.add(name);
    rig.sent();
    assert.deepEqual(
      rig.outbox.clear().map(({ entry }) => entry.waiter),
      ["a", "b"],
    );
    assert.equal(rig.outbox.size, 0);
  });
});
