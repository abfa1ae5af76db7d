import { CodedError } from "../../protocol/errors.js";
import type { Observe } from "./room-reader.js";
import type { StoredMessage } from "./stored-message.js";
import type { StreamReads } from "./stream-reader.js";
import type { Stream } from "./streams.js";

/** Messages of all rooms of one stream. */
export interface PartitionPage {
  /** In order. */
  readonly messages: readonly StoredMessage[];
  /** They are complete up to here. */
  readonly upTo: number;
  /** Some numbers in between are not kept any more, and nobody knows of which rooms they were. */
  readonly isMissing: boolean;
}

/** Reads a stream whole, as it is needed where rooms are followed by the stream's own numbers. */
export class PartitionReader {
  readonly #reads: StreamReads;
  readonly #observe: Observe;
  readonly #batch: number;

  constructor(reads: StreamReads, observe: Observe, batch: number) {
    this.#reads = reads;
    this.#observe = observe;
    this.#batch = batch;
  }

  /** What the leader has come to. */
  async head(stream: Stream): Promise<number> {
    const info = await this.#reads.info(stream);
    if (!this.#observe(stream, info)) throw behind("the stream is another one");
    return info.lastSequence;
  }

  /** Everything after a number up to another, or as much of it as one page holds. One try. */
  async between(stream: Stream, after: number, upTo: number): Promise<PartitionPage> {
    const last = await this.head(stream);
    if (last < upTo) throw behind("the leader does not have it");
    const cursor = await this.#reads.cursor(stream, undefined, after + 1);
    try {
      const messages = await cursor.read(this.#batch);
      const reached = messages.at(-1)?.sequence ?? after;
      let known = reached;
      if (messages.length < this.#batch && reached < upTo) {
        // Either a replica that is behind, or nothing more is kept up to there: the leader knows.
        if (await this.#hasAny(stream, reached, upTo)) throw behind("a replica is behind its leader");
        known = upTo;
      }
      return { messages, upTo: known, isMissing: messages.length < known - after };
    } finally {
      cursor.close();
    }
  }

  /** Whether anything is kept in (after, upTo]. */
  async #hasAny(stream: Stream, after: number, upTo: number): Promise<boolean> {
    const next = await this.#reads.first(stream, stream.allSubjects, after + 1);
    return next > 0 && next <= upTo;
  }
}

function behind(reason: string): CodedError {
  return new CodedError("unavailable", `the stream could not be read: ${reason}`, 500);
}
