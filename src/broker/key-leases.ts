import type { Broker, Outgoing, Sink } from "../core/ports.js";
import type { SettingsOf } from "../core/settings.js";
import { CodedError } from "../protocol/errors.js";
import type { Position, ResetReason } from "../protocol/frames.js";
import { createMessage, isNil, isRemoval, type Message, nil } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import { BrokerLayer } from "./broker-layer.js";
import type { BrokerCounters } from "./counters.js";

export interface LeaseLimits {
  /** A key that was not published for so long is published once more by the node that holds it. */
  readonly renewMs: number;
  /** A key of another node that was not published for so long is taken out. Some times `renewMs`. */
  readonly lostMs: number;
  /** Keys held here, and keys of others, each; beyond, they are not renewed, or stay. */
  readonly keys: number;
  /** Data bytes of the keys held here. */
  readonly bytes: number;
  /** What is published in one sweep. */
  readonly sweep: number;
}

export const DEFAULT_LEASE_LIMITS: LeaseLimits = Object.freeze({
  renewMs: 10_000,
  // Two renewals may get lost.
  lostMs: 30_000,
  // Twice what 100,000 connections with a cursor each hold.
  keys: 200_000,
  bytes: 33_554_432,
  // All of the above within `renewMs`.
  sweep: 20_000,
});

/** A key held by this node, with what it came to last. */
interface Lease {
  readonly outgoing: Outgoing;
  readonly sentMs: number;
}

/**
 * For a broker that several nodes share: when one of them dies, the keys that stood for its clients go at the others. Only in
 * ephemeral rooms whose keys are their senders' (`key: "sender"`): what is stored has `stateSeconds`.
 *
 * Each node publishes what it holds and nobody moves once in `renewMs`, and takes out, for its own clients, what it has not
 * heard of for `lostMs`. So who comes late sees those who do not move soon, too. A key that two nodes hold and one gives up
 * comes back with the other's next sweep.
 */
export class KeyLeases extends BrokerLayer {
  readonly #settingsOf: SettingsOf;
  readonly #counters: Pick<BrokerCounters, "expiredKeys" | "droppedKeys">;
  readonly #limits: LeaseLimits;
  readonly #nowMs: () => number;
  /** By name, the one that was published longest ago first. */
  readonly #held = new Map<string, Lease>();
  #heldBytes = 0;
  /** Held here, and taken out by another node: to be published again. */
  readonly #contested = new Set<string>();
  /** Not held any more, and the broker could not be told. */
  readonly #owed = new Map<string, Outgoing>();
  readonly #rooms = new Map<RoomName, LeasedRoom>();
  /** Keys of others, in all rooms. */
  #others = 0;
  /** Until then others may not have come to renew their keys: this node could not be reached. */
  #graceEndMs = Number.NEGATIVE_INFINITY;

  constructor(
    broker: Broker,
    settingsOf: SettingsOf,
    counters: Pick<BrokerCounters, "expiredKeys" | "droppedKeys">,
    limits: LeaseLimits = DEFAULT_LEASE_LIMITS,
    nowMs: () => number = Date.now,
  ) {
    super(broker);
    this.#settingsOf = settingsOf;
    this.#counters = counters;
    this.#limits = limits;
    this.#nowMs = nowMs;
  }

  override publish(outgoing: Outgoing): Promise<Position> {
    const { room, key, hold } = outgoing;
    if (hold === undefined || key === undefined || !this.#isLeased(room)) return this.inner.publish(outgoing);
    const name = nameOf(room, key);
    this.#forget(name);
    this.#owed.delete(name);
    if (!isNil(outgoing.data)) {
      this.#hold(name, outgoing);
      return this.inner.publish(outgoing);
    }
    return this.inner.publish(outgoing).catch((cause: unknown) => {
      if (cause instanceof CodedError && !this.#held.has(name) && this.#owed.size < this.#limits.keys)
        this.#owed.set(name, { room, key, data: nil(), hold: "release" });
      throw cause;
    });
  }

  override async open(room: RoomName, sink: Sink): Promise<Position> {
    if (!this.#isLeased(room)) return this.inner.open(room, sink);
    const leased = new LeasedRoom(sink, (message) => this.#heard(leased, message));
    const position = await this.inner.open(room, leased);
    this.#rooms.set(room, leased);
    return position;
  }

  override close(room: RoomName): void {
    this.inner.close(room);
    this.#others -= this.#rooms.get(room)?.seenMs.size ?? 0;
    this.#rooms.delete(room);
  }

  /** About once a second: renews, pays what is owed, takes out what is lost. `isAvailable`: whether the broker can be reached. */
  sweep(isAvailable: boolean): void {
    const nowMs = this.#nowMs();
    if (!isAvailable) {
      this.#graceEndMs = nowMs + this.#limits.lostMs;
      return;
    }
    this.#renew(nowMs);
    for (const outgoing of [...this.#owed.values()]) void this.publish(outgoing).catch(() => undefined);
    if (nowMs < this.#graceEndMs) return;
    const sinceMs = nowMs - this.#limits.lostMs;
    for (const [room, leased] of this.#rooms) {
      for (const [key, seenMs] of leased.seenMs) {
        if (seenMs > sinceMs) break;
        this.#unsee(leased, key);
        this.#counters.expiredKeys += 1;
        leased.sink.message(createMessage({ room, offset: 0, prev: 0, time: nowMs, data: nil(), key }));
      }
    }
  }

  /** Whose a key is and what is stored change with a restart only, where several nodes share a broker. */
  #isLeased(room: RoomName): boolean {
    const { ephemeral, key } = this.#settingsOf(room);
    return ephemeral && key === "sender";
  }

  #renew(nowMs: number): void {
    const due = [...this.#contested];
    this.#contested.clear();
    for (const [name, { sentMs }] of this.#held) {
      if (sentMs > nowMs - this.#limits.renewMs || due.length >= this.#limits.sweep) break;
      due.push(name);
    }
    for (const name of new Set(due)) {
      const lease = this.#held.get(name);
      // What does not get through now comes in time once more.
      if (lease !== undefined) void this.publish(lease.outgoing).catch(() => undefined);
    }
  }

  #hold(name: string, outgoing: Outgoing): void {
    const { keys, bytes } = this.#limits;
    if (this.#held.size >= keys || this.#heldBytes + outgoing.data.length > bytes) {
      this.#counters.droppedKeys += 1;
      return;
    }
    // What a worker sent is valid during the call only.
    this.#held.set(name, { outgoing: { ...outgoing, data: outgoing.data.slice() }, sentMs: this.#nowMs() });
    this.#heldBytes += outgoing.data.length;
  }

  #forget(name: string): void {
    const lease = this.#held.get(name);
    if (lease === undefined) return;
    this.#heldBytes -= lease.outgoing.data.length;
    this.#held.delete(name);
    this.#contested.delete(name);
  }

  #heard(leased: LeasedRoom, message: Message): void {
    const { room, key, origin } = message;
    if (key === undefined) return;
    const name = nameOf(room, key);
    this.#unsee(leased, key);
    if (this.#held.has(name)) {
      if (isRemoval(message)) this.#contested.add(name);
      return;
    }
    // What has no session is nobody's: it came over HTTP.
    if (isRemoval(message) || origin === undefined) return;
    if (this.#others >= this.#limits.keys) {
      this.#counters.droppedKeys += 1;
      return;
    }
    leased.seenMs.set(key, this.#nowMs());
    this.#others += 1;
  }

  #unsee(leased: LeasedRoom, key: string): void {
    if (leased.seenMs.delete(key)) this.#others -= 1;
  }
}

/** A room that is open here: when keys of other nodes were heard of, the longest ago first. */
class LeasedRoom implements Sink {
  readonly sink: Sink;
  readonly seenMs = new Map<string, number>();
  readonly #onMessage: (message: Message) => void;

  constructor(sink: Sink, onMessage: (message: Message) => void) {
    this.sink = sink;
    this.#onMessage = onMessage;
  }

  message(message: Message): void {
    this.#onMessage(message);
    this.sink.message(message);
  }

  reset(room: RoomName, head: Position, reason: ResetReason): void {
    this.sink.reset(room, head, reason);
  }
}

/** No room has a space in its name. */
function nameOf(room: RoomName, key: string): string {
  return `${room} ${key}`;
}
