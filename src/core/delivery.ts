import type { Position, Rate } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { Counters } from "./counters.js";
import { Flow, type Point } from "./flow.js";
import type { Lane } from "./lane.js";
import type { Lanes } from "./lanes.js";
import { type Member, type Parted, RoomLane } from "./room-lane.js";

/**
 * One delivery class of one room: a flow, and the lanes that send it, each in its own turn. The room itself is the
 * class that gets every message.
 */
export abstract class Delivery implements Parted {
  readonly name: RoomName;
  readonly counters: Counters;
  readonly flow: Flow;
  /** By lane, those where somebody is live or waits. */
  readonly #parts = new Map<Lane, RoomLane>();

  constructor(name: RoomName, counters: Counters, position: Position, resets: number) {
    this.name = name;
    this.counters = counters;
    this.flow = new Flow(position, resets);
  }

  abstract get topic(): string;

  abstract get rate(): Rate;

  abstract wrote(bytes: number): void;

  /** Live members in all lanes. */
  get members(): number {
    let members = 0;
    for (const part of this.#parts.values()) members += part.members;
    return members;
  }

  /** How far the live members in this lane were sent the flow; its end, where there are none. */
  sentTo(lane: Lane): Point {
    return this.#parts.get(lane)?.sent ?? this.flow.last;
  }

  /** Puts a member on its lane's topic. */
  enter(member: Member, echo: boolean): void {
    Delivery.#partOf(this, member.lane).enter(member, echo);
  }

  /** Takes a live member off. */
  leave(member: Member): void {
    this.#parts.get(member.lane)?.leave(member);
  }

  /** Calls back once, after the lane's next flush of this flow. */
  afterFlush(lane: Lane, wake: () => void): void {
    Delivery.#partOf(this, lane).afterFlush(wake);
  }

  forget({ lane }: RoomLane): void {
    this.#parts.delete(lane);
    if (this.#parts.size === 0) this.emptied();
  }

  /** Nobody is live or waits in any lane. */
  protected emptied(): void {}

  protected queue(lanes: Lanes): void {
    for (const [lane, part] of this.#parts) lanes.queue(lane, part);
  }

  // Static, because a private method would make every object of the class 8 bytes bigger.
  static #partOf(delivery: Delivery, lane: Lane): RoomLane {
    const found = delivery.#parts.get(lane);
    if (found !== undefined) return found;
    const part = new RoomLane(delivery, lane);
    delivery.#parts.set(lane, part);
    return part;
  }
}
