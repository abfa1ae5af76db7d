import assert from "node:assert/strict";
import { DEFAULT_LIMITS } from "../core/limits.js";
import type { ClientInput, ServerFrame } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { hasWildcard, parsePattern, type RoomPattern } from "../protocol/room-pattern.js";
import { msgpackWire } from "../protocol/wire.js";
import { Connection } from "./connection.js";
import type { Effect, Input, RequestBody, SubscribeRequest, SubscriptionEvent } from "./effect.js";
import type { FanwireError } from "./errors.js";
import { type ClientOptions, settingsOf } from "./options.js";
import type { ConnectionState } from "./state.js";
import type { Topic } from "./subscription-entry.js";

/** A request as the server's own decoder reads it: whatever is sent must pass there. */
export type Sent = { readonly type: string; readonly ref: number; readonly [field: string]: unknown };

/** A frame's fields, without the room's brand. */
type Loose<F> = F extends { readonly room: RoomName }
  ? Omit<F, "room"> & { readonly room: string }
  : F extends { readonly pattern: RoomPattern }
    ? Omit<F, "pattern"> & { readonly pattern: string }
    : F;

const PLAIN: SubscribeRequest = {
  after: undefined,
  last: undefined,
  state: false,
  rate: undefined,
  slowHidden: true,
  echo: true,
  members: false,
  info: undefined,
};

/** A connection with a clock and randomness of the test's, and everything that it did. */
export class Rig {
  readonly connection: Connection;
  nowMs = 1_000;
  random = 0.5;
  wakeAtMs = Number.POSITIVE_INFINITY;
  effects: Effect[] = [];
  /** The connection believes in a socket: `connect` came last, not `close`. */
  socket = false;
  #lastId = 0;

  constructor(options: ClientOptions = {}) {
    this.connection = new Connection(settingsOf(options), () => this.random);
  }

  get state(): ConnectionState {
    return this.connection.state;
  }

  step(input: Input): void {
    for (const effect of this.connection.step(input, this.nowMs)) {
      this.effects.push(effect);
      if (effect.kind === "wake") this.wakeAtMs = effect.atMs;
      if (effect.kind === "connect") this.socket = true;
      if (effect.kind === "close") this.socket = false;
    }
  }

  /** Gives every tick that was asked for, each at its time. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    for (let ticks = 0; this.wakeAtMs <= endMs; ticks++) {
      assert.ok(ticks < 10_000, "ticks without end");
      this.nowMs = Math.max(this.nowMs, this.wakeAtMs);
      this.wakeAtMs = Number.POSITIVE_INFINITY;
      this.step({ kind: "tick" });
    }
    this.nowMs = endMs;
  }

  /** From idle to open, and forgets what it did on the way. */
  open(welcome: { readonly maxBytes?: number; readonly pingMs?: number } = {}): this {
    this.step({ kind: "connect" });
    return this.welcome(welcome);
  }

  welcome({ maxBytes = 16_384, pingMs = 25_000 } = {}): this {
    this.receive({ type: "welcome", session: "s1", node: "n1", pingMs, maxBytes });
    return this;
  }

  receive(...frames: Loose<ServerFrame>[]): void {
    const branded = frames.map((frame) => {
      if ("pattern" in frame) return { ...frame, pattern: parsePattern(frame.pattern) };
      return "room" in frame ? { ...frame, room: parseRoom(frame.room) } : frame;
    });
    this.step({ kind: "received", frames: branded });
  }

  ok(ref: number, result?: unknown): void {
    this.receive({ type: "ok", ref, result });
  }

  message(room: string, offset: number, prev = offset === 0 ? 0 : offset - 1): void {
    this.receive({ type: "message", room, offset, prev, time: 5, data: offset, key: undefined });
  }

  live(room: string, offset: number): void {
    this.receive({ type: "live", room, offset });
  }

  closed(code = 1006, reason = ""): void {
    this.socket = false;
    this.step({ kind: "closed", code, reason });
  }

  subscribe(room: string, request: Partial<SubscribeRequest> = {}): number {
    const id = ++this.#lastId;
    this.step({ kind: "subscribe", id, room: topicOf(room), request: { ...PLAIN, ...request } });
    return id;
  }

  /** Subscribes, and has the server take it at the position and say that it is live. */
  live1(room: string, offset: number, request: Partial<SubscribeRequest> = {}): number {
    const id = this.subscribe(room, request);
    this.ok(this.sentOne("subscribe").ref, { epoch: "e", offset, recovered: false });
    this.live(room, offset);
    this.forget();
    return id;
  }

  request(body: RequestBody, timeoutMs = 10_000): number {
    const id = ++this.#lastId;
    this.step({ kind: "request", id, body, timeoutMs });
    return id;
  }

  publish(room: string, data: unknown, timeoutMs?: number): number {
    return this.request({ type: "publish", room: parseRoom(room), data, key: undefined }, timeoutMs);
  }

  forget(): void {
    this.effects = [];
  }

  /** All that was sent since the last call, ticks of this very moment given first; pings left out. */
  sent(): Sent[] {
    return this.sentMessages()
      .flatMap((bytes) => this.decode(bytes))
      .map((input) => ({ ...input }))
      .filter((input) => input.type !== "ping");
  }

  decode(bytes: Uint8Array): ClientInput[] {
    return msgpackWire.decode(bytes, DEFAULT_LIMITS);
  }

  /** The same as WebSocket messages. */
  sentMessages(): Uint8Array[] {
    this.advance(0);
    const messages = this.effects.flatMap((effect) => (effect.kind === "send" ? [effect.bytes] : []));
    this.effects = this.effects.filter((effect) => effect.kind !== "send");
    return messages;
  }

  sentOne(type: string): Sent {
    const [only, ...more] = this.sent();
    assert.ok(only !== undefined && more.length === 0, `one frame sent, not ${1 + more.length}`);
    assert.equal(only.type, type);
    return only;
  }

  events(id: number): SubscriptionEvent[] {
    return this.effects.flatMap((effect) =>
      effect.kind === "subscription" && effect.id === id ? [effect.event] : [],
    );
  }

  /** Offsets delivered to the subscription, "reset" where one came between. */
  delivered(id: number): (number | "reset")[] {
    return this.events(id).flatMap((event): (number | "reset")[] => {
      if (event.kind === "reset") return ["reset"];
      return event.kind === "message" ? [event.message.offset] : [];
    });
  }

  states(): string[] {
    return this.effects.flatMap((effect) => (effect.kind === "state" ? [effect.state.kind] : []));
  }

  answer(id: number): unknown {
    const found = this.effects.flatMap((effect) =>
      (effect.kind === "answer" || effect.kind === "refusal") && effect.id === id ? [effect] : [],
    );
    assert.ok(found.length <= 1, "a request is settled once");
    const [effect] = found;
    return effect?.kind === "answer" ? effect.result : effect?.error;
  }

  refusal(id: number): FanwireError {
    const effect = this.effects.find((effect) => effect.kind === "refusal" && effect.id === id);
    assert.ok(effect?.kind === "refusal", "the request was refused");
    return effect.error;
  }
}

function topicOf(text: string): Topic {
  return hasWildcard(text) ? parsePattern(text) : parseRoom(text);
}
