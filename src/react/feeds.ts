import type { Client } from "../client/client.js";
import { FanwireError } from "../client/errors.js";
import type { StateMapOptions, SubscribeOptions } from "../client/options.js";
import { RoomFeed } from "./room-feed.js";
import { StateFeed } from "./state-feed.js";

/** What {@link useRoom} takes; all components that follow a room give the same. */
export type RoomOptions = Pick<SubscribeOptions, "last" | "rate" | "hidden" | "echo" | "members" | "info"> & {
  /** Latest messages that the view holds. Default 100. */
  readonly keep?: number | undefined;
};

/** What {@link useKeyedState} and {@link useKey} take; all components that follow a room give the same. */
export type StateOptions = Pick<StateMapOptions, "rate" | "hidden" | "echo" | "members" | "info">;

/** A way to follow a room. Two that follow it in the same way are one subscription. */
export type Way =
  | { readonly kind: "room"; readonly room: string; readonly options: RoomOptions }
  | { readonly kind: "state"; readonly room: string; readonly options: StateOptions };

type AnyFeed = RoomFeed<unknown> | StateFeed<unknown>;

interface Entry {
  readonly way: string;
  readonly feed: AnyFeed | FanwireError;
  /** For whoever wants the room in another way. */
  readonly refusal: FanwireError;
  holders: number;
}

const KEEP = 100;

/** The rooms that a client's components follow, each once. */
export class Feeds {
  readonly #client: Client;
  readonly #entries = new Map<string, Entry>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** What is there to be read now: a feed, why there is none, or undefined where nobody follows the room yet. */
  find(way: Way): AnyFeed | FanwireError | undefined {
    const entry = this.#entries.get(way.room);
    return entry === undefined || entry.way === textOf(way) ? entry?.feed : entry.refusal;
  }

  /** Follows the room; the first who joins subscribes. Returns what leaves again: with the last one the subscription ends. */
  join(way: Way): () => void {
    let entry = this.#entries.get(way.room);
    if (entry === undefined) {
      entry = { way: textOf(way), feed: this.#start(way), refusal: anotherWay(way), holders: 0 };
      this.#entries.set(way.room, entry);
    }
    const joined = entry;
    if (joined.way !== textOf(way)) return () => {};
    joined.holders += 1;
    return () => {
      joined.holders -= 1;
      // Strict mode, and a page that gives way to the next, leave and join in one turn.
      if (joined.holders === 0) setTimeout(() => this.#end(way.room, joined), 0);
    };
  }

  #start(way: Way): Entry["feed"] {
    try {
      if (way.kind === "state") return new StateFeed(this.#client.stateMap(way.room, way.options));
      const { keep = KEEP, ...options } = way.options;
      return new RoomFeed(this.#client.subscribe(way.room, options), keep);
    } catch (cause) {
      if (cause instanceof FanwireError) return cause;
      throw cause;
    }
  }

  #end(room: string, entry: Entry): void {
    if (entry.holders > 0 || this.#entries.get(room) !== entry) return;
    this.#entries.delete(room);
    if (!(entry.feed instanceof FanwireError)) entry.feed.end();
  }
}

function anotherWay({ room }: Way): FanwireError {
  return new FanwireError(
    "bad_request",
    `another component follows ${room} in another way: all hooks of a room take the same options, and are all useRoom and usePresence or all useKeyedState and useKey`,
  );
}

function textOf({ kind, options }: Way): string {
  return JSON.stringify([kind, Object.entries(options).sort()]);
}
