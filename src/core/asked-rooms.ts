import { type CodedError, toCodedError } from "../protocol/errors.js";
import type { RoomName } from "../protocol/room-name.js";

/**
 * The subscribes of one session that wait for the guard. What the client asks of the same room meanwhile takes their
 * place, as it does once a room is being opened.
 */
export class AskedRooms {
  readonly #latest = new Map<RoomName, Promise<void>>();

  /** What came of it: the guard agreed, or refused with an error, or something else was asked of the room meanwhile. Never rejects. */
  async wait(room: RoomName, verdict: Promise<void>): Promise<"agreed" | "superseded" | CodedError> {
    this.#latest.set(room, verdict);
    const outcome = await verdict.then(() => "agreed" as const, toCodedError);
    if (this.#latest.get(room) !== verdict) return "superseded";
    this.#latest.delete(room);
    return outcome;
  }

  /** What waits for this room is void. */
  forget(room: RoomName): void {
    this.#latest.delete(room);
  }
}
