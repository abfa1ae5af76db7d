import type { Snapshot } from "../../core/ports.js";
import type { RoomName } from "../../protocol/room-name.js";
import { LastAsks } from "../last-asks.js";
import { RoomAsks } from "../room-asks.js";
import type { HistoryBounds, RoomPlace } from "./room-reader.js";

export interface StateAsk {
  readonly version: number;
  readonly dueMs: number;
  resolve(snapshot: Snapshot): void;
  reject(cause: unknown): void;
}

/** One room that somebody waits to have read, and who that is. */
export class WaitingRoom {
  readonly name: RoomName;
  readonly token: string;
  readonly place: RoomPlace;
  readonly bounds: HistoryBounds;
  readonly after = new RoomAsks();
  readonly last = new LastAsks();
  states: StateAsk[] = [];
  /** A pass could not serve it. */
  isAlone = false;

  constructor(name: RoomName, token: string, place: RoomPlace, bounds: HistoryBounds) {
    this.name = name;
    this.token = token;
    this.place = place;
    this.bounds = bounds;
  }

  get size(): number {
    return this.after.size + this.last.size + this.states.length;
  }

  /** Those who asked before the read began, or of whom nothing was acknowledged since. */
  serveState(snapshot: Snapshot, version: number): number {
    const served = this.states.filter((ask) => ask.version <= version);
    this.states = this.states.filter((ask) => ask.version > version);
    for (const ask of served) ask.resolve(snapshot);
    return served.length;
  }

  expire(nowMs: number, cause: unknown): void {
    this.after.expire(nowMs, cause);
    this.last.expire(nowMs, cause);
    const over = this.states.filter(({ dueMs }) => dueMs <= nowMs);
    this.states = this.states.filter(({ dueMs }) => dueMs > nowMs);
    for (const ask of over) ask.reject(cause);
  }

  fail(cause: unknown): void {
    this.after.fail(cause);
    this.last.fail(cause);
    const states = this.states;
    this.states = [];
    for (const ask of states) ask.reject(cause);
  }
}
