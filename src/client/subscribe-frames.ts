import type { ClientFrame, ManyItem, Position, SubscribeOptions } from "../protocol/frames.js";
import { type Entry, positionOf, slowsDown } from "./subscription-entry.js";

/** More than the elements of `subscribe many` take besides its rooms. */
const FRAME_BYTES = 100;
/** Rooms in one frame: each takes up to some 70 bytes of the answer, which is one value and had better be no longer than others. */
const ROOMS_MAX = 200;

/** All but `after`, which is each room's own. */
export function optionsOf(entry: Entry, hidden: boolean): SubscribeOptions {
  const { fresh, request } = entry;
  const { last, state, echo, members, info } = request;
  const rate = hidden && slowsDown(entry) ? "slowest" : entry.rate;
  return {
    ...(fresh && last !== undefined && { last }),
    ...(fresh && state && { state }),
    ...(rate !== undefined && { rate }),
    ...(!echo && { echo }),
    ...(members && { members }),
    ...(info !== undefined && { info }),
  };
}

function afterOf(entry: Entry): Position | undefined {
  return entry.fresh ? undefined : positionOf(entry);
}

/** One subscribe, or one for many. */
export function frameOf(ref: number, entries: readonly Entry[], options: SubscribeOptions): ClientFrame {
  const [only] = entries;
  if (only?.pattern !== undefined) return { type: "subscribePattern", ref, pattern: only.pattern, options };
  if (only !== undefined && entries.length === 1) {
    const after = afterOf(only);
    return {
      type: "subscribe",
      ref,
      room: only.room,
      options: after === undefined ? options : { after, ...options },
    };
  }
  const rooms: ManyItem[] = entries.flatMap((entry) =>
    entry.pattern === undefined ? [{ room: entry.room, after: afterOf(entry) }] : [],
  );
  return { type: "subscribeMany", ref, rooms, options };
}

/** Splits by number, and by an upper bound of the bytes that each room takes. */
export function within(entries: readonly Entry[], frameBytesMax: number): Entry[][] {
  const bytesMax = frameBytesMax - FRAME_BYTES;
  const groups: Entry[][] = [];
  let group: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    // Headers of array, string, array, string, and an offset of 9 bytes; an epoch of 3 bytes a character at the most.
    const size = 20 + entry.room.length + 3 * entry.epoch.length;
    if (group.length === ROOMS_MAX || (group.length > 0 && bytes + size > bytesMax)) {
      groups.push(group);
      group = [];
      bytes = 0;
    }
    group.push(entry);
    bytes += size;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}
