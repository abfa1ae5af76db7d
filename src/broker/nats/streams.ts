import { createHash } from "node:crypto";
import type { Position } from "../../protocol/frames.js";
import { Anchors } from "./anchors.js";
import type { PlanRecord } from "./plan-record.js";
import { idOf, type StreamPlan } from "./stream-plan.js";
import type { SetName, Subjects } from "./subjects.js";

/** What a stream's leader says of it. */
export interface StreamInfo {
  /** When it was created, as the server writes it: another time is another stream of the same name. */
  readonly created: string;
  /** What had been seen of the stream when it was asked. More may have been by the time that the answer came. */
  readonly seenBefore: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly messages: number;
  /** Messages that it keeps of one subject. */
  readonly perSubject: number;
  readonly maxAgeMs: number;
  /** It drops its oldest messages before that age where it has too many bytes or messages. */
  readonly isBounded: boolean;
  /** Subjects of which it keeps messages. */
  readonly subjects: number;
  readonly replicas: number;
}

/**
 * The stream of one partition, as this node knows it.
 *
 * **Epochs.** A position is a stream's sequence, so a room's numbering is its stream's. The epoch is a hash of the
 * stream's name and the time of its creation, the plan's generation (rooms moved to other streams and back) and a mark
 * in the control stream. All nodes compute the same. The mark is for what a stream does not show: an older store that
 * was put back has the same name and time, but gives sequences out again. A node that has seen a higher one notices,
 * and writes a new mark.
 */
export class Stream {
  readonly name: string;
  /** All that it stores, as a filter. */
  readonly allSubjects: string;
  readonly set: SetName;
  readonly partition: number;
  /** To know the numbering again by. */
  readonly anchors = new Anchors();
  #identity: Identity;
  #info: StreamInfo;
  #messagesMin: number;
  /** The highest sequence known to have been given out in this numbering. */
  #seen: number;

  constructor(
    subjects: Subjects,
    set: SetName,
    partition: number,
    info: StreamInfo,
    identity: Omit<Identity, "created">,
    messagesMin: number,
  ) {
    this.name = subjects.stream(set, partition);
    this.allSubjects = subjects.storedIn(set, partition);
    this.set = set;
    this.partition = partition;
    this.#info = info;
    this.#identity = { ...identity, created: info.created };
    this.#messagesMin = messagesMin;
    this.#seen = info.lastSequence;
  }

  get epoch(): string {
    return this.#identity.epoch ?? this.#computeEpoch();
  }

  get seen(): number {
    return this.#seen;
  }

  get info(): StreamInfo {
    return this.#info;
  }

  get mark(): string {
    return this.#identity.mark;
  }

  /** A room or key that has fewer kept messages than this has lost none to the bound on their number. */
  get messagesMin(): number {
    return Math.min(this.#messagesMin, this.#info.perSubject);
  }

  position(offset: number): Position {
    return { epoch: this.epoch, offset };
  }

  /** A sequence that was met with in the present numbering. */
  see(sequence: number): void {
    if (sequence > this.#seen) this.#seen = sequence;
  }

  /** What the leader says now. "renewed": the stream is another one. "behind": it has less than was seen. */
  learn(info: StreamInfo): "same" | "renewed" | "behind" {
    if (info.created !== this.#info.created) {
      this.#identity = { ...this.#identity, created: info.created, epoch: undefined };
      this.#info = info;
      this.#seen = info.lastSequence;
      this.anchors.clear();
      return "renewed";
    }
    if (info.lastSequence < info.seenBefore) return "behind";
    this.#info = info;
    this.see(info.lastSequence);
    return "same";
  }

  /** The control stream has another mark: a new numbering, which has come as far as `lastSequence`. */
  renumber(mark: string, lastSequence: number): void {
    this.#identity = { ...this.#identity, mark, epoch: undefined };
    this.#info = { ...this.#info, lastSequence };
    this.#seen = lastSequence;
    this.anchors.clear();
  }

  /** The plan changed while this node runs. */
  replan(plan: PlanRecord): void {
    this.#messagesMin = messagesMinOf(plan, this.set, this.#messagesMin);
  }

  #computeEpoch(): string {
    const { created, generation, mark } = this.#identity;
    const text = [this.name, created, generation, mark].join(" ");
    const epoch = createHash("sha256").update(text).digest("base64url").slice(0, EPOCH_CHARACTERS);
    this.#identity = { ...this.#identity, epoch };
    return epoch;
  }
}

/** 60 bits: two of a deployment's numberings are not the same by chance. */
const EPOCH_CHARACTERS = 10;

interface Identity {
  readonly created: string;
  readonly generation: number;
  readonly mark: string;
  /** Computed when it is asked for. */
  readonly epoch?: string | undefined;
}

/** All streams of the plan. */
export class Streams {
  readonly #byName: ReadonlyMap<string, Stream>;
  readonly #plan: StreamPlan;

  constructor(plan: StreamPlan, streams: readonly Stream[]) {
    this.#plan = plan;
    this.#byName = new Map(streams.map((stream) => [stream.name, stream]));
  }

  /** @throws Error where the plan has no such stream. */
  at(set: SetName, partition: number): Stream {
    const name = this.#plan.subjects.stream(set, partition);
    const stream = this.#byName.get(name);
    if (stream === undefined) throw new Error(`the plan has no stream ${name}`);
    return stream;
  }

  named(name: string): Stream | undefined {
    return this.#byName.get(name);
  }

  all(): Iterable<Stream> {
    return this.#byName.values();
  }
}

export function messagesMinOf(plan: PlanRecord, set: SetName, fallback: number): number {
  return plan.messagesMin[idOf(set)] ?? fallback;
}
