import { Exchange, type Guest, type GuestPort } from "../../core/presence/exchange.js";
import type { PresenceLine } from "../../core/presence/line.js";
import type { ListLimits } from "../../core/presence/op.js";

/** How often workers are told what has changed: what they wait, with what other nodes do, is well below two seconds. */
const ROUND_MS = 100;

export interface PresenceHubOptions {
  /** Unique in the deployment; kept over restarts, so that what the one before told of is replaced at once. */
  readonly name: string;
  readonly limits: ListLimits;
}

/** Brings together who is in rooms for the workers of a node, for as long as it is not stopped. */
export class PresenceHub {
  readonly #exchange: Exchange;
  readonly #timer: NodeJS.Timeout;

  constructor({ name, limits }: PresenceHubOptions) {
    this.#exchange = new Exchange(name, limits, false);
    this.#timer = setInterval(() => this.#exchange.round(), ROUND_MS).unref();
  }

  connect(port: GuestPort): Guest {
    return this.#exchange.connect(port);
  }

  stop(): void {
    clearInterval(this.#timer);
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
