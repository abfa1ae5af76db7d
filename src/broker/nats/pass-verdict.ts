import type { HistoryBounds } from "./room-reader.js";
import type { StoredMessage } from "./stored-message.js";
import type { Passed, PassedRoom } from "./stream-pass.js";

/**
 * "counted": whole, unless the room was purged. "unknown": the pass does not show whether all is there; the room has to
 * be read alone.
 */
export type Verdict = "whole" | "counted" | "expired" | "epoch" | "unknown";

/**
 * Whether a pass met with all that a room ever had after a position, by the rules of `RoomReader`, or because no number
 * of the stream was missing in it.
 * @param messagesMin A room (or key) that has fewer kept messages has lost none to the bound on their number.
 */
export function verdictOf(
  after: number,
  room: PassedRoom,
  { before, now, unbrokenFrom }: Passed,
  bounds: HistoryBounds,
  messagesMin: number,
  nowMs: number,
): Verdict {
  if (after > before.lastSequence) return "epoch";
  const index = indexAfter(room.messages, after);
  const count = room.count - index;
  if (count > bounds.messages) return "expired";
  const isUnbroken = after >= unbrokenFrom;
  if (!isUnbroken) {
    if (after < now.firstSequence - 1) return "expired";
    // As many as came meanwhile may have been dropped for newer ones before they were met with.
    const came = now.lastSequence - before.lastSequence;
    if (count + came >= messagesMin) return "unknown";
  }
  const first = room.messages[index];
  const isOld = first?.storedMs !== undefined && nowMs - first.storedMs >= bounds.maxAgeMs;
  if (isOld) return "expired";
  return isUnbroken ? "whole" : "counted";
}

/** The place of the first message after a number. */
export function indexAfter(messages: readonly StoredMessage[], after: number): number {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((messages[middle]?.sequence ?? 0) <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
