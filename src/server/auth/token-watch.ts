import { setImmediate as nextTurn } from "node:timers/promises";
import type { Access } from "../../core/access.js";
import type { GatewayCounters } from "../gateway-limits.js";
import type { Revocations } from "./revocations.js";

/** What of a connection is used. */
export interface Watched {
  /** Undefined before the open and after the close. */
  readonly session: { readonly access: Access; warnOfExpiry(nowMs: number): void } | undefined;
  end(code: number, reason: string): void;
}

/** Closes in one turn of the loop, at some 10 µs each. */
const CLOSES_PER_TURN = 500;
const CODE_UNAUTHENTICATED = 4401;

/** Warns and closes connections whose tokens end. Goes through all of them instead of keeping something for each. */
export class TokenWatch {
  readonly #revocations: Revocations;
  readonly #counters: GatewayCounters;
  /** When the last look began. */
  #lookedAt: number;
  #looking = false;

  /** @param nowMs Since 1970, as everywhere here. */
  constructor(revocations: Revocations, counters: GatewayCounters, nowMs: number) {
    this.#revocations = revocations;
    this.#counters = counters;
    this.#lookedAt = nowMs / 1_000;
  }

  /** About once a second: tells those whose token expires soon, closes those whose token has expired. */
  async sweep(connections: Iterable<Watched>, nowMs: number): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const now = nowMs / 1_000;
    const before = this.#lookedAt;
    this.#lookedAt = now;
    try {
      this.#revocations.sweep(now);
      await inTurns(connections, (connection) => {
        const { session } = connection;
        if (session === undefined) return false;
        const { warnAt, expiresAt } = session.access;
        if (expiresAt <= now) {
          this.#counters.tokensExpired += 1;
          connection.end(CODE_UNAUTHENTICATED, "the token has expired");
          return true;
        }
        if (warnAt > before && warnAt <= now) session.warnOfExpiry(nowMs);
        return false;
      });
    } finally {
      this.#looking = false;
    }
  }

  /** One that comes after the time of its warning is told at once. */
  entered({ session }: Watched, nowMs: number): void {
    if (session !== undefined && session.access.warnAt <= nowMs / 1_000) session.warnOfExpiry(nowMs);
  }

  /** Closes those whose token is void by now. Resolves when all of them are. */
  async closeRevoked(connections: Iterable<Watched>): Promise<void> {
    await inTurns(connections, (connection) => {
      const { session } = connection;
      if (session === undefined || !this.#revocations.revokes(session.access)) return false;
      this.#counters.tokensRevoked += 1;
      connection.end(CODE_UNAUTHENTICATED, "the token is revoked");
      return true;
    });
  }
}

/** Looks at each, with a turn of the loop between so many closes. */
async function inTurns(connections: Iterable<Watched>, look: (one: Watched) => boolean): Promise<void> {
  let closes = 0;
  for (const connection of connections) {
    if (!look(connection)) continue;
    closes += 1;
    if (closes % CLOSES_PER_TURN === 0) await nextTurn();
  }
}
