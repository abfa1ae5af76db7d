import type { Counted } from "../core/census.js";
import type { EngineLook } from "../core/engine.js";

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

/** What a worker said last. */
export interface WorkerLook {
  readonly worker: number;
  readonly look: EngineLook | undefined;
}

/**
 * Sums the lists of all workers. A worker names more rooms than are shown, so that a room which is large altogether is hardly
 * ever missing in one of them; where it is, its number is too small by less than that of the last one named.
 */
export function roomsOf(looks: readonly WorkerLook[]): OpsRooms {
  const lists = looks.flatMap(({ look }) => (look === undefined ? [] : [look.rooms]));
  return {
    subscribers: largest(lists.map(({ subscribers }) => subscribers)),
    bytes: largest(lists.map(({ bytes }) => bytes)),
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

function largest(lists: readonly (readonly Counted[] | undefined)[]): readonly Counted[] | undefined {
  const known = lists.flatMap((list) => (list === undefined ? [] : [list]));
  if (known.length === 0) return undefined;
  const sums = new Map<Counted["room"], number>();
  for (const { room, count } of known.flat()) sums.set(room, (sums.get(room) ?? 0) + count);
  return [...sums]
    .map(([room, count]) => ({ room, count: Math.round(count) }))
    .sort((one, other) => other.count - one.count)
    .slice(0, SHOWN_MAX);
}
