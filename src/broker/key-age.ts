import type { Broker, Snapshot } from "../core/ports.js";
import type { SettingsOf } from "../core/settings.js";
import type { RoomName } from "../protocol/room-name.js";
import { BrokerLayer } from "./broker-layer.js";

/**
 * A broker that keeps the last message of every key for good, with `stateSeconds` on top: keys that were not published
 * for that long are left out of what it gives.
 */
export class KeyAge extends BrokerLayer {
  readonly #settingsOf: SettingsOf;
  readonly #nowMs: () => number;

  constructor(broker: Broker, settingsOf: SettingsOf, nowMs: () => number = Date.now) {
    super(broker);
    this.#settingsOf = settingsOf;
    this.#nowMs = nowMs;
  }

  override async state(room: RoomName): Promise<Snapshot> {
    const snapshot = await super.state(room);
    const { stateSeconds } = this.#settingsOf(room);
    if (stateSeconds === 0) return snapshot;
    const sinceMs = this.#nowMs() - stateSeconds * 1_000;
    return { ...snapshot, messages: snapshot.messages.filter(({ time }) => time >= sinceMs) };
  }
}
