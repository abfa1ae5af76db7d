/** One point of the design: everything that prices are told apart by is varied apart from the others. */
export interface Point {
  readonly crowd: Crowd;
  /** Messages a second of a room, so many at once, of so many bytes. */
  readonly rate: number;
  readonly burst: number;
  readonly bytes: number;
  /** Not fitted to, but predicted. */
  readonly heldOut: boolean;
}

/** Subscribers that stay connected for all points that are measured with them. */
export interface Crowd {
  readonly subscribers: number;
  readonly rooms: number;
  readonly roomsEach: number;
}

type Row = readonly [rate: number, burst: number, bytes: number, heldOut?: "held out"];

/**
 * Writes are told from messages by bursts, what rest costs by how often they come, messages from bytes by length, publishes from both by rooms without many
 * members, requests from publishes by bursts there; connections by a run of their own in which nothing is published.
 * What is held out lies between the others, in every direction.
 */
const DESIGN: readonly (readonly [Crowd, ...Row[]])[] = [
  [
    { subscribers: 1_000, rooms: 1, roomsEach: 1 },
    [20, 1, 100],
    [60, 1, 100],
    [320, 32, 50],
    [2_000, 400, 50],
    [200, 10, 1_200],
    [20, 1, 4_000],
    [40, 1, 200, "held out"],
    [320, 16, 100, "held out"],
  ],
  [{ subscribers: 1_000, rooms: 10, roomsEach: 10 }, [5, 1, 100], [20, 4, 100]],
  [{ subscribers: 200, rooms: 200, roomsEach: 1 }, [75, 50, 100], [150, 50, 100], [8, 1, 100]],
  [{ subscribers: 3_000, rooms: 1, roomsEach: 1 }, [8, 1, 100]],
  [{ subscribers: 1_000, rooms: 4, roomsEach: 2 }, [80, 4, 500, "held out"]],
  [{ subscribers: 200, rooms: 100, roomsEach: 2 }, [200, 50, 100, "held out"]],
  [{ subscribers: 2_000, rooms: 1, roomsEach: 1 }, [10, 1, 100, "held out"]],
  [{ subscribers: 2_000, rooms: 10, roomsEach: 3 }, [4, 2, 300, "held out"]],
];

/** Below this it is to show that it works, and nothing else. */
const TRY = 0.1;

/** The design with that share of the clients, and for a try only as much of it as prices can be fitted to; points with the same crowd share the object. */
export function designOf(scale: number): readonly Point[] {
  const design = scale < TRY ? DESIGN.filter((_, index) => index === 0 || index === 2) : DESIGN;
  return design.flatMap(([{ subscribers, ...rooms }, ...rows]) => {
    const crowd = { subscribers: Math.max(10, Math.round(subscribers * scale)), ...rooms };
    return rows.map(([rate, burst, bytes, heldOut]) => ({
      crowd,
      rate,
      burst,
      bytes,
      heldOut: heldOut !== undefined,
    }));
  });
}

export function nameOf({ crowd: { subscribers, rooms, roomsEach }, rate, burst, bytes }: Point): string {
  return `${subscribers} clients in ${roomsEach} of ${rooms} rooms, ${rate}/s a room by ${burst}, ${bytes} bytes`;
}
