import type { Outgoing } from "../../core/ports.js";
import { isNil } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";

/** A key that stands for its sender, in one room. */
export interface HeldKey {
  readonly room: RoomName;
  readonly key: string;
}

interface Held<P> extends HeldKey {
  /** Workers with a session that published it. */
  readonly holders: Set<P>;
}

/**
 * Which workers hold which keys (`Outgoing.hold`), so that a key goes with the last who holds it, also where a worker ends
 * without a word.
 */
export class HeldKeys<P> {
  readonly #keysMax: number;
  readonly #byName = new Map<string, Held<P>>();
  readonly #byHolder = new Map<P, Set<Held<P>>>();

  constructor(keysMax: number) {
    this.#keysMax = keysMax;
  }

  get size(): number {
    return this.#byName.size;
  }

  isHeld({ room, key }: HeldKey): boolean {
    return this.#byName.has(nameOf(room, key));
  }

  /**
   * Notes what a publish says. "drop" where it is to take out a key that somebody else holds; "untracked" where more keys
   * are held than can be kept: such a one stays when its holder ends without a word.
   */
  note(holder: P, { room, key, data, hold }: Outgoing): "publish" | "drop" | "untracked" {
    if (hold === undefined || key === undefined) return "publish";
    const held = this.#byName.get(nameOf(room, key));
    if (hold === "release" || isNil(data)) {
      if (held === undefined) return "publish";
      this.#letGo(holder, held);
      return hold === "release" && held.holders.size > 0 ? "drop" : "publish";
    }
    if (held !== undefined) {
      if (!held.holders.has(holder)) this.#take(holder, held);
      return "publish";
    }
    if (this.#byName.size >= this.#keysMax) return "untracked";
    const added = { room, key, holders: new Set<P>() };
    this.#byName.set(nameOf(room, key), added);
    this.#take(holder, added);
    return "publish";
  }

  /** The holder is gone: returns what nobody holds any more. */
  leave(holder: P): HeldKey[] {
    const keys = [...(this.#byHolder.get(holder) ?? [])];
    for (const held of keys) this.#letGo(holder, held);
    return keys.filter(({ holders }) => holders.size === 0);
  }

  #take(holder: P, held: Held<P>): void {
    held.holders.add(holder);
    const keys = this.#byHolder.get(holder);
    if (keys === undefined) this.#byHolder.set(holder, new Set([held]));
    else keys.add(held);
  }

  #letGo(holder: P, held: Held<P>): void {
    held.holders.delete(holder);
    if (held.holders.size === 0) this.#byName.delete(nameOf(held.room, held.key));
    const keys = this.#byHolder.get(holder);
    keys?.delete(held);
    if (keys?.size === 0) this.#byHolder.delete(holder);
  }
}

/** No room has a space in its name. */
function nameOf(room: RoomName, key: string): string {
  return `${room} ${key}`;
}
