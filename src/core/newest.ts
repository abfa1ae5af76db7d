import type { Message } from "../protocol/message.js";
import type { Room } from "./room.js";

/** Up to so many messages are compared rather than looked up. */
const COMPARED_MAX = 16;

/**
 * Which messages have a later one of the same key in their room's ring, so that a conflated replay need not send them.
 * Shared by all who replay the room in one tick. Messages without a key count as one key.
 */
export class Newest {
  readonly #byRoom = new Map<Room, Map<string | undefined, number>>();

  /** Rings change between ticks. */
  forget(): void {
    if (this.#byRoom.size > 0) this.#byRoom.clear();
  }

  isSuperseded(room: Room, { key, offset }: Message): boolean {
    const { ring } = room;
    const next = ring.indexAfter(offset);
    if (ring.size - next > COMPARED_MAX) return (this.#of(room).get(key) ?? 0) > offset;
    for (let index = next; index < ring.size; index += 1) if (ring.keyAt(index) === key) return true;
    return false;
  }

  #of(room: Room): ReadonlyMap<string | undefined, number> {
    const known = this.#byRoom.get(room);
    if (known !== undefined) return known;
    const newest = new Map<string | undefined, number>();
    for (let index = 0; index < room.ring.size; index += 1) {
      newest.set(room.ring.keyAt(index), room.ring.offsetAt(index) ?? 0);
    }
    this.#byRoom.set(room, newest);
    return newest;
  }
}

/** Of messages in order of offsets the latest of every key, in the same order. */
export function latestOfEach(messages: Iterable<Message>): Message[] {
  const latest = new Map<string | undefined, Message>();
  for (const message of messages) {
    latest.delete(message.key);
    latest.set(message.key, message);
  }
  return [...latest.values()];
}
