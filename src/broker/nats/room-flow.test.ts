import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoom } from "../../protocol/room-name.js";
import { type FlowTools, RoomFlow } from "./flow.js";
import type { OpenRoom } from "./open-room.js";
import type { RoomPlace } from "./room-reader.js";

const MAX_AGE_MS = 300_000;

/** A room's flow with a clock of the test's, and all that it told. */
class Rig {
  readonly told: string[] = [];
  readonly flow: RoomFlow;
  nowMs = 1_000_000;

  constructor() {
    const stream = {
      name: "FW_0",
      epoch: "e",
      seen: 10,
      see: () => {},
      anchors: { note: () => {} },
      info: { maxAgeMs: MAX_AGE_MS },
    };
    const room = {
      stream,
      start: () => {},
      deliver: ({ sequence }: { readonly sequence: number }) => this.told.push(`${sequence}`),
      reset: (_head: number, reason: string) => this.told.push(reason),
    } as unknown as OpenRoom;
    const tools = {
      limits: { queueMessages: 10, readBatch: 10 },
      counters: { knownMessages: 0, holes: 0, queueOverflows: 0, reads: 0, sweptHoles: 0 },
      gate: { run: (work: () => unknown) => work() },
      nowMs: () => this.nowMs,
      wait: async () => {},
      onRepeat: () => {},
      onTrouble: () => {},
    } as unknown as FlowTools;
    const place = { room: parseRoom("a.b"), stream } as unknown as RoomPlace;
    this.flow = new RoomFlow(room, place, tools);
  }

  live(sequence: number, previous: number): void {
    const message = {
      sequence,
      previous,
      storedMs: this.nowMs,
      headers: "",
      data: new Uint8Array(1),
      roomToken: "a~b",
    };
    this.flow.receive(message as unknown as Parameters<RoomFlow["receive"]>[0]);
  }

  /** Sweeps that find nothing amiss, one every 30 seconds. */
  sweepFor(ms: number, head: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += 30_000;
      const isExpired = this.nowMs > 1_000_000 + MAX_AGE_MS;
      this.flow.check(isExpired ? 0 : head, head);
    }
  }
}

test("a last message that expires while sweeps see that nothing came is no loss", () => {
  const rig = new Rig();
  rig.flow.open(5, 5);
  rig.live(10, 5);
  rig.sweepFor(2 * MAX_AGE_MS, 10);
  rig.live(20, 0);
  assert.deepEqual(rig.told, ["10", "20"]);
});

test("who was cut off for longer than messages are kept is told, since one may have come and gone", () => {
  const rig = new Rig();
  rig.flow.open(5, 5);
  rig.live(10, 5);
  rig.nowMs += 2 * MAX_AGE_MS;
  rig.flow.check(0, 10);
  rig.live(20, 0);
  assert.deepEqual(rig.told, ["10", "purged", "20"]);
});

test("the same without a sweep before the next message", () => {
  const rig = new Rig();
  rig.flow.open(5, 5);
  rig.live(10, 5);
  rig.nowMs += 2 * MAX_AGE_MS;
  rig.live(20, 0);
  assert.deepEqual(rig.told, ["10", "purged", "20"]);
});

test("a purge is told at once", () => {
  const rig = new Rig();
  rig.flow.open(5, 5);
  rig.live(10, 5);
  rig.nowMs += 1_000;
  rig.flow.check(0, 10);
  assert.deepEqual(rig.told, ["10", "purged"]);
});
