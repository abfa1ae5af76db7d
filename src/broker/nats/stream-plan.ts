import type { RoomSettings } from "../../core/settings.js";
import { namespaceOf, type RoomName } from "../../protocol/room-name.js";
import { type SetName, type Subjects, setName } from "./subjects.js";

/**
 * Which streams there are, and what each keeps.
 *
 * Settings hang on namespaces, while a stream holds many rooms. So there is a **set** of streams, one a partition, for
 * the namespaces that keep no state (`FW_p`) and one for those that do (`FW_KEY_p`), and a set keeps as much as the
 * greediest of its namespaces: its messages a room (a key, in a keyed set) and its age. The reader applies each
 * namespace's own bounds, exactly, so that nobody sees more than was asked for. A change of settings thus only ever
 * moves the bounds of streams that stay: positions of clients survive it. Where one namespace keeps far more than the
 * others, give it a set of its own (`nats.sets`), or all rooms of the set use that much disk.
 *
 * - A set keeps {@link MESSAGES_MORE} messages more than asked for, which prove of a position that nothing after it is
 *   gone, and at least {@link SECONDS_MIN} seconds: holes in the live flow are filled from there, also in a namespace
 *   that keeps no history.
 * - A keyed set has no bound of age, as the latest message of a key never expires. Each key keeps as many messages as
 *   the room's history may have, since all of them may be of one key.
 * - A namespace that changes between keyed, plain and ephemeral, or its set, and a change of the number of partitions,
 *   move rooms to other streams: there history begins anew, with a new epoch. Only `--force` does that.
 */
export interface StreamPlan {
  readonly subjects: Subjects;
  readonly sets: readonly StreamSet[];
  readonly placeOf: (namespace: string) => Placement;
}

/** The streams of a set keep this much. */
export interface StreamSet {
  readonly set: SetName;
  /** Messages of one room, or in a keyed set of one key of one room. */
  readonly messages: number;
  /** Age after which the server drops them; 0: never. */
  readonly seconds: number;
}

/** Where a namespace's rooms are, and what is read of them. */
export interface Placement {
  /** Undefined: the namespace is ephemeral. */
  readonly set: SetName | undefined;
  readonly history: RoomSettings["history"];
}

/** Settings of all namespaces, named or not. */
export interface NamespaceSettings {
  readonly defaults: StoredSettings;
  readonly byName: Readonly<Record<string, StoredSettings>>;
  /** Namespaces whose streams are a set of their own, by the name of the set. */
  readonly sets?: Readonly<Record<string, string>>;
}

/** What of a room's settings concerns storage. */
export type StoredSettings = Pick<RoomSettings, "history" | "state" | "ephemeral">;

/** Messages that a room or key keeps beyond its history: as many may come while a page of it is read. */
const MESSAGES_MORE = 100;

/** Some times the interval of sweeps, which find the holes; also longer than {@link DUPLICATE_WINDOW_SECONDS}. */
const SECONDS_MIN = 300;

/** How long the server knows a message's id. The server wants no more than the age. */
export const DUPLICATE_WINDOW_SECONDS = 120;

/** Sets of streams in one deployment. Each is as many streams as there are partitions, and a stream costs the server. */
const SETS_MAX = 8;

/** @throws RangeError where a set's name is not valid or there are more than {@link SETS_MAX}. */
export function planStreams(settings: NamespaceSettings, subjects: Subjects): StreamPlan {
  const places = new Map<string, Placement>();
  const sets = new Map<string, StreamSet>();
  const place = (namespace: string, own: StoredSettings): Placement => {
    const { history, state, ephemeral } = own;
    if (ephemeral) return { set: undefined, history };
    const set = setName(settings.sets?.[namespace] ?? "", state);
    const before = sets.get(idOf(set));
    sets.set(idOf(set), {
      set: before?.set ?? set,
      messages: Math.max(before?.messages ?? 0, history.messages + MESSAGES_MORE),
      seconds: state ? 0 : Math.max(before?.seconds ?? SECONDS_MIN, history.seconds),
    });
    return { set: sets.get(idOf(set))?.set ?? set, history };
  };
  const defaults = place("", settings.defaults);
  const names = new Set([...Object.keys(settings.byName), ...Object.keys(settings.sets ?? {})]);
  for (const name of [...names].sort())
    places.set(name, place(name, settings.byName[name] ?? settings.defaults));
  if (sets.size > SETS_MAX)
    throw new RangeError(`${sets.size} sets of streams: at most ${SETS_MAX} are allowed`);
  return { subjects, sets: [...sets.values()], placeOf: (namespace) => places.get(namespace) ?? defaults };
}

/** Where one room is stored. */
export function placeOf(plan: StreamPlan, room: RoomName): Placement {
  return plan.placeOf(namespaceOf(room));
}

/** A set's name in records: `in`, `key`, `in-ticks`. */
export function idOf({ keyed, suffix }: SetName): string {
  return `${keyed ? "key" : "in"}${suffix}`;
}
