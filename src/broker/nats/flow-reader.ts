import { CodedError } from "../../protocol/errors.js";
import type {
  HeadsAnswer,
  HeadsAsk,
  PageAnswer,
  PageAsk,
  RangeAnswer,
  RangeAsk,
  StreamFacts,
} from "./flow/flow-port.js";
import type { Gate } from "./gate.js";
import type { Observe } from "./room-reader.js";
import type { StoredMessage } from "./stored-message.js";
import type { Cursor, StreamReads } from "./stream-reader.js";
import type { Stream, StreamInfo } from "./streams.js";
import type { Subjects } from "./subjects.js";

export interface FlowReaderOptions {
  /**
   * Reads over the connection of live messages: a server passes on what it is told to subscribe to before what it is asked
   * afterwards, so that nothing can fall between a subscription and the baseline that is read after it.
   */
  readonly live: StreamReads;
  /** Reads over another one, which do not stand in the way of the live flow. */
  readonly replay: StreamReads;
  readonly subjects: Subjects;
  readonly observe: Observe;
  /** Holds back reads of many messages, and those of one. */
  readonly gate: Gate;
  readonly finds: Gate;
  /** Messages asked for at once. */
  readonly batch: number;
}

/** Answers what the live flow asks. Each call is one try, and each of its requests has a deadline. */
export class FlowReader {
  readonly #options: FlowReaderOptions;

  constructor(options: FlowReaderOptions) {
    this.#options = options;
  }

  async heads(stream: Stream, ask: HeadsAsk<StoredMessage>): Promise<HeadsAnswer<StoredMessage>> {
    const { live, replay, finds } = this.#options;
    const reads = ask.flush ? live : replay;
    const heads = new Map<string, number>();
    const anchors: StoredMessage[] = [];
    let last: StoredMessage | undefined;
    const facts = await this.#between(reads, stream, async ({ lastSequence }) => {
      const lookUp = async (sequence: number): Promise<void> => {
        const message = await finds.run(() => reads.at(stream, sequence));
        if (message === undefined) return;
        if (ask.anchors.includes(sequence)) anchors.push(message);
        if (sequence === lastSequence) last = message;
      };
      const find = async (token: string): Promise<void> => {
        const head = await finds.run(() => reads.last(stream, this.#filter(stream, token)));
        if (head > 0) heads.set(token, head);
      };
      const known = new Set(lastSequence > 0 ? [...ask.anchors, lastSequence] : ask.anchors);
      await Promise.all([...[...known].map(lookUp), ...ask.rooms.map(({ token }) => find(token))]);
      return lastSequence;
    });
    return { ...facts, heads, anchors, last };
  }

  async page(stream: Stream, { room, anchor, after, limit }: PageAsk<StoredMessage>) {
    const { replay, gate } = this.#options;
    const filter = this.#filter(stream, room.token);
    return await gate.run(async (): Promise<PageAnswer<StoredMessage>> => {
      let messages: StoredMessage[] = [];
      let more = false;
      let before: StoredMessage | undefined;
      const facts = await this.#between(replay, stream, async ({ lastSequence }) => {
        const head = await replay.last(stream, filter);
        if (head > after) messages = await this.#range(stream, filter, after, limit, head);
        const reached = messages.at(-1)?.sequence ?? after;
        more = reached < head;
        // After the messages: while it is there, so is all that follows.
        if (anchor > 0) before = await replay.at(stream, anchor);
        return more ? reached : lastSequence;
      });
      const isOwn = before?.roomToken === room.token;
      return { ...facts, anchor: isOwn ? before : undefined, messages, more };
    });
  }

  async range(stream: Stream, { after, limit }: RangeAsk): Promise<RangeAnswer<StoredMessage>> {
    const { replay, gate } = this.#options;
    return await gate.run(async (): Promise<RangeAnswer<StoredMessage>> => {
      let found: StoredMessage[] = [];
      let more = false;
      const facts = await this.#between(replay, stream, async ({ firstSequence, lastSequence }) => {
        if (lastSequence > after) found = await this.#range(stream, undefined, after, limit, lastSequence);
        const reached = found.at(-1)?.sequence ?? after;
        more = found.length >= limit && reached < lastSequence;
        // A read may bring more than there was when it began.
        const end = more ? reached : Math.max(reached, lastSequence);
        found = await this.#withUnmatched(stream, found, Math.max(after + 1, firstSequence), end);
        return more ? reached : lastSequence;
      });
      return { ...facts, more, messages: found.map((message) => ({ token: message.roomToken, message })) };
    });
  }

  /** Surrounds a read by what the stream's leader says before and after it; `read` says how far it is complete. */
  async #between(
    reads: StreamReads,
    stream: Stream,
    read: (before: StreamInfo) => Promise<number>,
  ): Promise<StreamFacts> {
    const { observe } = this.#options;
    const { epoch } = stream;
    const before = await reads.info(stream);
    if (!observe(stream, before)) throw behind("the stream is another one");
    const upTo = await read(before);
    const after = await reads.info(stream);
    if (!observe(stream, after) || stream.epoch !== epoch) throw behind("the stream is another one");
    return { epoch, upTo, first: after.firstSequence };
  }

  /** What is kept after a number up to another, or so many; proven not to be what a replica lacks. */
  async #range(
    stream: Stream,
    filter: string | undefined,
    after: number,
    limit: number,
    upTo: number,
  ): Promise<StoredMessage[]> {
    const { replay } = this.#options;
    const cursor = await replay.cursor(stream, filter, after + 1);
    try {
      const messages = await this.#collect(cursor, limit, upTo);
      const reached = messages.at(-1)?.sequence ?? after;
      if (messages.length >= limit || reached >= upTo) return messages;
      const next = await replay.first(stream, filter ?? stream.allSubjects, reached + 1);
      if (next > 0 && next <= upTo) throw behind("a replica is behind its leader");
      return messages;
    } finally {
      cursor.close();
    }
  }

  async #collect(cursor: Cursor, limit: number, upTo: number): Promise<StoredMessage[]> {
    const messages: StoredMessage[] = [];
    for (let reached = 0; messages.length < limit && reached < upTo; ) {
      const batch = await cursor.read(Math.min(this.#options.batch, limit - messages.length));
      const last = batch.at(-1);
      if (last === undefined) break;
      reached = last.sequence;
      messages.push(...batch);
    }
    return messages;
  }

  /**
   * Adds what is stored and was not given. No filter matches a subject that ends in ">", which anybody who may publish keys can
   * store a message under: it is in no room, but where numbers must be without a hole it is no hole.
   */
  async #withUnmatched(
    stream: Stream,
    found: StoredMessage[],
    from: number,
    upTo: number,
  ): Promise<StoredMessage[]> {
    const missing = upTo - from + 1 - found.length;
    if (missing <= 0 || missing > UNMATCHED_MAX) return found;
    const known = new Set(found.map(({ sequence }) => sequence));
    const all = [...found];
    for (let sequence = from; sequence <= upTo; sequence += 1) {
      const message = known.has(sequence) ? undefined : await this.#options.replay.at(stream, sequence);
      if (message !== undefined) all.push(message);
    }
    return all.sort((a, b) => a.sequence - b.sequence);
  }

  #filter({ set, partition }: Stream, token: string): string {
    return this.#options.subjects.filter(set, partition, token);
  }
}

/** Looked up one by one. More are missing only where keys were trimmed or the stream was purged. */
const UNMATCHED_MAX = 16;

/** Tried again, it may well succeed. */
function behind(reason: string): CodedError {
  return new CodedError("unavailable", `the stream could not be read: ${reason}`, 500);
}
