import type { Position } from "../../protocol/frames.js";
import type { PlannedRoom } from "./event-plan.js";

/** One room of a stream: where the stream stands in it, by the rule that every client follows. Pure. */
export class FollowedRoom {
  readonly name: string;
  readonly #options: PlannedRoom["options"];
  position: Position | undefined;
  /** Of the subscribe that waits for its answer; 0: none does. */
  ref = 0;
  /** Refused for good. */
  isOver = false;

  constructor({ name, after, options }: PlannedRoom) {
    this.name = name;
    this.position = after;
    this.#options = options;
  }

  get wantsState(): boolean {
    return this.#options.state === true;
  }

  /** A subscribe's elements; it resumes where something is known. */
  request(ref: number): readonly unknown[] {
    this.ref = ref;
    const { last, state, ...always } = this.#options;
    const { position } = this;
    if (position !== undefined && position.epoch !== "")
      return [1, ref, this.name, { ...always, after: [position.epoch, position.offset] }];
    return [1, ref, this.name, { ...this.#options }];
  }

  /** What a message is to this stream. "deliver" has moved its position. */
  take(offset: number, prev: number): "deliver" | "ignore" | "hole" {
    const { position, ref } = this;
    if (ref !== 0 || position === undefined) return "ignore";
    if (offset === 0) return "deliver";
    if (offset <= position.offset) return "ignore";
    if (prev > position.offset) return "hole";
    this.position = { epoch: position.epoch, offset };
    return "deliver";
  }

  /** Nothing came up to there. */
  reach(offset: number): void {
    const { position } = this;
    if (position !== undefined && offset > position.offset) this.position = { epoch: position.epoch, offset };
  }
}
