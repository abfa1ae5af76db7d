import type { Counted } from "../core/census.js";
import type { EngineLook } from "../core/engine.js";
import type { RoomName } from "../protocol/room-name.js";

/** The node's largest rooms, put together from those of its workers. Undefined where nothing is known yet. */
export interface OpsRooms {
  readonly subscribers: readonly Counted[] | undefined;
  /** Bytes a second. */
  readonly bytes: readonly Counted[] | undefined;
}

export interface OpsSlow {
  /** Sockets that have or had something waiting, of all workers. */
  readonly watched: number;
  readonly clients: readonly (EngineLook["slow"]["clients"][number] & { readonly worker: number })[];
}

const SHOWN_MAX = 10;
/** Of each list; two of these are within what a worker answers at once. */
const CANDIDATES_MAX = 30;

/** What a worker said last. */
export interface WorkerLook {
  readonly worker: number;
  readonly look: EngineLook | undefined;
}

/** Rooms that are large somewhere: every worker is asked for its part of them. */
export function candidatesOf(looks: readonly WorkerLook[]): readonly RoomName[] {
  const { subscribers, bytes } = summed(looks);
  const largest = (counts: Counts): RoomName[] => sorted(counts).slice(0, CANDIDATES_MAX);
  return [...new Set([...largest(subscribers), ...largest(bytes)])];
}

/**
 * Puts the lists of all workers together. Numbers are sums of what every worker has, as each was asked for all that is
 * large elsewhere; only a room that is among the largest nowhere can be missing.
 */
export function roomsOf(looks: readonly WorkerLook[]): OpsRooms {
  const { subscribers, bytes } = summed(looks);
  const lists = looks.flatMap(({ look }) => (look === undefined ? [] : [look.rooms]));
  const shown = (counts: Counts): Counted[] =>
    sorted(counts)
      .slice(0, SHOWN_MAX)
      .map((room) => ({ room, count: Math.round(counts.get(room) ?? 0) }));
  return {
    subscribers: lists.some((list) => list.subscribers !== undefined) ? shown(subscribers) : undefined,
    bytes: lists.some((list) => list.bytes !== undefined) ? shown(bytes) : undefined,
  };
}

export function slowOf(looks: readonly WorkerLook[]): OpsSlow {
  const clients = looks.flatMap(({ worker, look }) =>
    (look?.slow.clients ?? []).map((client) => ({ ...client, worker })),
  );
  clients.sort((one, other) => other.bufferedBytes - one.bufferedBytes);
  const watched = looks.reduce((sum, { look }) => sum + (look?.slow.watched ?? 0), 0);
  return { watched, clients: clients.slice(0, SHOWN_MAX) };
}

type Counts = ReadonlyMap<RoomName, number>;

/** What each worker told of a room: as one of its largest, or because it was asked for it. */
function summed(looks: readonly WorkerLook[]): { readonly subscribers: Counts; readonly bytes: Counts } {
  const subscribers = new Map<RoomName, number>();
  const bytes = new Map<RoomName, number>();
  for (const { look } of looks) {
    if (look === undefined) continue;
    const { named } = look.rooms;
    addOf(subscribers, [
      ...listed(look.rooms.subscribers),
      ...named.map((one) => [one.room, one.subscribers] as const),
    ]);
    addOf(bytes, [...listed(look.rooms.bytes), ...named.map((one) => [one.room, one.bytes] as const)]);
  }
  return { subscribers, bytes };
}

function listed(list: readonly Counted[] | undefined): (readonly [RoomName, number])[] {
  return (list ?? []).map(({ room, count }) => [room, count]);
}

/** Of one worker: where it names a room twice, the later number holds. */
function addOf(sums: Map<RoomName, number>, counts: readonly (readonly [RoomName, number])[]): void {
  for (const [room, count] of new Map(counts)) if (count > 0) sums.set(room, (sums.get(room) ?? 0) + count);
}

function sorted(counts: Counts): RoomName[] {
  return [...counts.keys()].sort((one, other) => (counts.get(other) ?? 0) - (counts.get(one) ?? 0));
}
