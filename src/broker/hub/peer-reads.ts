import { setMaxListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Broker, HistoryPage } from "../../core/ports.js";
import { CodedError, toCodedError } from "../../protocol/errors.js";
import type { Message } from "../../protocol/message.js";
import type { HubCounters } from "./hub-counters.js";
import { AWAY_RETRY_MS, type HubLimits, lowWatermark, REPLAY_PAGE_MESSAGES } from "./hub-limits.js";
import type { RoomMember } from "./hub-room.js";
import { JobQueue } from "./job-queue.js";
import { writeMessage } from "./message-record.js";
import { RECORD, type WorkerRecord } from "./record.js";
import { writeRecord } from "./record-codec.js";
import type { RecordOutput } from "./record-output.js";

/** What {@link PeerReads} needs of its hub. */
export interface ReadsOwner {
  readonly broker: Broker;
  readonly limits: HubLimits;
  readonly counters: HubCounters;
  /** Something failed that should not. */
  fault(cause: unknown): void;
}

type ReadRequest = Extract<WorkerRecord, { type: "history" | "state" | "rooms" }>;

/**
 * What is read from the broker for one worker: replays of its rooms, and the pages, snapshots and lists that it asks for. A few
 * of each at once, and sent on only while little waits for the worker: one that does not read makes the hub hold no more
 * than these few pages.
 */
export class PeerReads {
  readonly #owner: ReadsOwner;
  readonly #output: RecordOutput;
  readonly #lowBytes: number;
  readonly #replays: JobQueue<RoomMember>;
  readonly #requests: JobQueue<ReadRequest>;
  readonly #closing = new AbortController();
  #blocked: (() => void)[] = [];
  /** Of pages that were read and are not yet sent. */
  #heldBytes = 0;

  constructor(owner: ReadsOwner, output: RecordOutput) {
    this.#owner = owner;
    this.#output = output;
    this.#lowBytes = lowWatermark(owner.limits);
    this.#replays = new JobQueue(owner.limits.replays, (member) => this.#replay(member));
    this.#requests = new JobQueue(owner.limits.reads, (request) => this.#answer(request));
    // Each replay that waits to ask the broker again listens for the end: after an outage of the broker that is all of them.
    setMaxListeners(owner.limits.replays, this.#closing.signal);
  }

  /** Sends what a member lacks, and then lets it go live. */
  replay(member: RoomMember): void {
    this.#owner.counters.replays += 1;
    this.#replays.push(member);
  }

  /** Answers a request, or refuses it where too many wait. */
  request(request: ReadRequest): void {
    const { limits, counters } = this.#owner;
    if (this.#requests.waiting < limits.waitingReads) {
      this.#requests.push(request);
      return;
    }
    counters.refused += 1;
    const text = `${limits.waitingReads} reads of this worker wait at the hub, its limit`;
    this.#fail(request.ref, new CodedError("unavailable", text, AWAY_RETRY_MS));
  }

  /** Something has left for the worker. */
  written(): void {
    if (this.#output.waitingBytes > this.#lowBytes) return;
    const blocked = this.#blocked;
    this.#blocked = [];
    for (const goOn of blocked) goOn();
  }

  /** The worker is gone: ends all that is under way. */
  close(): void {
    this.#closing.abort();
    const blocked = this.#blocked;
    this.#blocked = [];
    for (const goOn of blocked) goOn();
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Resolves once little waits for the worker, or when it is gone. */
  async #calm(): Promise<void> {
    while (this.#output.waitingBytes > this.#lowBytes && !this.#closed)
      await new Promise<void>((resolve) => this.#blocked.push(resolve));
  }

  async #answer(request: ReadRequest): Promise<void> {
    await this.#calm();
    if (this.#closed) return;
    this.#owner.counters.historyReads += 1;
    const { ref } = request;
    try {
      if (request.type === "rooms") {
        const { prefix, after, limit } = request;
        const { rooms, more } = await this.#owner.broker.rooms(prefix, after, limit);
        return this.#write({ type: "roomList", ref, rooms, more });
      }
      const { room } = request;
      if (request.type === "state") {
        const { head, messages, droppedKeys } = await this.#owner.broker.state(room);
        if (!(await this.#hold(messages, () => this.#send(ref, messages))))
          return this.#requests.push(request);
        return this.#write({ type: "snapshot", ref, head, droppedKeys });
      }
      const page = await this.#owner.broker.history(room, request.from, request.limit);
      if (page.kind === "lost")
        return this.#write({ type: "page", ref, head: page.head, more: false, lost: page.reason });
      const { messages } = page;
      if (!(await this.#hold(messages, () => this.#send(ref, messages)))) return this.#requests.push(request);
      this.#write({ type: "page", ref, head: page.head, more: page.more, lost: undefined });
    } catch (cause) {
      if (!(cause instanceof CodedError)) this.#owner.fault(cause);
      this.#fail(ref, toCodedError(cause));
    }
  }

  /**
   * Many reads are asked of the broker at once, so that it can make few of them; but what they bring may wait for a slow
   * worker only within a bound. False: it would not be within it, and has to be read again when less waits.
   */
  async #hold(messages: readonly Message[], send: () => Promise<void>): Promise<boolean> {
    const bytes = messages.reduce((sum, { frame }) => sum + frame.length, 0);
    if (this.#heldBytes > 0 && this.#heldBytes + bytes > this.#owner.limits.bufferBytes) return false;
    this.#heldBytes += bytes;
    try {
      await send();
    } finally {
      this.#heldBytes -= bytes;
    }
    return true;
  }

  async #send(ref: number, messages: readonly Message[]): Promise<void> {
    for (const message of messages) {
      if (this.#output.waitingBytes > this.#lowBytes) await this.#calm();
      if (this.#closed) return;
      writeMessage(this.#output, RECORD.pageMessage, ref, message);
    }
  }

  async #replay(member: RoomMember): Promise<void> {
    while (member.state === "replaying") {
      await this.#calm();
      if (member.state !== "replaying") return;
      const page = await this.#readAfter(member);
      if (page === undefined || member.state !== "replaying") continue;
      const messages = page.kind === "page" ? page.messages : [];
      await this.#hold(messages, () => this.#replayPage(member, page));
    }
  }

  /** The next page; undefined where the broker could not answer, after some time. */
  async #readAfter({ room, epoch = "", cursor }: RoomMember): Promise<HistoryPage | undefined> {
    this.#owner.counters.historyReads += 1;
    try {
      const after = { epoch, offset: cursor };
      return await this.#owner.broker.history(room.name, { after }, REPLAY_PAGE_MESSAGES);
    } catch (cause) {
      if (!(cause instanceof CodedError)) this.#owner.fault(cause);
      const waitMs = toCodedError(cause).retryMs ?? AWAY_RETRY_MS;
      await delay(waitMs, undefined, { ref: false, signal: this.#closing.signal }).catch(() => {});
      return undefined;
    }
  }

  async #replayPage(member: RoomMember, page: HistoryPage): Promise<void> {
    const { room } = member;
    if (page.kind === "lost") return room.lost(member, page.reason);
    const before = member.cursor;
    for (const message of page.messages) {
      if (this.#output.waitingBytes > this.#lowBytes) {
        await this.#calm();
        if (member.state !== "replaying") return;
      }
      // Stored, but not yet handed to the room: it comes live.
      if (message.offset > room.offset) member.cursor = room.offset;
      else {
        writeMessage(this.#output, RECORD.message, room.number, message);
        this.#owner.counters.replayedMessages += 1;
        member.cursor = message.offset;
      }
      if (room.caughtUp(member)) return;
    }
    // Where nothing is stored it is complete up to its head.
    if (!page.more && page.head.epoch === member.epoch)
      member.cursor = Math.max(member.cursor, Math.min(page.head.offset, room.offset));
    // A page without messages below the head would be read for ever: it is as good as lost.
    if (!room.caughtUp(member) && member.cursor === before) room.lost(member, "expired");
  }

  #fail(ref: number, error: CodedError): void {
    this.#write({ type: "failed", ref, error });
  }

  #write(record: Parameters<typeof writeRecord>[1]): void {
    if (!this.#closed) writeRecord(this.#output, record);
  }
}
