import { CodedError } from "../protocol/errors.js";
import { isNil, nil } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import { utf8Length } from "../protocol/text.js";
import type { Guest } from "./access.js";
import type { Counters } from "./counters.js";
import type { Limits } from "./limits.js";
import type { Broker } from "./ports.js";

/** Keys of sessions that ended while the broker was away: a cursor each for a tenth of a full worker. */
const OWED_MAX = 10_000;

interface Owed {
  readonly room: RoomName;
  readonly key: string;
  readonly origin: string;
}

/**
 * In which rooms each session has left a key of its own (`key: "sender"`), so that its keys go when it does. Kept apart
 * from the sessions, most of which have none.
 */
export class Signatures {
  readonly #broker: Broker;
  readonly #counters: Counters;
  readonly #limits: Pick<Limits, "roomsPerConnection" | "keyBytes">;
  readonly #bySession = new Map<string, Map<RoomName, string>>();
  /** How many sessions have a key in a room: those of one user share it. */
  readonly #holders = new Map<string, number>();
  /** By holder, what the broker could not take out; bounded by {@link OWED_MAX}. */
  readonly #owed = new Map<string, Owed>();

  constructor(broker: Broker, counters: Counters, limits: Pick<Limits, "roomsPerConnection" | "keyBytes">) {
    this.#broker = broker;
    this.#counters = counters;
    this.#limits = limits;
  }

  /**
   * The key of what this session publishes: the user, where its token names one that fits, else the session.
   * CodedError `too_many_rooms` where it has a key in as many rooms as it may.
   */
  sign({ id, access }: Guest, room: RoomName, data: Uint8Array): string | CodedError {
    const { sub = "" } = access;
    const { roomsPerConnection, keyBytes } = this.#limits;
    const key = sub === "" || utf8Length(sub) > keyBytes ? id : sub;
    let keys = this.#bySession.get(id);
    const before = keys?.get(room);
    if (before !== undefined && (before !== key || isNil(data))) {
      keys?.delete(room);
      // With another token it is another user, and nil itself goes out anyway.
      if (this.#letGo(room, before) && before !== key) this.#remove(room, before, id);
    }
    if (isNil(data) || before === key) return key;
    if (keys === undefined) {
      keys = new Map();
      this.#bySession.set(id, keys);
    }
    if (keys.size >= roomsPerConnection) {
      this.#counters.tooManyRooms += 1;
      const text = `this connection has a key in ${roomsPerConnection} rooms, its limit`;
      return new CodedError("too_many_rooms", text);
    }
    keys.set(room, key);
    const holder = holderOf(room, key);
    this.#holders.set(holder, (this.#holders.get(holder) ?? 0) + 1);
    return key;
  }

  /** The session has ended: takes its keys out. What the broker cannot do now it is asked again at every sweep. */
  removeAll(session: string): void {
    const keys = this.#bySession.get(session);
    if (keys === undefined) return;
    this.#bySession.delete(session);
    for (const [room, key] of keys) if (this.#letGo(room, key)) this.#remove(room, key, session);
  }

  /** About once a second. */
  sweep(): void {
    if (this.#owed.size === 0) return;
    const owed = [...this.#owed];
    this.#owed.clear();
    for (const [holder, one] of owed) if (!this.#holders.has(holder)) this.#takeOut(one);
  }

  /** True where nobody else here has the key in the room. */
  #letGo(room: RoomName, key: string): boolean {
    const holder = holderOf(room, key);
    const left = (this.#holders.get(holder) ?? 0) - 1;
    if (left > 0) this.#holders.set(holder, left);
    else this.#holders.delete(holder);
    return left <= 0;
  }

  #remove(room: RoomName, key: string, origin: string): void {
    this.#counters.keysRemoved += 1;
    this.#takeOut({ room, key, origin });
  }

  #takeOut(owed: Owed): void {
    this.#broker.publish({ ...owed, data: nil(), hold: "release" }).catch(() => {
      this.#counters.publishErrors += 1;
      if (this.#owed.size < OWED_MAX) this.#owed.set(holderOf(owed.room, owed.key), owed);
    });
  }
}

/** No room has a space in its name. */
function holderOf(room: RoomName, key: string): string {
  return `${room} ${key}`;
}
