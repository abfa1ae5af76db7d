/** A worker with nothing but a hub link: opens rooms and checks their flow, or publishes. A child of the bench `hub`. */
import { DEFAULT_HUB_LIMITS } from "../broker/hub/hub-limits.js";
import { connectHub, type HubLink } from "../broker/hub/hub-link.js";
import type { Sink } from "../core/ports.js";
import type { Message } from "../protocol/message.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { answerParent } from "./support/child.js";
import { hostMicros } from "./support/clock.js";
import { Histogram, type HistogramData } from "./support/histogram.js";
import { benchRoom, createContent } from "./support/message-scan.js";

export type WorkerRequest =
  | { readonly kind: "open"; readonly socketPath: string; readonly rooms: number }
  /** Opens so many rooms, all at once. */
  | { readonly kind: "more"; readonly rooms: number }
  /** Counts anew; of every so many messages of a room one is timed. */
  | { readonly kind: "count"; readonly sample: number }
  /** Waits for so many messages since `count`. */
  | { readonly kind: "finish"; readonly messages: number; readonly deadlineMs: number }
  /** Keeps so many publishes under way. */
  | {
      readonly kind: "publish";
      readonly seconds: number;
      readonly inFlight: number;
      readonly bytes: number;
      readonly rooms: number;
    };

export type WorkerReply =
  | { readonly kind: "opened" }
  | { readonly kind: "counting" }
  | {
      readonly kind: "received";
      readonly messages: number;
      /** From the first message to the last. */
      readonly micros: number;
      /** Messages that were not the next of their room. */
      readonly disordered: number;
      readonly resets: number;
      readonly lagged: number;
      readonly latency: HistogramData;
    }
  | {
      readonly kind: "published";
      readonly messages: number;
      readonly micros: number;
      readonly latency: HistogramData;
    };

/** Counts the flow of all rooms. */
class Counter implements Sink {
  messages = 0;
  disordered = 0;
  resets = 0;
  firstMicros = 0;
  lastMicros = 0;
  latency = new Histogram();
  sample = 1;
  readonly #offsets = new Map<RoomName, number>();
  readonly #due = Buffer.alloc(8);

  message(message: Message): void {
    const { room, offset, frame, dataStart } = message;
    const before = this.#offsets.get(room);
    if (before !== undefined && offset !== before + 1) this.disordered += 1;
    this.#offsets.set(room, offset);
    this.messages += 1;
    if (offset % this.sample !== 0) return;
    this.lastMicros = hostMicros();
    if (this.firstMicros === 0) this.firstMicros = this.lastMicros;
    // Behind the two bytes of a bin's head.
    this.#due.set(frame.subarray(dataStart + 2, dataStart + 10));
    this.latency.record(this.lastMicros - this.#due.readDoubleBE());
  }

  reset(): void {
    this.resets += 1;
  }

  restart(sample: number): void {
    this.sample = sample;
    this.messages = 0;
    this.firstMicros = 0;
    this.latency = new Histogram();
  }
}

const counter = new Counter();
let link: HubLink | undefined;

async function answer(request: WorkerRequest): Promise<WorkerReply> {
  switch (request.kind) {
    case "open": {
      const { socketPath, rooms } = request;
      link = connectHub({
        socketPath,
        worker: String(process.pid),
        limits: DEFAULT_HUB_LIMITS,
        onError: console.error,
      });
      await link.ready(5_000);
      const opened = link;
      const names = Array.from({ length: rooms }, (_, index) => parseRoom(benchRoom(index)));
      await Promise.all(names.map((name) => opened.open(name, counter)));
      return { kind: "opened" };
    }
    case "more": {
      const opened = link;
      if (opened === undefined) throw new Error("more before open");
      const names = Array.from({ length: request.rooms }, (_, index) => parseRoom(benchRoom(index)));
      await Promise.all(names.map((name) => opened.open(name, counter)));
      return { kind: "opened" };
    }
    case "count":
      counter.restart(request.sample);
      return { kind: "counting" };
    case "finish":
      return finish(request.messages, request.deadlineMs);
    case "publish":
      return publish(request);
  }
}

async function finish(messages: number, deadlineMs: number): Promise<WorkerReply> {
  const deadline = hostMicros() + deadlineMs * 1_000;
  while (counter.messages < messages && hostMicros() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 5));
  return {
    kind: "received",
    messages: counter.messages,
    micros: counter.lastMicros - counter.firstMicros,
    disordered: counter.disordered,
    resets: counter.resets,
    lagged: link?.counters.lagged ?? 0,
    latency: counter.latency.toJSON(),
  };
}

async function publish(plan: Extract<WorkerRequest, { kind: "publish" }>): Promise<WorkerReply> {
  const broker = link;
  if (broker === undefined) throw new Error("publish before open");
  const rooms = Array.from({ length: plan.rooms }, (_, index) => parseRoom(benchRoom(index)));
  const data = Buffer.concat([Buffer.from([0xc4, plan.bytes]), createContent(plan.bytes)]);
  const latency = new Histogram();
  const start = hostMicros();
  const end = start + plan.seconds * 1_000_000;
  let next = 0;
  let answered = 0;
  const lane = async (): Promise<void> => {
    for (let now = hostMicros(); now < end; ) {
      const room = rooms[next++ % rooms.length];
      if (room === undefined) return;
      await broker.publish({ room, data });
      answered += 1;
      const then = hostMicros();
      latency.record(then - now);
      now = then;
    }
  };
  await Promise.all(Array.from({ length: plan.inFlight }, lane));
  return { kind: "published", messages: answered, micros: hostMicros() - start, latency: latency.toJSON() };
}

answerParent(answer, () => process.exit(0));
