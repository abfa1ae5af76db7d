import type { Position, Rate } from "../protocol/frames.js";
import type { SubscriptionEvent } from "./effect.js";
import { Emitter } from "./emitter.js";
import type { FanwireError } from "./errors.js";
import type { Message } from "./message.js";
import { MessageQueue } from "./message-queue.js";
import { changeOf, type Known, type Presence, type PresenceChange } from "./presence.js";
import type { Reset, Subscribed, SubscriptionState } from "./state.js";

/** What `subscription.on` takes. */
export interface SubscriptionEvents<T> {
  /** In offset order, none twice, none missing; where that cannot be kept, `reset` says so first. */
  message: Message<T>;
  /** The server took it, also after every reconnect. */
  subscribed: Subscribed;
  /** Replay is done: the position of the last message before what is live. */
  live: Position | undefined;
  reset: Reset;
  /** The server moved it to another delivery class: a slower one while this client reads too slowly, and back. */
  rate: Rate;
  /** Who is in the room, where `members` was asked for: first as it is, then at most once a second what has changed. */
  members: PresenceChange;
  /** The room was refused; see `state` for whether it is tried again. */
  error: FanwireError;
  state: SubscriptionState;
}

/** One room of a client. It survives reconnects; {@link Subscription.unsubscribe} ends it. */
export interface Subscription<T = unknown> extends AsyncIterable<Message<T>> {
  readonly room: string;
  readonly state: SubscriptionState;
  /**
   * Of the last message handed over: where a later `after` goes on. Undefined before the first answer and in
   * ephemeral rooms.
   */
  readonly position: Position | undefined;
  /** The delivery class in force: messages a second and key, or "all". Undefined before the first answer. */
  readonly rate: Rate | undefined;
  /**
   * How old the last live message was when it came, in milliseconds: now − time, by the server's clock as far as pings tell
   * it. In a conflated class up to its window by design. Undefined before the first.
   */
  readonly stalenessMs: number | undefined;
  /** Who is in the room, where `members` was asked for. Undefined before it is known; while there is no connection, what was known last. */
  readonly presence: Presence | undefined;
  /** Moves to another delivery class behind the last message, nothing missed. One that is not allowed ends in `failed`. */
  setRate(rate: Rate): void;
  /** Returns what takes the handler off again. */
  on<E extends keyof SubscriptionEvents<T>>(
    event: E,
    handler: (value: SubscriptionEvents<T>[E]) => void,
  ): () => void;
  /** Ends it: no message comes any more and loops end. Idempotent. */
  unsubscribe(): void;
  /**
   * Messages from now on; take it in the turn of `subscribe` to get all. The loop ends with the subscription, throws
   * the error of a room or connection refused for good, and throws `overflow` when it falls too far behind. Leaving
   * the loop does not unsubscribe. A lost continuity shows as `message.reset`.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<T>>;
}

/** What a subscription asks of its client. */
export interface Owner {
  leave(): void;
  setRate(rate: Rate): void;
  /** Milliseconds since 1970 by the server's clock, as far as it is known. */
  serverTimeMs(): number;
}

/** The client's side of a {@link Subscription}, which is all that an application sees of it. */
export class RoomSubscription<T> implements Subscription<T> {
  readonly room: string;
  readonly #events = new Emitter<SubscriptionEvents<T>>();
  readonly #queues = new Set<MessageQueue<T>>();
  readonly #queueMax: number;
  readonly #owner: Owner;
  #rate: Rate | undefined;
  #stalenessMs: number | undefined;
  presence: Known | undefined;
  #state: SubscriptionState = { kind: "subscribing" };
  #epoch = "";
  #offset = 0;

  constructor(room: string, after: Position | undefined, queueMax: number, owner: Owner) {
    this.room = room;
    this.#queueMax = queueMax;
    this.#owner = owner;
    this.#moveTo(after);
  }

  get state(): SubscriptionState {
    return this.#state;
  }

  get position(): Position | undefined {
    return this.#epoch === "" ? undefined : { epoch: this.#epoch, offset: this.#offset };
  }

  get rate(): Rate | undefined {
    return this.#rate;
  }

  get stalenessMs(): number | undefined {
    return this.#stalenessMs;
  }

  setRate(rate: Rate): void {
    this.#owner.setRate(rate);
  }

  on<E extends keyof SubscriptionEvents<T>>(
    event: E,
    handler: (value: SubscriptionEvents<T>[E]) => void,
  ): () => void {
    return this.#events.on(event, handler);
  }

  unsubscribe(): void {
    this.#owner.leave();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message<T>> {
    const queue = new MessageQueue<T>(this.#queueMax, () => this.#queues.delete(queue));
    this.#queues.add(queue);
    if (this.#state.kind === "ended") queue.end(undefined);
    if (this.#state.kind === "failed") queue.end(this.#state.error);
    return queue;
  }

  handle(event: SubscriptionEvent<T>): void {
    switch (event.kind) {
      case "message":
        this.#moveTo(event.message);
        // The clocks of two machines are never the same: what seems to come before its time has come at once.
        if (!event.message.replayed)
          this.#stalenessMs = Math.max(0, this.#owner.serverTimeMs() - event.message.time);
        this.#events.emit("message", event.message);
        for (const queue of this.#queues) queue.push(event.message);
        return;
      case "subscribed":
        this.#moveTo(event.subscribed.position);
        this.#rate = event.subscribed.rate;
        this.#events.emit("subscribed", event.subscribed);
        return;
      case "live":
        this.#moveTo(event.position);
        this.#events.emit("live", event.position);
        return;
      case "reset":
        this.#moveTo(event.reset.position);
        this.#events.emit("reset", event.reset);
        return;
      case "rate":
        this.#rate = event.rate;
        this.#events.emit("rate", event.rate);
        return;
      case "members":
        this.presence = changeOf(this.presence, event.frame);
        this.#events.emit("members", this.presence);
        return;
      case "error":
        this.#events.emit("error", event.error);
        return;
      case "state":
        this.#state = event.state;
        if (event.state.kind === "failed") this.endLoops(event.state.error);
        this.#events.emit("state", event.state);
        return;
    }
  }

  end(): void {
    this.endLoops(undefined);
    this.handle({ kind: "state", state: { kind: "ended" } });
  }

  /** Ends the loops alone: nothing comes until the application connects again, and they would wait forever. */
  endLoops(error: FanwireError | undefined): void {
    for (const queue of [...this.#queues]) queue.end(error);
  }

  #moveTo(position: Position | undefined): void {
    this.#epoch = position?.epoch ?? "";
    this.#offset = position?.offset ?? 0;
  }
}
