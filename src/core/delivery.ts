import type { ControlFrame, Position, Rate } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { Counters } from "./counters.js";
import { Flow, type Point } from "./flow.js";
import type { Lane } from "./lane.js";
import type { Lanes } from "./lanes.js";
import { type Member, type Parted, RoomLane } from "./room-lane.js";

/** A flow, and the lanes that send it, each in its own turn: of one delivery class of a room, or of what patterns match. */
export abstract class Delivery implements Parted {
  readonly counters: Counters;
  readonly flow: Flow;
  /** By lane, those where somebody is live or waits. */
  readonly #parts = new Map<Lane, RoomLane>();

  constructor(counters: Counters, position: Position, resets: number) {
    this.counters = counters;
    this.flow = new Flow(position, resets);
  }

  abstract get topic(): string;

  abstract get rate(): Rate;

  abstract wrote(bytes: number): void;

  abstract told(goal: Point, reached: number): readonly ControlFrame[];

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

const NOTHING: readonly ControlFrame[] = Object.freeze([]);

/** What a room's members are told at a point of its flow: a reset, or that nothing came up to there. */
export function toldOfRoom(
  room: RoomName,
  { reset, position }: Point,
  reached: number,
): readonly ControlFrame[] {
  if (reset !== undefined) return [{ type: "reset", room, ...position, reason: reset }];
  return position.offset > reached ? [{ type: "live", room, offset: position.offset }] : NOTHING;
}
