import type { Gossip } from "../../core/ports.js";
import { Exchange, type Guest, type GuestPort } from "../../core/presence/exchange.js";
import type { PresenceLine } from "../../core/presence/line.js";
import type { ListLimits } from "../../core/presence/op.js";
import { NodeTalk } from "./node-talk.js";
import { createPresenceCounters, type PresenceCounters } from "./presence-counters.js";

/** How often workers are told what has changed: what they wait, with what other nodes do, is well below two seconds. */
const ROUND_MS = 100;

export interface PresenceHubOptions {
  /** Unique in the deployment; kept over restarts, so that what the one before told of is replaced at once. */
  readonly name: string;
  readonly limits: ListLimits;
  /** The way to the hubs of other nodes. Undefined: there are none. */
  readonly gossip?: Gossip | undefined;
}

/**
 * Brings together who is in rooms for the workers of a node, and tells the hubs of other nodes, for as long as it is not
 * stopped. Call {@link PresenceHub.stop} before the broker's.
 */
export class PresenceHub {
  readonly counters: PresenceCounters = createPresenceCounters();
  readonly #exchange: Exchange;
  readonly #talk: NodeTalk | undefined;
  /** Undefined where nobody has anything to be told. */
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor({ name, limits, gossip }: PresenceHubOptions) {
    this.#exchange = new Exchange(name, limits, gossip !== undefined);
    this.#talk =
      gossip &&
      new NodeTalk({ name, life: Date.now(), exchange: this.#exchange, gossip, counters: this.counters });
    if (gossip !== undefined) this.#wake();
  }

  connect(port: GuestPort): Guest {
    const guest = this.#exchange.connect(port);
    return {
      say: (words) => {
        guest.say(words);
        this.#wake();
      },
      leave: () => {
        guest.leave();
        this.#wake();
      },
    };
  }

  /** Says good-bye to other hubs: who was here is gone for them. */
  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
    this.#talk?.stop();
  }

  #wake(): void {
    if (this.#isStopped) return;
    this.#timer ??= setInterval(() => this.#round(), ROUND_MS).unref();
  }

  #round(): void {
    this.#talk?.round(performance.now());
    const isLeft = this.#exchange.round();
    // Alone it hears of nothing but what its guests say, and ten rounds a second are most of what an idle process costs.
    if (isLeft || this.#talk !== undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** The line of a worker that hosts the hub itself. */
export function ownLine(hub: PresenceHub): PresenceLine {
  let guest: Guest | undefined;
  return {
    isBusy: false,
    connect: (sink) => {
      guest = hub.connect({ isReady: true, told: (ops) => sink.told(ops) });
    },
    isReady: () => true,
    say: (words) => guest?.say(words),
  };
}
