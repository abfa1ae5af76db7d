import type { Position, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";

/** A place in a room's flow: everything before it is sent by whoever stands here. */
export interface Point {
  /** What comes between the point before and this one: messages, … */
  messages: readonly Message[];
  /** … then perhaps a reset. */
  readonly reset: ResetReason | undefined;
  /** The last message's position, or where the reset put the numbering. */
  readonly position: Position;
  /** How many resets the room has had so far: positions of two points compare only where these are equal. */
  readonly resets: number;
  /** Lanes that stand here. */
  holders: number;
  /** Undefined at the end, and where everybody has passed. */
  next: Point | undefined;
}

const NONE: readonly Message[] = Object.freeze([]);

/**
 * What one room has taken in and not all of its lanes have sent: a chain of points, each lane at one of them.
 * Messages are kept until the slowest lane has passed them. Lanes take turns, so that is one round at the most.
 */
export class Flow {
  /** No lane stands before this point. */
  #first: Point;
  #last: Point;

  constructor(position: Position, resets: number) {
    this.#first = { messages: NONE, reset: undefined, position, resets, holders: 0, next: undefined };
    this.#last = this.#first;
  }

  /** The end: everything that the room has taken in lies before it. */
  get last(): Point {
    return this.#last;
  }

  append(messages: readonly Message[], reset: ResetReason | undefined, position: Position): void {
    const resets = reset === undefined ? this.#last.resets : this.#last.resets + 1;
    const point: Point = { messages, reset, position, resets, holders: 0, next: undefined };
    this.#last.next = point;
    this.#last = point;
    this.#trim();
  }

  /** A lane comes in at the end. */
  enter(): Point {
    this.#last.holders += 1;
    return this.#last;
  }

  /** A lane goes on to a later point. */
  move(from: Point, to: Point): void {
    to.holders += 1;
    this.leave(from);
  }

  /** A lane needs nothing more. */
  leave(from: Point): void {
    from.holders -= 1;
    this.#trim();
  }

  /**
   * Lets go of what everybody has passed. Links are cut, because an old point that waits for the collector would
   * keep all that came after it.
   */
  #trim(): void {
    while (this.#first.holders === 0 && this.#first.next !== undefined) {
      const { next } = this.#first;
      this.#first.next = undefined;
      this.#first = next;
      next.messages = NONE;
    }
  }
}

/** How far a lane goes from this point in one flush: to the first reset or the end. */
export function goalFrom(point: Point): Point {
  let goal = point;
  while (goal.next !== undefined) {
    goal = goal.next;
    if (goal.reset !== undefined) break;
  }
  return goal;
}

/** The messages between two points. */
export function messagesBetween(from: Point, to: Point): readonly Message[] {
  // Nearly always: a lane that takes part in every tick is one step behind.
  if (from.next === to) return to.messages;
  const messages: Message[] = [];
  for (let point = from; point !== to && point.next !== undefined; ) {
    point = point.next;
    for (const message of point.messages) messages.push(message);
  }
  return messages;
}
