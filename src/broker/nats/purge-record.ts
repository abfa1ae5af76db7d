import { z } from "zod";
import { CodedError } from "../../protocol/errors.js";

/** One room that was purged by itself, or is about to be. */
export interface Purge {
  readonly stream: string;
  /** Of the stream's numbering: in another one it means nothing. */
  readonly epoch: string;
  /** As in subjects; {@link ANY_ROOM}: every room of the stream. */
  readonly room: string;
  /** What it had stored up to here. */
  readonly upTo: number;
  /** False: announced only, so that whoever resumes meanwhile is told already. */
  readonly done: boolean;
  /** A node found out that somebody else did it: every node with the room open finds that out by itself. */
  readonly noticed?: boolean | undefined;
}

/** In the place of a room, where so many of a stream were purged that it is not remembered which. No room has this token. */
export const ANY_ROOM = "~";

/** About half of what a server takes as one message. */
const PURGES_MAX = 2_000;

const schema = z.object({
  version: z.literal(1),
  purges: z.array(
    z.object({
      stream: z.string(),
      epoch: z.string(),
      room: z.string(),
      upTo: z.int().min(0),
      done: z.boolean(),
      noticed: z.boolean().optional(),
    }),
  ),
});

/** @throws CodedError `unavailable` where the text is no record that this version knows: nobody may be told that nothing was purged. */
export function parsePurges(text: string): readonly Purge[] {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data.purges;
  throw new CodedError(
    "unavailable",
    "which rooms were purged stands in a record that this version of fanwire does not read: update this node",
    RETRY_MS,
  );
}

export function purgesText(purges: readonly Purge[]): string {
  return JSON.stringify({ version: 1, purges });
}

/**
 * The record with some purges more. Those that say nothing any more are left out; where it would still be too long, those
 * of the stream that has most become one of all its rooms: more is told then than need be, never less.
 * @param isMoot Whether nothing that it took could be there by now, purge or not: who resumes from before it is told anyway.
 */
export function withPurges(
  known: readonly Purge[],
  added: readonly Purge[],
  isMoot: (purge: Purge) => boolean,
  most = PURGES_MAX,
): readonly Purge[] {
  const all = new Map<string, Purge>();
  for (const purge of [...known.filter((one) => !isMoot(one)), ...added]) {
    const key = keyOf(purge);
    const before = all.get(key);
    // What was noticed does not stand in the way of what is to be told.
    if (before !== undefined && purge.noticed === true && before.upTo >= purge.upTo) continue;
    all.set(key, before === undefined ? purge : { ...purge, upTo: Math.max(purge.upTo, before.upTo) });
  }
  const news = new Set(added.map(keyOf));
  let purges = [...all.values()];
  while (purges.length > most) {
    const old = purges.filter((one) => !news.has(keyOf(one)));
    const stream = fullest(old);
    const own = old.filter((one) => one.stream === stream);
    const [last] = own.slice(-1);
    if (last === undefined || own.length < 2) break;
    const upTo = Math.max(...own.map((one) => one.upTo));
    purges = [...purges.filter((one) => !own.includes(one)), { ...last, room: ANY_ROOM, upTo, done: true }];
  }
  return purges;
}

/** What two purges of the same room have in common. */
export function keyOf({ stream, epoch, room }: Pick<Purge, "stream" | "epoch" | "room">): string {
  return `${stream} ${epoch} ${room}`;
}

function fullest(purges: readonly Purge[]): string {
  const counts = new Map<string, number>();
  for (const { stream } of purges) counts.set(stream, (counts.get(stream) ?? 0) + 1);
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return most?.[0] ?? "";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const RETRY_MS = 5_000;
