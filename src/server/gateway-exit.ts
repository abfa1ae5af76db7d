import { setTimeout as sleep } from "node:timers/promises";
import { tellInPortions } from "./gateway-drain.js";
import type { Floor } from "./gateway-floor.js";
import type { Connection } from "./gateway-socket.js";

export interface ExitOptions {
  readonly floor: Floor;
  /** Takes nothing new. */
  readonly stopListening: (deadlineMs?: number) => Promise<void>;
  /** Requests of HTTP that are being read or answered. */
  readonly pending: () => number;
  /** Everything is out, or cut off from here on. */
  readonly shut: () => void;
}

/** How long a drain waits for sessions that were told to leave. */
export const DRAIN_GRACE_MS = 3_000;
/** Most that the search for a quiet moment to close the listener takes. */
export const LISTENER_CLOSE_MS = 200;

/** How often a close looks whether everything is out. */
const POLL_MS = 20;
/** Time for close frames and last answers to leave, before what is left is cut. */
const LEAVE_MS = 100;
/** Reconnects that a server next door takes a second without trouble; `goaway` spreads them accordingly. */
const RECONNECTS_PER_SECOND = 2_000;
const GOAWAY_MS_MIN = 500;
/** Who is closed for want of open files comes back somewhere within this. */
const SHED_MS = 1_000;
const GOING_AWAY = "the server goes away";

/** How connections are made to leave: over time, at once, or some of them. */
export class Exit {
  readonly #options: ExitOptions;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ExitOptions) {
    this.#options = options;
  }

  /** See `Gateway.drain`. */
  drain(drainMs: number): Promise<void> {
    this.#draining ??= this.#drain(drainMs);
    return this.#draining;
  }

  /** See `Gateway.close`. */
  close(deadlineMs: number): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  /** Closes so many. Rather than turn in circles: without a free descriptor nothing can be accepted, and nothing refused. */
  shed(count: number): void {
    if (count === 0) return;
    const { connections, counters, log } = this.#options.floor;
    counters.connectionsShed += count;
    log.warn({ count }, "open files run out: connections are closed to get some back");
    for (const connection of [...connections].slice(0, count)) {
      this.#tell(connection, Math.round(Math.random() * SHED_MS));
      connection.end(4503, "the server has no open files left");
    }
  }

  async #drain(drainMs: number): Promise<void> {
    const { connections } = this.#options.floor;
    const graceEndMs = performance.now() + drainMs + DRAIN_GRACE_MS;
    const isOver = () => connections.size === 0 || this.#closing !== undefined;
    await this.#options.stopListening();
    const tell = (connection: Connection, delayMs: number) => this.#tell(connection, delayMs);
    await tellInPortions([...connections], drainMs, tell, isOver);
    await until(isOver, graceEndMs);
  }

  async #close(deadlineMs: number): Promise<void> {
    const { floor, stopListening, pending, shut } = this.#options;
    const { connections } = floor;
    const endMs = performance.now() + deadlineMs;
    await stopListening(Math.min(LISTENER_CLOSE_MS, deadlineMs / 10));
    const spreadMs = Math.max(GOAWAY_MS_MIN, (connections.size * 1_000) / RECONNECTS_PER_SECOND);
    if (this.#draining === undefined)
      for (const connection of connections) this.#tell(connection, Math.round(Math.random() * spreadMs));
    // Half of the time for slow readers to take what is theirs, the other half for requests.
    await until(() => bufferedNothing(connections), performance.now() + deadlineMs / 2);
    for (const connection of connections) connection.end(1001, GOING_AWAY);
    await until(() => pending() === 0, endMs);
    await sleep(Math.min(LEAVE_MS, deadlineMs));
    shut();
  }

  /** One that is closed meanwhile has no session. */
  #tell({ session }: Connection, delayMs: number): void {
    try {
      session?.goaway(GOING_AWAY, delayMs);
    } catch (cause) {
      this.#options.floor.fault("goaway", cause);
    }
  }
}

function bufferedNothing(connections: Iterable<Connection>): boolean {
  for (const connection of connections) if (connection.bufferedBytes() > 0) return false;
  return true;
}

/** Waits for a condition, or until the time by `performance.now()`. */
async function until(isDone: () => boolean, endMs: number): Promise<void> {
  while (!isDone() && performance.now() < endMs) await sleep(POLL_MS);
}
