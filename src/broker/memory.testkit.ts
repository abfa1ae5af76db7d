import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import type { Sink } from "../core/ports.js";
import { CodedError } from "../protocol/errors.js";
import type { Position, ResetReason } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { conformanceSettings } from "./conformance.testkit.js";
import { offsetsOf } from "./conformance-rig.testkit.js";
import { MemoryBroker, type MemoryBrokerOptions } from "./memory.js";
import type { MemoryLimits } from "./memory-limits.js";

export const A = parseRoom("log.a");
export const B = parseRoom("log.b");
export const C = parseRoom("log.c");
export const D = parseRoom("log.d");
export const SILENT: Sink = { message: () => {}, reset: () => {} };

/** A broker whose clock stands still, and short hands for it. */
export class MemoryKit {
  nowMs = 1_750_000_000_000;
  readonly broker: MemoryBroker;

  constructor(limits: Partial<MemoryLimits> = {}, options: Partial<MemoryBrokerOptions> = {}) {
    const nowMs = () => this.nowMs;
    this.broker = new MemoryBroker({ settingsOf: conformanceSettings, nowMs, limits, ...options });
  }

  publish(room: RoomName, value: unknown, key?: string): Promise<Position> {
    return this.broker.publish({ room, data: encode(value), key });
  }

  async offsets(room: RoomName): Promise<readonly number[]> {
    const page = await this.broker.history(room, "oldest", 1_000);
    return page.kind === "page" ? offsetsOf(page.messages) : assert.fail("lost");
  }

  /** Why the position is lost; undefined where it is not. */
  async lost(room: RoomName, after: Position): Promise<ResetReason | undefined> {
    const page = await this.broker.history(room, { after }, 1_000);
    return page.kind === "lost" ? page.reason : undefined;
  }
}

export function unavailable(error: unknown): boolean {
  return error instanceof CodedError && error.code === "unavailable";
}
