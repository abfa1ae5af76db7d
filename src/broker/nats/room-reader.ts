import { CodedError } from "../../protocol/errors.js";
import type { ResetReason } from "../../protocol/frames.js";
import { LatestKeys } from "./latest-keys.js";
import type { StoredMessage } from "./stored-message.js";
import type { Cursor, CursorStart, StreamReads } from "./stream-reader.js";
import type { Stream, StreamInfo } from "./streams.js";

/** Where a room's messages are. */
export interface RoomPlace {
  readonly stream: Stream;
  readonly filter: string;
}

/** What of a room's messages may be read. */
export interface HistoryBounds {
  readonly messages: number;
  readonly maxAgeMs: number;
}

export type StoredPage =
  | {
      readonly kind: "page";
      /** Contiguous, oldest first. */
      readonly messages: readonly StoredMessage[];
      /** The position before the first message: nothing is missing between. */
      readonly before: number;
      readonly more: boolean;
      /** The room's last message, 0 where none is kept. */
      readonly head: number;
    }
  | { readonly kind: "lost"; readonly reason: ResetReason; readonly head: number };

export interface StoredSnapshot {
  /** The latest of every key, in order. */
  readonly messages: readonly StoredMessage[];
  readonly droppedKeys: number;
  /** The room's last message, 0 where none is kept. */
  readonly head: number;
}

/**
 * Up to which number a room was purged by itself, as of this call; 0: it was not. Rejects where that cannot be found out.
 */
export type PurgedUpTo = (place: RoomPlace) => Promise<number>;

/** Told of what a stream's leader says on the way; false: not the stream that it was, and what was read is void. */
export type Observe = (stream: Stream, info: StreamInfo) => boolean;

/**
 * Reads one room's history from its stream, and proves that it is whole. A stream does not say which messages are gone,
 * so this is how it is known that none after a position A is:
 *
 * - Numbers below the stream's first are gone, of whatever room: A must not be below it. Or an older message of the
 *   room is still kept (not keyed): a room's oldest go first.
 * - Where the stream lacks no number between its first and its last, nothing after its first is gone.
 * - The bound on messages a room (key) takes one only where that many newer ones are kept. So if fewer than that follow
 *   A, and not enough came during the read to reach it, none was taken. This alone does not prove that the room was not
 *   purged: whoever does that with fanwire's command writes it down (see purges.ts), and then A must not be before it.
 *
 * Where neither shows it, the answer is `lost`, also if in truth nothing is missing. Heads are asked of the leader;
 * messages may come from a replica that is behind, so whoever has not read up to the head reads again.
 *
 * Each call is one try. What fails and may pass is to be tried again by the caller (`isTransient`).
 */
export class RoomReader {
  readonly #reads: StreamReads;
  readonly #observe: Observe;
  readonly #batch: number;
  readonly purgedUpTo: PurgedUpTo;

  /** @param batch Messages asked for at once. */
  constructor(reads: StreamReads, observe: Observe, batch: number, purgedUpTo: PurgedUpTo) {
    this.#reads = reads;
    this.#observe = observe;
    this.#batch = batch;
    this.purgedUpTo = purgedUpTo;
  }

  /** The room's last message; 0 where none is kept. */
  head({ stream, filter }: RoomPlace, timeoutMs?: number): Promise<number> {
    return this.#reads.last(stream, filter, timeoutMs);
  }

  /** The page that follows a position. `bounds` undefined: all that the stream keeps. */
  async after(
    place: RoomPlace,
    after: number,
    limit: number,
    bounds: HistoryBounds | undefined,
    nowMs: number,
  ): Promise<StoredPage> {
    const { before, head } = await this.#begin(place);
    const lost = (reason: ResetReason): StoredPage => ({ kind: "lost", reason, head });
    if (after > before.lastSequence) return lost("epoch");
    let found: Range = { messages: [], pending: 0 };
    if (head > after) {
      found = await this.#range(place, after + 1, 0, limit, head);
      const count = Math.max(found.pending, found.messages.length);
      if (bounds !== undefined && count > bounds.messages) return lost("expired");
    }
    const wholeness = await this.#wholeness(place, after, found.pending, before);
    if (wholeness === "broken") return lost("expired");
    if (wholeness === "counted" && (await this.purgedUpTo(place)) > after) return lost("purged");
    const [first] = found.messages;
    if (first !== undefined && bounds !== undefined && isOld(first, bounds, nowMs)) return lost("expired");
    const reached = found.messages.at(-1)?.sequence ?? head;
    const { messages } = found;
    return { kind: "page", messages, before: after, more: reached < head, head: Math.max(head, reached) };
  }

  /** The last n, of which the page is the first `limit`. */
  async last(
    place: RoomPlace,
    count: number,
    limit: number,
    bounds: HistoryBounds,
    nowMs: number,
  ): Promise<StoredPage> {
    const { before, head } = await this.#begin(place);
    const wanted = Math.min(count, bounds.messages);
    const none: StoredPage = { kind: "page", messages: [], before: head, more: false, head };
    if (head === 0 || wanted === 0) return none;
    const { start, pending } = await this.#locate(place, wanted + 1, nowMs - bounds.maxAgeMs, before, head);
    if (pending === 0) return none;
    // One more where there is one: its number is the position before the first.
    const skip = Math.max(0, pending - wanted - 1);
    // The count may be of a replica that was behind. Up to the head all are read and counted; only where that would be
    // far more than the page, it may begin a little early.
    const isExact = wanted <= limit + SURPLUS;
    const read = await this.#range(place, start, skip, isExact ? EVERYTHING : limit + 1, head);
    const all = isExact ? read.messages.slice(-wanted - 1) : read.messages;
    const [oldest] = all;
    const first = await this.#reads.first(place.stream, place.filter);
    if (oldest === undefined || first === 0) throw behind("it changed amid the read");
    const isKept = !place.stream.set.keyed && first <= oldest.sequence;
    if (!isKept && (await this.#wholeness(place, oldest.sequence, wanted, before)) === "broken")
      throw behind("it changed amid the read");
    const hasWitness = isExact ? all.length > wanted : pending > wanted;
    // Nothing of this room can be missing before the first that is kept where nothing of the stream is.
    const isFirst =
      first === oldest.sequence && before.firstSequence <= 1 && pending < place.stream.messagesMin;
    const messages = (hasWitness ? all.slice(1) : all).slice(0, limit);
    const reached = messages.at(-1)?.sequence ?? head;
    return {
      kind: "page",
      messages,
      before: hasWitness ? oldest.sequence : isFirst ? 0 : oldest.sequence - 1,
      more: reached < head,
      head: Math.max(head, reached),
    };
  }

  /** The latest message of every key; of more keys than allowed the least recently updated are left out. */
  async snapshot(place: RoomPlace, keysMax: number): Promise<StoredSnapshot> {
    const { head } = await this.#begin(place);
    if (head === 0) return { messages: [], droppedKeys: 0, head };
    const cursor = await this.#reads.cursor(place.stream, place.filter, "lastOfEach");
    const keys = new LatestKeys(keysMax);
    let count = 0;
    try {
      while (count < cursor.pending || keys.reached < head) {
        const batch = await cursor.read(this.#batch);
        if (batch.length === 0) break;
        count += batch.length;
        for (const message of batch) keys.take(message);
      }
    } finally {
      cursor.close();
    }
    if (keys.reached < head || count < cursor.pending) throw behind("a replica is behind its leader");
    return { messages: keys.messages, droppedKeys: keys.droppedKeys, head: keys.reached };
  }

  /** What there is before a read. */
  async #begin({ stream, filter }: RoomPlace): Promise<{ before: StreamInfo; head: number }> {
    const [before, head] = await Promise.all([this.#reads.info(stream), this.#reads.last(stream, filter)]);
    if (!this.#observe(stream, before)) throw behind("the stream is another one");
    return { before, head };
  }

  /** Messages from a number on, without the first few of them; all up to the head, or `limit`. */
  async #range(
    place: RoomPlace,
    from: CursorStart,
    skip: number,
    limit: number,
    head: number,
  ): Promise<Range> {
    const cursor = await this.#reads.cursor(place.stream, place.filter, from);
    try {
      return { messages: await this.#collect(cursor, skip, limit, head), pending: cursor.pending };
    } finally {
      cursor.close();
    }
  }

  async #collect(cursor: Cursor, skip: number, limit: number, head: number): Promise<StoredMessage[]> {
    const messages: StoredMessage[] = [];
    let toSkip = skip;
    for (let reached = 0; messages.length < limit && reached < head; ) {
      const batch = await cursor.read(Math.min(this.#batch, Math.max(1, toSkip + limit - messages.length)));
      const last = batch.at(-1);
      if (last === undefined) throw behind("a replica is behind its leader");
      reached = last.sequence;
      messages.push(...batch.slice(toSkip));
      toSkip = Math.max(0, toSkip - batch.length);
    }
    return messages;
  }

  /** Whether nothing after a position was gone at the end of a read that found so many. "counted": but for a purge. */
  async #wholeness(
    { stream, filter }: RoomPlace,
    after: number,
    found: number,
    before: StreamInfo,
  ): Promise<"proven" | "counted" | "broken"> {
    if (!stream.set.keyed) {
      const first = await this.#reads.first(stream, filter);
      if (first > 0 && first <= after) return "proven";
    }
    const now = await this.#reads.info(stream);
    if (!this.#observe(stream, now)) throw behind("the stream is another one");
    if (after < now.firstSequence - 1) return "broken";
    if (isUnbroken(now)) return "proven";
    const came = now.lastSequence - before.lastSequence;
    return found + came < stream.messagesMin ? "counted" : "broken";
  }

  /**
   * Where to begin so that there are at least so many messages (or all that are young enough), and not many more: a
   * room's messages can only be read forward, and its share of the stream is guessed.
   */
  async #locate(
    place: RoomPlace,
    wanted: number,
    sinceMs: number,
    before: StreamInfo,
    head: number,
  ): Promise<Start> {
    const pendingFrom = async (start: CursorStart): Promise<Start> => {
      const cursor = await this.#reads.cursor(place.stream, place.filter, start);
      cursor.close();
      return { start, pending: cursor.pending };
    };
    const young = await pendingFrom({ sinceMs });
    if (young.pending <= wanted + SURPLUS) return young;
    let best = young;
    const whole = head - before.firstSequence + 1;
    let span = Math.ceil((whole * wanted * 1.5) / young.pending);
    for (let tries = 0; tries < LOCATE_TRIES && span < whole; tries += 1) {
      const found = await pendingFrom(head - span + 1);
      if (found.pending >= wanted) {
        if (found.pending < best.pending) best = found;
        if (found.pending <= 4 * wanted + SURPLUS) break;
        span = Math.ceil(span / 3);
      } else if (best !== young) break;
      else span *= 3;
    }
    return best;
  }
}

/** Whether it has every number from its first to its last. */
function isUnbroken({ firstSequence, lastSequence, messages }: StreamInfo): boolean {
  return messages === lastSequence - firstSequence + 1;
}

/** Reading this many messages for nothing costs less than finding out where to begin. */
const SURPLUS = 1_000;

const EVERYTHING = Number.MAX_SAFE_INTEGER;

const LOCATE_TRIES = 6;

interface Range {
  readonly messages: readonly StoredMessage[];
  /** How many there were from the beginning on. */
  readonly pending: number;
}

interface Start {
  readonly start: CursorStart;
  readonly pending: number;
}

function isOld({ storedMs }: StoredMessage, { maxAgeMs }: HistoryBounds, nowMs: number): boolean {
  return storedMs !== undefined && nowMs - storedMs >= maxAgeMs;
}

/** Tried again, it may well succeed. */
function behind(reason: string): CodedError {
  return new CodedError("unavailable", `the history could not be read: ${reason}`, 500);
}
