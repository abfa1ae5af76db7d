import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoom } from "../../../protocol/room-name.js";
import type { Ask, FlowMessage, FlowPort, StreamFacts } from "./flow-port.js";
import type { FlowRoom } from "./flow-room.js";
import { LiveFlow } from "./live-flow.js";
import type { Partition } from "./partition.js";

const MAX_AGE_MS = 300_000;
/** Longer than all that follows a gap. */
const SETTLE_MS = 10_000;
const STEP_MS = 250;

interface Kept {
  readonly sequence: number;
  readonly storedMs: number;
}

/** The flow of one room, with a clock of the test's and a stream that answers at once what it is asked. */
class Rig implements FlowPort<FlowMessage> {
  readonly told: string[] = [];
  nowMs = 1_000_000;
  /** What the stream has of the room. */
  #kept: readonly Kept[];
  #last = 5;
  readonly #asks: Ask<FlowMessage>[] = [];
  readonly #flow: LiveFlow<FlowMessage>;
  readonly #partition: Partition<FlowMessage>;
  readonly #room: FlowRoom<FlowMessage>;

  constructor(isEmpty = false) {
    this.#kept = isEmpty ? [] : [{ sequence: 5, storedMs: this.nowMs }];
    this.#flow = new LiveFlow(this);
    const spec = {
      stream: "FW_0",
      whole: false,
      spread: false,
      messages: 1_000,
      ageMs: MAX_AGE_MS,
      trims: false,
    };
    this.#partition = this.#flow.partition(spec, this.nowMs);
    this.#flow.connected(this.nowMs);
    const sink = {
      opened: ({ offset }: { readonly offset: number }) => this.told.push(`opened ${offset}`),
      deliver: ({ sequence }: FlowMessage) => this.told.push(`${sequence}`),
      reset: (_head: unknown, reason: string) => this.told.push(reason),
      checkpoint: (sequence: number) => this.told.push(`to ${sequence}`),
    };
    const opening = { name: parseRoom("a.b"), token: "a~b", sink };
    this.#room = this.#flow.open(this.#partition, opening, this.nowMs);
    this.pass(SETTLE_MS);
  }

  /** The next one is stored. */
  store(sequence: number): this {
    this.#kept = [...this.#kept, { sequence, storedMs: this.nowMs }];
    this.#last = sequence;
    return this;
  }

  /** It is, and comes live. */
  live(sequence: number, previous: number): this {
    this.store(sequence);
    this.#flow.live(this.#room, { sequence }, previous, this.nowMs);
    return this;
  }

  /** It was acknowledged elsewhere. */
  exists(sequence: number): this {
    this.#flow.exists(this.#room, sequence, this.nowMs);
    return this;
  }

  storeElsewhere(): void {
    this.#last += 1;
  }

  purge(): void {
    this.#kept = [];
  }

  elect(): void {
    this.#flow.leaderChanged(this.#partition, this.nowMs);
  }

  /** Time passes without a word from NATS. */
  cutOff(ms: number): void {
    this.#flow.disconnected();
    this.nowMs += ms;
    this.#flow.tick(this.nowMs);
  }

  back(): void {
    this.#flow.connected(this.nowMs);
  }

  /** Time passes, with all the sweeps and answers that belong to it. */
  pass(ms: number): this {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += STEP_MS;
      this.#flow.tick(this.nowMs);
      for (let ask = this.#asks.shift(); ask !== undefined; ask = this.#asks.shift()) this.#answer(ask);
    }
    return this;
  }

  ask(ask: Ask<FlowMessage>): void {
    this.#asks.push(ask);
  }
  subscribe(): void {}
  unsubscribe(): void {}
  suspect(): void {}
  purged(): void {}
  keep(message: FlowMessage): FlowMessage {
    return message;
  }
  size(): number {
    return 1;
  }
  mark({ sequence }: FlowMessage): number {
    return sequence;
  }

  #answer(ask: Ask<FlowMessage>): void {
    this.#kept = this.#kept.filter(({ storedMs }) => this.nowMs - storedMs < MAX_AGE_MS);
    const kept = this.#kept.map(({ sequence }) => sequence);
    // Nothing else is in the stream.
    const facts: StreamFacts = { epoch: "e", first: kept[0] ?? this.#last + 1, upTo: this.#last };
    const message = (sequence: number) => (kept.includes(sequence) ? { sequence } : undefined);
    if (ask.kind === "heads") {
      const head = kept.at(-1);
      const heads = new Map(head === undefined ? [] : ask.rooms.map(({ token }) => [token, head]));
      const anchors = ask.anchors.flatMap((sequence) => message(sequence) ?? []);
      this.#flow.heads(ask.id, { ...facts, heads, anchors, last: message(this.#last) }, this.nowMs);
    } else if (ask.kind === "page") {
      const messages = kept.filter((one) => one > ask.after).map((sequence) => ({ sequence }));
      const anchor = message(ask.anchor);
      this.#flow.page(ask.id, { ...facts, anchor, messages, more: false }, this.nowMs);
    }
  }
}

test("a last message that expires while sweeps see that nothing came is no loss", () => {
  const rig = new Rig().live(10, 5).pass(2 * MAX_AGE_MS);
  rig.live(11, 0).pass(SETTLE_MS);
  assert.deepEqual(rig.told, ["opened 5", "10", "11"]);
});

test("who was cut off for longer than messages are kept is told, since one may have come and gone", () => {
  const rig = new Rig().live(10, 5).pass(SETTLE_MS);
  rig.store(15).cutOff(2 * MAX_AGE_MS);
  rig.back();
  rig.pass(SETTLE_MS);
  assert.deepEqual(rig.told, ["opened 5", "10", "expired"]);
  rig.live(16, 0).pass(SETTLE_MS);
  assert.deepEqual(rig.told, ["opened 5", "10", "expired", "16"]);
});

test("the same where the next message comes before the first look", () => {
  const rig = new Rig().live(10, 5).pass(SETTLE_MS);
  rig.store(15).cutOff(2 * MAX_AGE_MS);
  rig.back();
  rig.live(20, 0);
  assert.deepEqual(rig.told, ["opened 5", "10"], "it waits until it is known what is missing");
  rig.pass(SETTLE_MS);
  assert.deepEqual(rig.told, ["opened 5", "10", "expired", "20"]);
});

test("who was cut off for as long while nothing was stored has missed nothing", () => {
  const rig = new Rig().live(10, 5).pass(SETTLE_MS);
  rig.cutOff(2 * MAX_AGE_MS);
  rig.back();
  rig.pass(SETTLE_MS).live(11, 0).pass(SETTLE_MS);
  assert.deepEqual(rig.told, ["opened 5", "10", "11"]);
});

test("a purge is told by the next sweep after anything else was stored", () => {
  const rig = new Rig().live(10, 5).pass(SETTLE_MS);
  rig.purge();
  rig.storeElsewhere();
  rig.elect();
  rig.pass(SETTLE_MS);
  assert.deepEqual(rig.told, ["opened 5", "10", "purged"]);
});

test("a message that was acknowledged and never came is read", () => {
  const rig = new Rig().live(10, 5).store(12).exists(12).pass(STEP_MS);
  assert.deepEqual(rig.told, ["opened 5", "10", "12"]);
});

test("a room of which nothing is kept stands where its stream does", () => {
  assert.deepEqual(new Rig(true).told, ["opened 5"]);
});
