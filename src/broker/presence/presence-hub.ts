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
  readonly #timer: NodeJS.Timeout;

  constructor({ name, limits, gossip }: PresenceHubOptions) {
    this.#exchange = new Exchange(name, limits, gossip !== undefined);
    this.#talk =
      gossip &&
      new NodeTalk({ name, life: Date.now(), exchange: this.#exchange, gossip, counters: this.counters });
    this.#timer = setInterval(() => this.#round(), ROUND_MS).unref();
  }

  connect(port: GuestPort): Guest {
    return this.#exchange.connect(port);
  }

  /** Says good-bye to other hubs: who was here is gone for them. */
  stop(): void {
    clearInterval(this.#timer);
    this.#talk?.stop();
  }

  #round(): void {
    this.#talk?.round(performance.now());
    this.#exchange.round();
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
