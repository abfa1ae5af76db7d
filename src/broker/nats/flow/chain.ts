import type { ResetReason } from "../../../protocol/frames.js";

/**
 * The rules by which a room's flow is complete, or told not to be.
 *
 * **What the server says.** Every stored message has a sequence in its stream, and what it republishes says that sequence
 * `s` and `p`, the sequence of the message before it in the same room as of when it was stored, 0 where there was none
 * (any more). Republishing is at most once: any message may never come. What a stream drops (age, its bounds, purges) it
 * drops from a room's front; single messages cannot be deleted (`deny_delete`). So **while a room's message is stored,
 * so is everything after it**.
 *
 * **What the flow knows of a room.** `head`: all up to here was delivered or told. `anchored`: the message at `head` was
 * stored when it was last looked at, and so vouches for what follows. `verified`: nothing of the room lies between
 * `head` and here.
 *
 * **A live message** (see {@link follow}):
 * - s ≤ head: known already.
 * - p = head: the next one.
 * - p > head: p was missed. It waits while the room is read after `head`, and what was read goes first.
 * - p < head, or 0: the message at `head` is gone, and with it maybe others that never came. It waits while the room is
 *   read, which shows what is gone (see {@link lossOf}).
 * - p ≤ head in a room that is not anchored: the next one, as nothing lies between p and s. Where p is 0, something may
 *   have come and gone in between: that is checked with the next facts of the stream, against `verified`.
 *
 * **What a read shows.** The message at `head` is there: nothing after it is missing, the read is the continuation. It is
 * gone although the stream still has older ones: the room was purged, or so much came that it was pushed out: told. It is
 * gone with all that old: if it was too young for that, it was purged: told. Else something may have been among those that
 * never came, unless all of them are `verified`. So a room that was quiet for longer than the stream's age goes on
 * without being told anything: nothing was missed.
 *
 * **What cannot be seen.** A message that was not republished, and is purged by its subject before the next sweep, in a
 * room that has no other message, or whose other messages were old enough to expire.
 */
export type Following = "known" | "next" | "first" | "hole" | "cut";

export function follow(head: number, anchored: boolean, sequence: number, previous: number): Following {
  if (sequence <= head) return "known";
  if (previous > head) return "hole";
  if (anchored) return previous === head ? "next" : "cut";
  return previous === 0 ? "first" : "next";
}

/** A room, and what a read has shown of it. */
export interface Shown {
  readonly head: number;
  readonly anchored: boolean;
  readonly verified: number;
  /** The message at head is no older than this. */
  readonly headMs: number;
  /** The message at head is still there. */
  readonly found: boolean;
  /** Messages after it. */
  readonly newer: number;
  /** Lowest sequence that the stream has. */
  readonly first: number;
  readonly keeps: Keeps;
}

/** For how long a stream keeps messages. */
export interface Keeps {
  /** Messages that it keeps of a room, or in a keyed set of a key; more push out the oldest. */
  readonly messages: number;
  /** Age at which it drops them, in milliseconds; 0: never. */
  readonly ageMs: number;
  /** It may drop them before that, because of a bound on bytes. */
  readonly trims: boolean;
}

/** Why messages after `head` may be gone; undefined: none is. */
export function lossOf(shown: Shown): ResetReason | undefined {
  const { head, anchored, verified, headMs, found, first, keeps } = shown;
  if (anchored && found) return undefined;
  if (shown.newer >= keeps.messages) return "expired";
  if (anchored && head >= first) return "purged";
  const young = keeps.ageMs === 0 || headMs < keeps.ageMs - SLACK_MS;
  if (anchored && young && !keeps.trims) return "purged";
  if (first - 1 <= verified) return undefined;
  return young && !keeps.trims ? "purged" : "expired";
}

/** How late live messages and answers may be. */
const SLACK_MS = 30_000;
