import type { Subscription } from "@nats-io/transport-node";
import type { Gossip } from "../../core/ports.js";
import type { NatsLink } from "./connection.js";
import { Underway } from "./underway.js";

/** Handed to the connection and not yet taken by the server: above, more is dropped, as gossip may be. */
const UNDERWAY_BYTES_MAX = 16_777_216;

type Hear = (bytes: Uint8Array) => void;

/** What hubs tell each other, on one subject of core NATS: nothing is stored. However many listen here, it comes once. */
export class NatsGossip implements Gossip {
  readonly #link: NatsLink;
  readonly #subject: string;
  readonly #onDropped: () => void;
  readonly #underway: Underway;
  #listeners: readonly Hear[] = [];
  #subscription: Subscription | undefined;

  constructor(link: NatsLink, subject: string, onDropped: () => void) {
    this.#link = link;
    this.#subject = subject;
    this.#onDropped = onDropped;
    this.#underway = new Underway(link);
  }

  get isConnected(): boolean {
    return this.#link.connected;
  }

  say(bytes: Uint8Array): void {
    if (!this.#link.connected || this.#underway.bytes > UNDERWAY_BYTES_MAX) {
      this.#onDropped();
      return;
    }
    try {
      this.#link.connection.publish(this.#subject, bytes);
    } catch {
      // Closed just now, or more than the server takes.
      this.#onDropped();
      return;
    }
    this.#underway.add(bytes.length);
  }

  listen(hear: Hear): () => void {
    // A listener of its own, should the same function listen twice.
    const listener: Hear = (bytes) => hear(bytes);
    this.#listeners = [...this.#listeners, listener];
    this.#subscription ??= this.#link.connection.subscribe(this.#subject, {
      callback: (cause, message) => {
        if (cause === null) for (const each of this.#listeners) each(message.data);
      },
    });
    return () => {
      this.#listeners = this.#listeners.filter((each) => each !== listener);
      if (this.#listeners.length > 0) return;
      if (this.#subscription?.isClosed() === false) this.#subscription.unsubscribe();
      this.#subscription = undefined;
    };
  }
}
