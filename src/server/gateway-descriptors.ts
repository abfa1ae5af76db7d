import type { GatewayLimits } from "./gateway-limits.js";

/** What the system lets this process open. */
export interface OpenFiles {
  /** May be Infinity. */
  readonly max: number;
  /** How many are open; undefined where the system does not say. */
  now(): number | undefined;
}

/** Descriptors that stay free, for what opens between two looks. */
const SPARE = 32;
/** Of the places, where they do not suffice for both: those that sockets never take. */
const PLAIN_SHARE = 1 / 5;
/** Fewer than this free: connections are closed until {@link SPARE} are. */
const SCARCE = 16;

/**
 * How many connections there may be, by the limits and by the descriptors that nothing else has open. Without a free
 * one, uWebSockets.js accepts nothing, refuses nothing and turns in circles.
 */
export class DescriptorGuard {
  readonly #limits: Pick<GatewayLimits, "connections" | "plainConnections">;
  readonly #files: OpenFiles;
  /** Of either kind, together. */
  #most: number;

  constructor(limits: Pick<GatewayLimits, "connections" | "plainConnections">, files: OpenFiles) {
    this.#limits = limits;
    this.#files = files;
    this.#most = limits.connections + limits.plainConnections;
  }

  /** WebSockets. What they leave is for connections that are none yet, and so for refusals. */
  get socketsMax(): number {
    const { connections, plainConnections } = this.#limits;
    const kept = Math.min(plainConnections, Math.ceil(this.#most * PLAIN_SHARE));
    return Math.max(1, Math.min(connections, this.#most - kept));
  }

  /**
   * Whether one more connection fits. Those that are no WebSocket yet may use what WebSockets do not: most become one, and
   * with a bound of their own, a few silent ones would keep everybody out.
   */
  fits(plain: number, sockets: number): boolean {
    return plain + sockets < this.#most;
  }

  /** Looks again what else is open; about once a second. Returns how many connections are to be closed. */
  sweep(plain: number, sockets: number): number {
    const open = this.#files.now();
    if (open === undefined) return 0;
    const own = plain + sockets;
    const free = this.#files.max - open;
    const { connections, plainConnections } = this.#limits;
    this.#most = Math.max(1, Math.min(connections + plainConnections, own + free - SPARE));
    return free < SCARCE ? Math.min(sockets, SPARE - free) : 0;
  }
}
