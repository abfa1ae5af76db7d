import type { RoomName } from "../../protocol/room-name.js";
import {
  type ListLimits,
  type Member,
  memberBytes,
  type PresenceOp,
  sizeOf,
  type View,
  type Views,
} from "./op.js";
import { Roster, type RosterView } from "./roster.js";

/** Told of a room, and of the member where it was one alone, that has changed in a source. */
export type OnChange = (room: RoomName, id: string | undefined, source: Source) => void;

/** One that tells who is in rooms where it is: a worker of this node, or another hub. */
export interface Source {
  /** In whose order data of a member is looked for. All hubs must have the same order. */
  readonly name: string;
  readonly isLocal: boolean;
  readonly roster: Roster;
}

/**
 * Who is in rooms over several sources. Those who only count are summed; members are the same where their names are, so that many
 * tabs are one member on whichever node they are. Above the limit of listed members, or where a source is, a member of several
 * sources counts once for each of them.
 */
export class Assembly {
  readonly #limits: ListLimits;
  readonly #onChange: OnChange;
  /** In the order of their names. */
  #sources: Source[] = [];
  /** What the sources on this node make together. */
  readonly local: Views = { view: (room) => this.#view(room, true) };
  /** What all make together. */
  readonly all: Views = { view: (room) => this.#view(room, false) };

  constructor(limits: ListLimits, onChange: OnChange) {
    this.#limits = limits;
    this.#onChange = onChange;
  }

  /** A new source. Its name must not be there already. */
  add(name: string, isLocal: boolean): Source {
    const source = { name, isLocal, roster: new Roster() };
    this.#sources = [...this.#sources, source].sort((a, b) => (a.name < b.name ? -1 : 1));
    return source;
  }

  apply(source: Source, op: PresenceOp): void {
    source.roster.apply(op);
    this.#onChange(op.room, op.kind === "join" || op.kind === "leave" ? op.id : undefined, source);
  }

  /** A source forgets a room that it does not speak of any more. */
  remove(source: Source, room: RoomName): void {
    source.roster.remove(room);
    this.#onChange(room, undefined, source);
  }

  /** A source is gone, and all who were there. */
  drop(source: Source): void {
    this.#sources = this.#sources.filter((other) => other !== source);
    for (const room of source.roster.names()) this.#onChange(room, undefined, source);
  }

  #view(room: RoomName, isLocalOnly: boolean): View | undefined {
    let first: RosterView | undefined;
    let more: View[] | undefined;
    for (const { roster, isLocal } of this.#sources) {
      if (isLocalOnly && !isLocal) continue;
      const view = roster.view(room);
      if (view === undefined) continue;
      if (first === undefined) first = view;
      else {
        more ??= [first];
        more.push(view);
      }
    }
    if (more !== undefined) return this.#merged(more);
    // Another hub's limits may be others.
    return first?.kind === "list" && !this.#isListed(first.members.size, first.bytes)
      ? { kind: "count", count: first.members.size }
      : first;
  }

  #isListed(members: number, bytes: number): boolean {
    return members <= this.#limits.members && bytes <= this.#limits.bytes;
  }

  #merged(views: readonly View[]): View {
    let count = 0;
    let isCounted = false;
    for (const view of views) {
      count += sizeOf(view);
      if (view.kind === "count") isCounted = true;
    }
    if (isCounted) return { kind: "count", count };
    const members = new Map<string, Member>();
    let bytes = 0;
    for (const view of views) {
      if (view.kind !== "list") continue;
      for (const [id, member] of view.members) {
        const before = members.get(id);
        if (before !== undefined && (before.info !== undefined || member.info === undefined)) continue;
        members.set(id, member);
        bytes += memberBytes(id, member) - (before === undefined ? 0 : memberBytes(id, before));
      }
    }
    return this.#isListed(members.size, bytes)
      ? { kind: "list", members }
      : { kind: "count", count: members.size };
  }
}
