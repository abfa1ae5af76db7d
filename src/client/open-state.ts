import type { ConnectionState } from "./state.js";

export type Open = Extract<ConnectionState, { kind: "open" }>;

/** A connection that stood for this long starts counting attempts anew. */
const STABLE_MS = 10_000;
/** How long a connection that is to be left waits for answers under way. */
export const LEAVE_GRACE_MS = 1_000;

/** When it is left, or, past that time, when it is left without the last answers. */
export function nextLeaveMs({ leaving }: Open, nowMs: number): number {
  if (leaving === undefined) return Number.POSITIVE_INFINITY;
  return nowMs < leaving.atMs ? leaving.atMs : leaving.atMs + LEAVE_GRACE_MS;
}

export function isStable(open: Open, nowMs: number): boolean {
  return nowMs - open.sinceMs >= STABLE_MS;
}
