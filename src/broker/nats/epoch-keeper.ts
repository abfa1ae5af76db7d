import { randomBytes } from "node:crypto";
import { type Anchor, isSame } from "./anchors.js";
import type { Control } from "./control.js";
import { insist, reasonOf } from "./js-api.js";
import type { NatsCounters } from "./nats-counters.js";
import type { StreamReads } from "./stream-reader.js";
import type { Stream, StreamInfo, Streams } from "./streams.js";

export interface EpochKeeperOptions {
  readonly streams: Streams;
  readonly reads: StreamReads;
  readonly control: Control;
  readonly counters: NatsCounters;
  /** Stores a message that is in no room, and says what number it got: proof of where a stream stands. */
  readonly probe: (stream: Stream) => Promise<number>;
  /** A stream has a new numbering: its rooms must be told. */
  readonly onNewEpoch: (stream: Stream) => void;
  readonly onTrouble: (what: string) => void;
  readonly wait: (ms: number) => Promise<void>;
}

/**
 * Notices when a stream begins a new numbering, and sees that all nodes agree on its epoch (see {@link Stream}).
 *
 * - Created anew: the time of its creation says so, everybody sees the same.
 * - Gives its numbers out again, after an older store was put back or a power failure: a message that this node met
 *   with is another one now (see anchors.ts), which is looked at after each reconnect and when a number comes live for
 *   the second time. Where no such message is kept and the stream has less than was seen, a probe that is stored tells:
 *   its number must be above all that was seen. (Less alone is no proof: whoever answers may not know yet that it leads
 *   no more; only the true leader stores.) A mark in the control stream then says so to everybody.
 */
export class EpochKeeper {
  readonly #options: EpochKeeperOptions;
  readonly #verifying = new Map<Stream, Promise<void>>();
  /** What was known of streams before something happened; later messages may be of a new numbering already. */
  readonly #frozen = new Map<Stream, Known>();
  #stopped = false;

  constructor(options: EpochKeeperOptions) {
    this.#options = options;
  }

  /** To be told whatever is learnt of a stream. False: what was read with it is void. */
  readonly observe = (stream: Stream, info: StreamInfo): boolean => {
    const outcome = stream.learn(info);
    if (outcome === "same") return true;
    if (outcome === "renewed") this.#begin(stream);
    else void this.verify(stream);
    return false;
  };

  /** From here on nobody knows what comes next: remembers what there was. */
  disconnected(): void {
    for (const stream of this.#options.streams.all()) this.#freeze(stream);
  }

  /** Finds out whether a stream still is what it was; resolves when that is known. */
  verify(stream: Stream): Promise<void> {
    const running = this.#verifying.get(stream);
    if (running !== undefined) return running;
    this.#freeze(stream);
    const verification = this.#verify(stream).finally(() => this.#verifying.delete(stream));
    this.#verifying.set(stream, verification);
    return verification;
  }

  /** Somebody has seen another message where one was known: the stream has a new numbering. */
  async condemn(stream: Stream): Promise<void> {
    const { epoch } = stream;
    // What is being found out may be just that.
    await this.verify(stream);
    try {
      if (stream.epoch === epoch) await this.#mark(stream, epoch);
    } catch (cause) {
      this.#options.onTrouble(`giving ${stream.name} a new epoch: ${reasonOf(cause)}`);
    }
  }

  /** {@link EpochKeeper.verify} for all streams that were met with before the connection was lost. */
  async verifyAll(): Promise<void> {
    await Promise.all([...this.#frozen.keys()].map((stream) => this.verify(stream)));
  }

  /** Looks for marks that others have written. */
  async readMarks(): Promise<void> {
    const { streams, reads } = this.#options;
    const { value: marks } = await this.#options.control.readEpochs();
    for (const stream of streams.all()) {
      const mark = marks.get(stream.name) ?? "";
      if (mark === stream.mark) continue;
      const { epoch } = stream;
      const info = await reads.info(stream);
      if (stream.epoch === epoch) this.#renumber(stream, mark, info.lastSequence);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async #verify(stream: Stream): Promise<void> {
    for (let waitMs = RETRY_FIRST_MS; !this.#stopped; waitMs = Math.min(RETRY_MOST_MS, waitMs * 2)) {
      try {
        await this.#compare(stream);
        return;
      } catch (cause) {
        this.#options.onTrouble(`finding out about ${stream.name}: ${reasonOf(cause)}`);
        await this.#options.wait(waitMs);
      }
    }
  }

  #freeze(stream: Stream): void {
    const { epoch, seen, anchors } = stream;
    if (this.#frozen.get(stream)?.epoch !== epoch)
      this.#frozen.set(stream, { epoch, seen, anchors: anchors.keep() });
  }

  async #compare(stream: Stream): Promise<void> {
    const known = this.#frozen.get(stream);
    if (known === undefined || known.epoch !== stream.epoch) return;
    const { reads, probe } = this.#options;
    const info = await reads.info(stream);
    if (stream.epoch !== known.epoch) return;
    if (info.created !== stream.info.created) {
      this.observe(stream, info);
      return;
    }
    let isKnown = await this.#recognize(stream, known.anchors);
    if (isKnown === undefined && info.lastSequence < known.seen) isKnown = (await probe(stream)) > known.seen;
    if (stream.epoch !== known.epoch) return;
    if (isKnown === false) await this.#mark(stream, known.epoch);
    if (this.#frozen.get(stream) === known) this.#frozen.delete(stream);
  }

  /** Whether messages are still what they were; undefined where none of them is kept. */
  async #recognize(stream: Stream, anchors: readonly Anchor[]): Promise<boolean | undefined> {
    for (const anchor of anchors) {
      const kept = await this.#options.reads.at(stream, anchor.sequence);
      if (kept !== undefined) return isSame(anchor, kept);
    }
    return undefined;
  }

  /** Writes that the stream has a new numbering, unless somebody else has, or this node has learnt of one meanwhile. */
  async #mark(stream: Stream, epoch: string): Promise<void> {
    const { control, reads } = this.#options;
    const marks = await control.readEpochs();
    if (stream.epoch !== epoch) return;
    let mark = marks.value.get(stream.name) ?? "";
    if (mark === stream.mark) {
      mark = randomBytes(6).toString("hex");
      const next = new Map(marks.value).set(stream.name, mark);
      const isWritten = await insist("NATS did not store the epoch", MARK_MS, () =>
        control.writeEpochs(next, marks.sequence),
      );
      // Somebody else was faster, or a try whose answer was lost: what stands there now counts.
      if (!isWritten) {
        await this.#mark(stream, epoch);
        return;
      }
    }
    const info = await reads.info(stream);
    if (stream.epoch === epoch) this.#renumber(stream, mark, info.lastSequence);
  }

  #renumber(stream: Stream, mark: string, lastSequence: number): void {
    stream.renumber(mark, lastSequence);
    this.#begin(stream);
  }

  #begin(stream: Stream): void {
    this.#options.counters.newEpochs += 1;
    this.#options.onTrouble(`stream ${stream.name} begins a new numbering: its rooms have a new epoch`);
    this.#options.onNewEpoch(stream);
  }
}

/** A stream as it was. */
interface Known {
  readonly epoch: string;
  readonly seen: number;
  readonly anchors: readonly Anchor[];
}

const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 5_000;
const MARK_MS = 5_000;
