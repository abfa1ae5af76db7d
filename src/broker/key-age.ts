import type {
  Broker,
  Gossip,
  HistoryFrom,
  HistoryPage,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../core/ports.js";
import type { SettingsOf } from "../core/settings.js";
import type { Position } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";

/**
 * A broker that keeps the last message of every key for good, with `stateSeconds` on top: keys that were not published
 * for that long are left out of what it gives.
 */
export class KeyAge implements Broker {
  readonly #broker: Broker;
  readonly #settingsOf: SettingsOf;
  readonly #nowMs: () => number;

  constructor(broker: Broker, settingsOf: SettingsOf, nowMs: () => number = Date.now) {
    this.#broker = broker;
    this.#settingsOf = settingsOf;
    this.#nowMs = nowMs;
  }

  publish(outgoing: Outgoing): Promise<Position> {
    return this.#broker.publish(outgoing);
  }

  get gossip(): Gossip | undefined {
    return this.#broker.gossip;
  }

  open(room: RoomName, sink: Sink): Promise<Position> {
    return this.#broker.open(room, sink);
  }

  close(room: RoomName): void {
    this.#broker.close(room);
  }

  watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    return this.#broker.watch(pattern, watcher);
  }

  unwatch(pattern: RoomPattern): void {
    this.#broker.unwatch(pattern);
  }

  rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    return this.#broker.rooms(prefix, after, limit);
  }

  history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    return this.#broker.history(room, from, limit);
  }

  async state(room: RoomName): Promise<Snapshot> {
    const snapshot = await this.#broker.state(room);
    const { stateSeconds } = this.#settingsOf(room);
    if (stateSeconds === 0) return snapshot;
    const sinceMs = this.#nowMs() - stateSeconds * 1_000;
    return { ...snapshot, messages: snapshot.messages.filter(({ time }) => time >= sinceMs) };
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#broker.stop(deadlineMs);
  }
}
