import type { ListedRoom, RoomList } from "../core/ports.js";
import { RoomPage, type RoomQuery } from "../core/room-list.js";
import { CodedError } from "../protocol/errors.js";
import type { RoomName } from "../protocol/room-name.js";

/** Rooms looked at before others are served: some 0.5 ms, 2 where the page is put in order meanwhile. */
const ROOMS_PER_TURN = 2_000;
/** Lists made or waiting at once. Each looks at all rooms of the broker, one after the other. */
export const LISTS_MAX = 16;
const RETRY_MS = 500;

/**
 * Makes pages of all rooms that something in memory holds, without an index: nobody pays for it who does not ask. One page at a time,
 * and each in slices, so that however many ask, messages go on.
 */
export class RoomLists {
  readonly #names: () => Iterable<RoomName>;
  readonly #listed: (room: RoomName) => ListedRoom;
  readonly #onRefused: () => void;
  #last: Promise<unknown> = Promise.resolve();
  #running = 0;

  /** @param names May change while they are gone through, as a Map may. What was there all the while must come. */
  constructor(
    names: () => Iterable<RoomName>,
    listed: (room: RoomName) => ListedRoom,
    onRefused: () => void,
  ) {
    this.#names = names;
    this.#listed = listed;
    this.#onRefused = onRefused;
  }

  /** Rejects with a CodedError: `unavailable` where {@link LISTS_MAX} are under way. */
  async list(query: RoomQuery): Promise<RoomList> {
    if (this.#running >= LISTS_MAX) {
      this.#onRefused();
      throw new CodedError("unavailable", `${LISTS_MAX} lists of rooms are being made, the limit`, RETRY_MS);
    }
    this.#running += 1;
    const page = this.#last
      .then(() => this.#page(query))
      .finally(() => {
        this.#running -= 1;
      });
    this.#last = page.catch(() => {});
    return page;
  }

  async #page(query: RoomQuery): Promise<RoomList> {
    const page = new RoomPage(query);
    let looked = 0;
    for (const name of this.#names()) {
      if (page.wants(name)) page.offer(this.#listed(name));
      looked += 1;
      if (looked % ROOMS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return page.list();
  }
}
