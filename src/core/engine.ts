import type { ServerWire } from "../protocol/wire.js";
import type { Counters } from "./counters.js";
import type { Limits } from "./limits.js";
import type { Broker, Fanout, Outbox } from "./ports.js";
import type { SettingsOf } from "./settings.js";

export interface EngineOptions {
  /** This node's name, told in `welcome`. */
  readonly node: string;
  readonly broker: Broker;
  readonly fanout: Fanout;
  readonly settingsOf: SettingsOf;
  readonly limits: Limits;
  readonly counters: Counters;
}

/** One connection, as its socket's handlers drive it. Safe to call in any order; after `closed` nothing happens. */
export interface Session {
  readonly id: string;
  /** One inbound WebSocket message; the bytes need to be valid during the call only. */
  receive(payload: Uint8Array, nowMs: number): void;
  /** A WebSocket message of a length that was refused before it was read: answers `too_large`. */
  tooLarge(bytes: number): void;
  /** From the socket's `dropped` callback: sets a mark and asks for a tick, nothing else. */
  dropped(): void;
  /** From the socket's `drain` callback. */
  drained(): void;
  closed(): void;
}

/** One process's rooms and sessions, sans-IO: time comes in as an argument, all output goes through ports. */
export declare class Engine {
  constructor(options: EngineOptions);
  /** Takes a connection and sends it `welcome`. `id` is unique for the life of the deployment. */
  connect(id: string, wire: ServerWire, outbox: Outbox, nowMs: number): Session;
  /** What `Fanout.requestTick` asked for: flushes rooms, replays, lagging sockets. Never called inside a socket handler. */
  tick(nowMs: number): void;
  /** About once a second: closes idle rooms, closes sockets that are too slow for too long. */
  sweep(nowMs: number): void;
  /** Tells every session `goaway`; `delayMsOf` gives each its own jittered delay. */
  goaway(reason: string, delayMsOf: () => number): void;
  /** Open rooms, for health and metrics. */
  get openRooms(): number;
}
