import type { RoomName } from "../../protocol/room-name.js";
import { Exchange, type Guest } from "./exchange.js";
import type { ListLimits, PresenceOp, PresenceWord } from "./op.js";

/** A worker's own side. */
export interface PresenceSink {
  /** Whoever is at the other end knows nothing of these rooms, neither who is here nor which are watched: all of it is to be said anew. */
  up(isConcerned: (room: RoomName) => boolean): void;
  /** How it is in rooms that are watched. */
  told(ops: readonly PresenceOp[]): void;
}

/** A worker's way to those who know who is in rooms over all processes. Nothing is promised of when; what is said is in order. */
export interface PresenceLine {
  /** Once, before anything else. */
  connect(sink: PresenceSink): void;
  /** Whether what is said arrives, and what is asked is answered. Where it does not, {@link PresenceSink.up} tells when it does again. */
  isReady(room: RoomName): boolean;
  /** Whether what is said now would have to wait: what can be said later and shorter should be. */
  readonly isBusy: boolean;
  /** Of rooms whose line is not ready it is lost. */
  say(words: readonly PresenceWord[]): void;
}

/** Of a process that is alone. */
export class SoloLine implements PresenceLine {
  readonly isBusy = false;
  readonly #exchange: Exchange;
  #guest: Guest | undefined;

  constructor(limits: ListLimits) {
    this.#exchange = new Exchange("", limits, false);
  }

  connect(sink: PresenceSink): void {
    this.#guest = this.#exchange.connect({ isReady: true, told: (ops) => sink.told(ops) });
  }

  isReady(): boolean {
    return true;
  }

  say(words: readonly PresenceWord[]): void {
    this.#guest?.say(words);
    while (this.#exchange.round());
  }
}
