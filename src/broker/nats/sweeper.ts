import type { FlowTools, RoomFlow } from "./flow.js";
import { isTransient, reasonOf } from "./js-api.js";
import type { LiveFlows } from "./live-flows.js";
import type { Observe } from "./room-reader.js";
import type { StreamReads } from "./stream-reader.js";
import type { Stream } from "./streams.js";

/** Rooms of one stream whose last message is asked for at once. */
const ROOMS_AT_ONCE = 32;

/**
 * Looks whether open rooms missed something that no later message has shown: after every reconnect, when a stream's
 * leader changed, and from time to time. Where the stream has not moved there is nothing to ask.
 */
export class Sweeper {
  readonly #flows: LiveFlows;
  readonly #reads: StreamReads;
  readonly #observe: Observe;
  readonly #tools: FlowTools;
  /** Streams being swept, and those to be swept again when that is done. */
  readonly #running = new Map<Stream, { again: boolean }>();
  #stopped = false;

  constructor(flows: LiveFlows, reads: StreamReads, observe: Observe, tools: FlowTools) {
    this.#flows = flows;
    this.#reads = reads;
    this.#observe = observe;
    this.#tools = tools;
  }

  /** Every stream with open rooms. Resolves when all that was missing is known; never rejects. */
  async sweepAll(graceMs: number): Promise<void> {
    await Promise.all([...this.#flows.streams()].map((stream) => this.sweep(stream, graceMs)));
  }

  /** @param graceMs Live messages that are on their way get this long to arrive. */
  async sweep(stream: Stream, graceMs: number): Promise<void> {
    const running = this.#running.get(stream);
    if (running !== undefined) {
      running.again = true;
      return;
    }
    const state = { again: false };
    this.#running.set(stream, state);
    do {
      state.again = false;
      await this.#try(stream, graceMs);
    } while (state.again && !this.#stopped);
    this.#running.delete(stream);
  }

  stop(): void {
    this.#stopped = true;
  }

  async #try(stream: Stream, graceMs: number): Promise<void> {
    for (let tries = 0; tries < TRIES && !this.#stopped; tries += 1) {
      try {
        await this.#look(stream, graceMs);
        return;
      } catch (cause) {
        if (!isTransient(cause)) this.#tools.onTrouble(`sweeping ${stream.name}: ${reasonOf(cause)}`);
        await this.#tools.wait(RETRY_MS * (tries + 1));
      }
    }
  }

  async #look(stream: Stream, graceMs: number): Promise<void> {
    const info = await this.#tools.gate.run(() => this.#reads.info(stream));
    if (!this.#observe(stream, info)) return;
    const { epoch } = stream;
    const { firstSequence, lastSequence } = info;
    const found: { flow: RoomFlow; head: number; last: number }[] = [];
    const flows = [...this.#flows.roomFlows(stream)].filter(
      (flow) => flow.isLive && flow.last < lastSequence && flow.verified < lastSequence,
    );
    const ask = async (): Promise<void> => {
      for (let flow = flows.pop(); flow !== undefined && !this.#stopped; flow = flows.pop()) {
        const { place, last } = flow;
        const head = await this.#tools.gate.run(() => this.#reads.last(stream, place.filter));
        if (head === last) flow.verified = lastSequence;
        else found.push({ flow, head, last });
      }
    };
    await Promise.all(Array.from({ length: Math.min(ROOMS_AT_ONCE, flows.length) }, ask));
    const shared = this.#flows.partitionFlow(stream);
    const isMoved = shared !== undefined && (shared.last < lastSequence || shared.last < firstSequence);
    if (found.length === 0 && !isMoved) return;
    await this.#tools.wait(graceMs);
    if (stream.epoch !== epoch) return;
    shared?.check(firstSequence, lastSequence);
    for (const { flow, head, last } of found) if (!flow.closed) flow.check(head, last);
  }
}

/** The next sweep comes anyway. */
const TRIES = 5;
const RETRY_MS = 300;
