import type { RoomName } from "../../protocol/room-name.js";
import { Assembly, type Source } from "./assembly.js";
import { Changes } from "./changes.js";
import type { ListLimits, PresenceOp, PresenceWord } from "./op.js";

/** Ops that one guest is told at once; more wait for the next round, so that a hub's loop is served between. */
const OPS_A_ROUND = 10_000;

/** A worker, as the exchange sees it. */
export interface GuestPort {
  /** Whether it takes more just now. */
  readonly isReady: boolean;
  told(ops: readonly PresenceOp[]): void;
}

/** A worker's own end of the exchange. */
export interface Guest {
  say(words: readonly PresenceWord[]): void;
  /** Ended: whoever was there is gone. */
  leave(): void;
}

/**
 * Brings together who is in rooms: each worker of the node says who is there, and is told of the rooms that it watches; what
 * other nodes say comes in as a source like another. Sans-IO: whoever has it calls {@link Exchange.round} several times a second.
 */
export class Exchange {
  readonly #name: string;
  readonly assembly: Assembly;
  /** What other hubs have still to be told. Nobody takes it where there are none. */
  readonly outgoing: Changes | undefined;
  readonly #watchers = new Map<RoomName, Set<GuestSeat>>();
  readonly #guests = new Set<GuestSeat>();
  #named = 0;

  /** @param name this hub's, the same that other hubs know; it is what its workers are ordered by */
  constructor(name: string, limits: ListLimits, hasPeers: boolean) {
    this.#name = name;
    this.outgoing = hasPeers ? new Changes() : undefined;
    this.assembly = new Assembly(limits, (room, id, { isLocal }) => {
      if (isLocal) this.outgoing?.note(room, id);
      for (const guest of this.#watchers.get(room) ?? []) guest.changes.note(room, id);
    });
  }

  connect(port: GuestPort): Guest {
    this.#named += 1;
    const source = this.assembly.add(`${this.#name}/${String(this.#named).padStart(9, "0")}`, true);
    const seat = new GuestSeat(port, source);
    this.#guests.add(seat);
    return {
      say: (words) => {
        for (const word of words) this.#hear(seat, word);
      },
      leave: () => {
        if (!this.#guests.delete(seat)) return;
        for (const room of seat.watched) this.#unwatch(seat, room);
        this.assembly.drop(source);
      },
    };
  }

  /** Tells guests what has changed in the rooms that they watch. Returns whether something is left for the next round. */
  round(): boolean {
    let isLeft = false;
    for (const { changes, port } of this.#guests) {
      if (changes.size === 0) continue;
      if (port.isReady) port.told(changes.take(this.assembly.all, OPS_A_ROUND));
      isLeft ||= changes.size > 0;
    }
    return isLeft;
  }

  #hear(seat: GuestSeat, word: PresenceWord): void {
    const { room } = word;
    if (word.kind === "watch") {
      seat.watched.add(room);
      const watchers = this.#watchers.get(room) ?? new Set();
      watchers.add(seat);
      this.#watchers.set(room, watchers);
      seat.changes.note(room);
    } else if (word.kind === "unwatch") {
      seat.watched.delete(room);
      this.#unwatch(seat, room);
    } else this.assembly.apply(seat.source, word);
  }

  #unwatch(seat: GuestSeat, room: RoomName): void {
    seat.changes.forget(room);
    const watchers = this.#watchers.get(room);
    watchers?.delete(seat);
    if (watchers?.size === 0) this.#watchers.delete(room);
  }
}

class GuestSeat {
  readonly port: GuestPort;
  readonly source: Source;
  readonly changes = new Changes();
  readonly watched = new Set<RoomName>();

  constructor(port: GuestPort, source: Source) {
    this.port = port;
    this.source = source;
  }
}
