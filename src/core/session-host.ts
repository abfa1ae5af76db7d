import type { Guard } from "./access.js";
import type { Allowances } from "./allowance.js";
import type { Lanes } from "./lanes.js";
import type { Outages } from "./outages.js";
import type { Broker } from "./ports.js";
import type { Session } from "./session.js";
import type { Signatures } from "./signatures.js";
import type { Shared } from "./subscriptions.js";

/** What a session asks of the engine. */
export interface SessionHost extends Shared {
  readonly broker: Broker;
  readonly guard: Guard;
  readonly lanes: Lanes;
  readonly outages: Outages;
  readonly signatures: Signatures;
  readonly allowances: Allowances;
  /** Asks for a call of {@link Session.turn} in the next tick. */
  wantTurn(session: Session): void;
  /** The same, but some time later. */
  wantRetry(session: Session): void;
  /** Its socket is too slow, or not any more: asks for a call of {@link Session.adapt} in the next tick, before anything is flushed. */
  wantLag(session: Session): void;
  /** The socket's buffer is to be watched until it drains. */
  watch(session: Session, nowMs: number): void;
  /** Slows it down where too much waits for its socket, or would with so many bytes more. */
  lookAt(session: Session, expectedBytes: number): void;
  /** Milliseconds since 1970; see `Fanout.wallMs`. */
  wallMs(): number;
  /** The socket took something of what waited for it. */
  noteDrain(session: Session): void;
}
