import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { Broker, HistoryPage, Outgoing, Sink } from "../core/ports.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings, type SettingsOf } from "../core/settings.js";
import type { Position, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import { namespaceOf, parseRoom, type RoomName } from "../protocol/room-name.js";

/** Messages that the namespaces `log` and `keyed` keep a room. */
export const HISTORY_MESSAGES = 10;
/** Above the id window, which some brokers require. */
export const HISTORY_SECONDS = 300;

const KEPT = { messages: HISTORY_MESSAGES, seconds: HISTORY_SECONDS };
const NAMESPACES = {
  log: { ...DEFAULT_ROOM_SETTINGS, history: KEPT },
  keyed: { ...DEFAULT_ROOM_SETTINGS, history: KEPT, state: true },
  bare: { ...DEFAULT_ROOM_SETTINGS, history: { messages: 0, seconds: 0 } },
  eph: { ...DEFAULT_ROOM_SETTINGS, history: { messages: 0, seconds: 0 }, ephemeral: true },
} as const satisfies Record<string, RoomSettings>;
const BY_NAMESPACE: ReadonlyMap<string, RoomSettings> = new Map(Object.entries(NAMESPACES));
export type Namespace = keyof typeof NAMESPACES;

/** The settings that a fixture's broker must have. */
export const conformanceSettings: SettingsOf = (room) => {
  const namespace = namespaceOf(room);
  const settings = BY_NAMESPACE.get(namespace);
  if (settings === undefined) throw new Error(`the conformance suite has no namespace ${namespace}`);
  return settings;
};

/** One broker under test, made anew for every test, and what can be done to it from outside. */
export interface BrokerFixture {
  /** With {@link conformanceSettings}. Rooms of the tests have names that were never used. */
  readonly broker: Broker;
  /** Lets time pass for the broker. Left out: tests of age and of the id window are skipped. */
  readonly advanceMs?: (ms: number) => Promise<void>;
  /** Makes the numbering of a room that is not open start anew. Left out: that test is skipped. */
  readonly renew?: (room: RoomName) => Promise<void>;
  /** Makes open rooms lose continuity, this one at least, and returns when the broker can be used again. Left out: that test is skipped. */
  readonly loseContinuity?: (room: RoomName) => Promise<void>;
  /** The bound on keys of a room's state, where it is small enough to be reached. Left out: that test is skipped. */
  readonly keysPerRoom?: number;
  /** Anything awaited comes within this time. Default 5,000. */
  readonly deadlineMs?: number;
  /** Frees everything; the broker may have been stopped before. */
  dispose(): Promise<void>;
}

export type MakeFixture = () => Promise<BrokerFixture>;

/** Something that is told and can be waited for. */
export abstract class Witness {
  protected readonly deadlineMs: number;
  #wake: (() => void) | undefined;

  constructor(deadlineMs: number) {
    this.deadlineMs = deadlineMs;
  }

  protected wake(): void {
    this.#wake?.();
  }

  /** Resolves once it holds, looking again whenever something was told and now and then; fails at the deadline with what `told` says. */
  protected async holds(condition: () => boolean, told: () => string): Promise<void> {
    const deadline = performance.now() + this.deadlineMs;
    while (!condition()) {
      const leftMs = deadline - performance.now();
      assert.ok(leftMs > 0, `${told()} after ${this.deadlineMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(leftMs, 50));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** A sink that remembers everything and can be waited for. */
export class Collector extends Witness implements Sink {
  readonly messages: Message[] = [];
  readonly resets: { readonly room: RoomName; readonly head: Position; readonly reason: ResetReason }[] = [];
  readonly checkpoints: number[] = [];

  message(message: Message): void {
    this.messages.push(message);
    this.wake();
  }

  reset(room: RoomName, head: Position, reason: ResetReason): void {
    this.resets.push({ room, head, reason });
    this.wake();
  }

  checkpoint(_room: RoomName, offset: number): void {
    this.checkpoints.push(offset);
  }

  /** Resolves with all messages once there are at least so many, and at least so many resets. */
  async until(count: number, resets = 0): Promise<readonly Message[]> {
    await this.holds(
      () => this.messages.length >= count && this.resets.length >= resets,
      () => `${this.messages.length} of ${count} messages, ${this.resets.length} of ${resets} resets`,
    );
    return this.messages;
  }
}

/** A fixture with the handles that tests need. */
export class Rig {
  readonly fixture: BrokerFixture;
  readonly broker: Broker;

  constructor(fixture: BrokerFixture) {
    this.fixture = fixture;
    this.broker = fixture.broker;
  }

  /** A room that nobody used before, in this run or another. */
  room(namespace: Namespace): RoomName {
    return parseRoom(`${namespace}.t${randomBytes(8).toString("hex")}`);
  }

  collector(): Collector {
    return new Collector(this.fixture.deadlineMs ?? 5_000);
  }

  publish(room: RoomName, value: unknown, more: Partial<Outgoing> = {}): Promise<Position> {
    return this.broker.publish({ ...more, room, data: encode(value) });
  }

  /** Publishes 0, 1, 2… one after the other. */
  async publishMany(room: RoomName, count: number): Promise<readonly Position[]> {
    const positions: Position[] = [];
    for (let index = 0; index < count; index += 1) positions.push(await this.publish(room, index));
    return positions;
  }

  /** A page of history; fails where the position is lost. */
  async page(...args: Parameters<Broker["history"]>): Promise<Extract<HistoryPage, { kind: "page" }>> {
    const page = await this.broker.history(...args);
    if (page.kind === "lost") assert.fail(`lost: ${page.reason}`);
    return page;
  }

  async assertLost(room: RoomName, after: Position, reason: ResetReason): Promise<void> {
    const page = await this.broker.history(room, { after }, 100);
    assert.equal(page.kind, "lost", `after ${after.epoch}:${after.offset}`);
    if (page.kind === "lost") assert.equal(page.reason, reason);
  }
}

export type Check = (title: string, body: (rig: Rig, t: TestContext) => Promise<void>) => void;

/** Registers one test with a fixture of its own. */
export function checkWith(makeFixture: MakeFixture): Check {
  return (title, body) => {
    test(title, async (t) => {
      const fixture = await makeFixture();
      try {
        await body(new Rig(fixture), t);
      } finally {
        await fixture.dispose();
      }
    });
  };
}

export function offsetsOf(items: readonly { readonly offset: number }[]): number[] {
  return items.map(({ offset }) => offset);
}

/** The item at an index, from the end where it is negative; fails where there is none. */
export function at<T>(items: readonly T[], index: number): T {
  const item = items.at(index);
  assert.ok(item !== undefined, `item ${index} of ${items.length}`);
  return item;
}

/** Every `prev` is the offset before, and offsets are legal and grow. */
export function assertChain(messages: readonly Message[], after: number): void {
  let last = after;
  for (const { offset, prev } of messages) {
    assert.equal(prev, last, `prev of ${offset}`);
    assert.ok(Number.isSafeInteger(offset) && offset > last, `offset ${offset} after ${last}`);
    last = offset;
  }
}
