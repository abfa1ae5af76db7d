/**
 * What reads cost, in microseconds of hub and server together, measured with 128 bytes a message: enough to choose
 * between ways that differ by multiples.
 */
const COST = {
  /** Of one room alone: some six questions, and a consumer that is made and deleted. */
  alone: 400,
  /** Of a pass: the same, and what is done for all rooms in the end. */
  pass: 600,
  /** The server looks at every number that a filtered read spans. */
  spanned: 0.12,
  /** A message that is sent and then not wanted. */
  unwanted: 4,
} as const;

/** Below this a pass saves nothing that anybody would notice. */
export const PASS_ROOMS_MIN = 4;

/** Subjects in the filter of one consumer: its configuration must stay a small message. */
const FILTERS_MAX = 1_000;

/** What is asked of one room: everything after a position. */
export interface Span {
  readonly after: number;
}

/** What is known of a stream when the way to read it is chosen. */
export interface StreamShape {
  /** The highest number given out. */
  readonly last: number;
  /** Share of the numbers of which the message is kept, 0 to 1. */
  readonly density: number;
  /** Share of the stream's subjects that all rooms asked for are, 0 to 1. */
  readonly share: number;
  /** Whether a consumer of this server can have many filters. */
  readonly manyFilters: boolean;
}

export type ReadPlan<T> =
  | { readonly kind: "alone" }
  /** One pass over the stream for these. Filtered: only their messages are sent. */
  | { readonly kind: "pass"; readonly rooms: readonly T[]; readonly filtered: boolean };

/**
 * How to read what is asked of one stream at once: room by room, or in one pass from the lowest position asked for.
 * Rooms that lie so far back that the pass would cost more with them than they cost alone are left out.
 */
export function planRead<T extends Span>(asked: readonly T[], shape: StreamShape): ReadPlan<T> {
  const { last, density, share, manyFilters } = shape;
  const nearest = [...asked].sort((a, b) => b.after - a.after);
  let saved = 0;
  let rooms = 0;
  let filtered = false;
  let alone = 0;
  for (const [index, { after }] of nearest.entries()) {
    const span = Math.max(0, last - after);
    const count = index + 1;
    alone += COST.alone + span * COST.spanned;
    const unwanted = span * density * (1 - (share * count) / nearest.length);
    const whole = COST.pass + unwanted * COST.unwanted;
    // The server looks for each filter by itself when it counts, and in older versions also when it reads.
    const byFilter = COST.pass + span * COST.spanned * count;
    const canFilter = manyFilters && count <= FILTERS_MAX;
    const cost = canFilter ? Math.min(whole, byFilter) : whole;
    if (alone - cost < saved) continue;
    saved = alone - cost;
    rooms = count;
    filtered = canFilter && byFilter < whole;
  }
  if (rooms < PASS_ROOMS_MIN || saved <= 0) return { kind: "alone" };
  return { kind: "pass", rooms: nearest.slice(0, rooms), filtered };
}
