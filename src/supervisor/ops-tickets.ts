import { randomBytes } from "node:crypto";

/** Long enough to open a connection with. */
export const TICKET_SECONDS = 30;
const TICKETS_MAX = 256;

interface Ticket {
  readonly untilMs: number;
  readonly mayStay: () => boolean;
}

/**
 * What a page opens its WebSocket with, since a browser sends no `Authorization` with one: good once, for half a minute, so
 * that it is of no use in a log.
 */
export class OpsTickets {
  readonly #tickets = new Map<string, Ticket>();

  /** @param mayStay Asked again and again while the connection is open. */
  issue(nowMs: number, mayStay: () => boolean): string {
    for (const [ticket, { untilMs }] of this.#tickets)
      if (untilMs <= nowMs || this.#tickets.size >= TICKETS_MAX) this.#tickets.delete(ticket);
    const ticket = randomBytes(32).toString("base64url");
    this.#tickets.set(ticket, { untilMs: nowMs + TICKET_SECONDS * 1_000, mayStay });
    return ticket;
  }

  /** Takes it in: whether its owner may stay, or undefined where it is no good. */
  redeem(ticket: string, nowMs: number): (() => boolean) | undefined {
    const found = this.#tickets.get(ticket);
    this.#tickets.delete(ticket);
    return found !== undefined && found.untilMs > nowMs ? found.mayStay : undefined;
  }
}
