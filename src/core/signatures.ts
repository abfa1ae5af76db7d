import type { RoomName } from "../protocol/room-name.js";
import type { Counters } from "./counters.js";
import type { Broker } from "./ports.js";

/** Nil, which takes a key out. */
const NIL = 0xc0;

/**
 * In which rooms each session has left a key of its own (`key: "sender"`), so that its keys go when it does. Kept apart
 * from the sessions, most of which have none.
 */
export class Signatures {
  readonly #broker: Broker;
  readonly #counters: Counters;
  readonly #roomsMax: number;
  readonly #bySession = new Map<string, Set<RoomName>>();

  constructor(broker: Broker, counters: Counters, roomsMax: number) {
    this.#broker = broker;
    this.#counters = counters;
    this.#roomsMax = roomsMax;
  }

  /** The session publishes under its key. False where it has one in too many rooms. */
  add(session: string, room: RoomName, data: Uint8Array): boolean {
    let rooms = this.#bySession.get(session);
    if (data[0] === NIL) {
      rooms?.delete(room);
      return true;
    }
    if (rooms === undefined) {
      rooms = new Set();
      this.#bySession.set(session, rooms);
    }
    if (rooms.size >= this.#roomsMax && !rooms.has(room)) {
      this.#counters.tooManyRooms += 1;
      return false;
    }
    rooms.add(room);
    return true;
  }

  /** The session has ended: takes its keys out. What the broker cannot do now it will not be asked again. */
  removeAll(session: string): void {
    const rooms = this.#bySession.get(session);
    if (rooms === undefined) return;
    this.#bySession.delete(session);
    for (const room of rooms) {
      this.#counters.keysRemoved += 1;
      this.#broker.publish({ room, data: Uint8Array.of(NIL), key: session, origin: session }).catch(() => {
        this.#counters.publishErrors += 1;
      });
    }
  }
}
