import type { FanwireError } from "../client/errors.js";
import type { Message } from "../client/message.js";
import type { Reset, SubscriptionState } from "../client/state.js";
import type { Subscription } from "../client/subscription.js";
import { Feed } from "./feed.js";

/** What {@link useRoom} returns. */
export interface RoomView<T> {
  /** The latest ones, oldest first, as many as `keep` says. */
  readonly messages: readonly Message<T>[];
  readonly state: SubscriptionState;
  /** Why the room was refused; undefined where it was not. */
  readonly error: FanwireError | undefined;
  /** The last loss of continuity: what came before it may have holes. */
  readonly reset: Reset | undefined;
}

/** The latest messages of a room. */
export class RoomFeed<T> extends Feed<T> {
  readonly #keep: number;
  #messages: readonly Message<T>[] = [];
  /** Come since the last frame. */
  #fresh: Message<T>[] = [];
  #reset: Reset | undefined;
  view: RoomView<T>;

  constructor(subscription: Subscription<T>, keep: number) {
    super(subscription);
    this.#keep = keep;
    this.view = { messages: this.#messages, state: subscription.state, error: undefined, reset: undefined };
    subscription.on("reset", (reset) => {
      this.#reset = reset;
    });
    subscription.on("message", (message) => {
      this.#fresh.push(message);
      // A page that draws nothing keeps no more than one that does.
      if (this.#fresh.length > 2 * keep) this.#fresh = this.#fresh.slice(-keep);
      this.changed();
    });
  }

  protected override show(): void {
    if (this.#fresh.length > 0) {
      this.#messages = [...this.#messages, ...this.#fresh].slice(-this.#keep);
      this.#fresh = [];
    }
    const { state } = this.subscription;
    const error = state.kind === "failed" ? state.error : undefined;
    this.view = { messages: this.#messages, state, error, reset: this.#reset };
  }
}
