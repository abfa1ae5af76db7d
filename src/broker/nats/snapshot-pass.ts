import { CodedError } from "../../protocol/errors.js";
import { LatestKeys } from "./latest-keys.js";
import type { Observe, StoredSnapshot } from "./room-reader.js";
import type { StreamReads } from "./stream-reader.js";
import type { Stream } from "./streams.js";

export interface SnapshotRoom {
  readonly token: string;
  readonly filter: string;
}

/** Reads the state of many rooms of one keyed stream in one go: the last message of every subject that it has. */
export class SnapshotPass {
  readonly #reads: StreamReads;
  readonly #observe: Observe;
  readonly #batch: number;

  constructor(reads: StreamReads, observe: Observe, batch: number) {
    this.#reads = reads;
    this.#observe = observe;
    this.#batch = batch;
  }

  /**
   * By token; rooms that are not there took more memory than `bytesMax` allows and must be read alone. One try.
   * @param isOver Nobody waits for it any more: it ends, and rejects.
   */
  async read(
    stream: Stream,
    rooms: readonly SnapshotRoom[],
    keysMax: number,
    bytesMax: number,
    isOver: () => boolean,
  ): Promise<ReadonlyMap<string, StoredSnapshot>> {
    const info = await this.#reads.info(stream);
    if (!this.#observe(stream, info)) throw behind("the stream is another one");
    const found = new Map(rooms.map(({ token }) => [token, new LatestKeys(keysMax)]));
    const cursor = await this.#reads.cursor(stream, undefined, "lastOfEach");
    try {
      for (let count = 0; count < cursor.pending; ) {
        const batch = await cursor.read(this.#batch);
        if (batch.length === 0) throw behind("a consumer ended before its end");
        if (isOver()) throw new CodedError("timeout", "nobody waits for this read any more", 0);
        count += batch.length;
        for (const message of batch) found.get(message.roomToken)?.take(message);
        letGo(found, bytesMax);
      }
    } finally {
      cursor.close();
    }
    if (stream.info.replicas > 1) await this.#checkHeads(stream, rooms, found);
    return new Map(
      [...found].map(([token, { messages, droppedKeys, reached }]) => [
        token,
        { messages, droppedKeys, head: reached },
      ]),
    );
  }

  /** A consumer's replica may be behind its leader. */
  async #checkHeads(
    stream: Stream,
    rooms: readonly SnapshotRoom[],
    found: ReadonlyMap<string, LatestKeys>,
  ): Promise<void> {
    const behinds = rooms.map(async ({ token, filter }) => {
      const keys = found.get(token);
      return keys !== undefined && keys.reached < (await this.#reads.last(stream, filter));
    });
    if ((await Promise.all(behinds)).includes(true)) throw behind("a replica is behind its leader");
  }
}

function letGo(found: Map<string, LatestKeys>, bytesMax: number): void {
  for (;;) {
    let bytes = 0;
    let largest: { token: string; bytes: number } | undefined;
    for (const [token, keys] of found) {
      bytes += keys.bytes;
      if (keys.bytes > (largest?.bytes ?? -1)) largest = { token, bytes: keys.bytes };
    }
    if (bytes <= bytesMax || largest === undefined) return;
    found.delete(largest.token);
  }
}

function behind(reason: string): CodedError {
  return new CodedError("unavailable", `the state could not be read: ${reason}`, 500);
}
