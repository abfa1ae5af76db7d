import { CodedError, ERROR_STATUS, type ErrorCode } from "../../protocol/errors.js";
import { CODE, type Position } from "../../protocol/frames.js";
import type { ReplySocket } from "../gateway-reply.js";
import { writeReply } from "../gateway-reply.js";
import type { Socket } from "../gateway-socket.js";
import { JSON_FORMAT } from "../http-format.js";
import { errorReply } from "../http-reply.js";
import { type EventPlan, idOf } from "./event-plan.js";
import { FollowedRoom } from "./followed-room.js";

/** What of a uWebSockets.js response is used. Throws after it was ended or the client went away. */
export interface StreamResponse extends ReplySocket {
  /** False where the kernel did not take all of it. */
  write(chunk: string): boolean;
  onWritable(handler: (offset: number) => boolean): unknown;
  onAborted(handler: () => void): unknown;
  close(): unknown;
}

/** What a stream asks of whoever has it. */
export interface StreamOwner {
  /** Hands the session a request, as a WebSocket's message. */
  ask(request: string): void;
  join(stream: EventStream, topic: string): void;
  leave(stream: EventStream, topic: string): void;
  /** A frame was not taken: too much waits. */
  dropped(): void;
  /** What waited was taken. */
  drained(): void;
  /** It is over; called once. */
  closed(code: number): void;
}

export interface StreamOptions {
  readonly plan: EventPlan;
  readonly headers: Readonly<Record<string, string>>;
  /** Most that waits for its client; one chunk more may. */
  readonly bufferBytes: number;
  readonly owner: StreamOwner;
}

/** What a frame of the server says, read once for all streams that it goes to. */
export type FrameValue = readonly unknown[];

/** When a browser comes back whose connection ended, unless it is told otherwise. */
const RETRY_MS = 2_000;
/** Answered by then, if only with a comment: uWebSockets.js cuts off a response on which nothing is written for 10 s. */
const HEARTBEAT_MS = 7_000;
const START_MS = 3_000;

/**
 * A connection of server-sent events, which its session takes for a WebSocket of `fanwire.v1.json`: the frames become
 * events, each with the positions of all rooms in its `id`, so that a browser resumes by itself. What a client does by
 * PROTOCOL.md it does here in its place: subscribe, fill a hole, go on after `lagged`.
 */
export class EventStream implements Socket {
  readonly #res: StreamResponse;
  readonly #options: StreamOptions;
  readonly #rooms: readonly FollowedRoom[];
  readonly #byName: ReadonlyMap<unknown, FollowedRoom>;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #madeMs: number;
  #state: "asking" | "streaming" | "closed" = "asking";
  #ref = 0;
  /** Given to the response since it last took everything. */
  #waitingBytes = 0;
  #writtenMs: number;

  constructor(res: StreamResponse, options: StreamOptions, nowMs: number) {
    this.#res = res;
    this.#options = options;
    this.#rooms = options.plan.rooms.map((room) => new FollowedRoom(room, options.plan.options));
    this.#byName = new Map(this.#rooms.map((room) => [room.name, room]));
    this.#madeMs = nowMs;
    this.#writtenMs = nowMs;
    res.onAborted(() => this.#closed(1006));
    res.onWritable(() => {
      this.#waitingBytes = 0;
      options.owner.drained();
      return true;
    });
  }

  send(message: Uint8Array): number {
    return this.take(valuesOf(message));
  }

  /** As {@link EventStream.send}, for a frame that was read already. */
  take(values: readonly FrameValue[]): number {
    if (this.#state === "closed") return 1;
    // Before any position moves: what is dropped here is asked for again.
    if (this.#waitingBytes > this.#options.bufferBytes) {
      this.#options.owner.dropped();
      return 2;
    }
    let text = "";
    for (const value of values) text += this.#eventOf(value);
    this.#write(text);
    return this.#waitingBytes > 0 ? 0 : 1;
  }

  getBufferedAmount(): number {
    return this.#waitingBytes;
  }

  subscribe(topic: string): boolean {
    this.#options.owner.join(this, topic);
    return true;
  }

  unsubscribe(topic: string): boolean {
    this.#options.owner.leave(this, topic);
    return true;
  }

  /** Ends the stream; the client comes back by itself. */
  end(code: number, reason: string): void {
    if (this.#state === "closed") return;
    if (this.#state === "asking") this.#refuse(new CodedError(codeOfClose(code), reason));
    else {
      this.#write(eventText("end", { code, reason }));
      this.#res.cork(() => this.#res.end("", true));
      this.#closed(code);
    }
  }

  /** Cuts it off. */
  close(): void {
    if (this.#state !== "closed") this.#res.close();
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    if (this.#state === "asking" && nowMs - this.#madeMs >= START_MS) this.#write(":\n\n");
    else if (
      this.#state === "streaming" &&
      nowMs - this.#writtenMs >= HEARTBEAT_MS &&
      this.#waitingBytes === 0
    )
      this.#write(":\n\n");
  }

  /** What a value is to the client; empty: nothing. */
  #eventOf(value: FrameValue): string {
    const [code, first, second, third, fourth, fifth] = value;
    switch (code) {
      case CODE.message:
        return this.#messageOf(value);
      case CODE.welcome:
        this.#askAll();
        return "";
      case CODE.ok:
        return this.#subscribedOf(Number(first), second);
      case CODE.error:
        return this.#problemOf(Number(first), String(second), String(third), fourth, fifth);
      case CODE.live:
        return this.#placed(first, "live", (room) => room.reach(Number(second)));
      case CODE.reset: {
        const to = { epoch: String(second), offset: Number(third) };
        const event = this.#placed(
          first,
          "reset",
          (room) => {
            room.position = to;
          },
          { ...to, reason: fourth },
        );
        const room = this.#byName.get(first);
        if (room?.wantsState === true) this.#askState(room);
        return event;
      }
      case CODE.rate:
        return this.#placed(first, "rate", () => {}, { rate: second });
      case CODE.lagged:
        this.#askAll();
        return "";
      case CODE.goaway:
        // Not within the call of whoever tells everybody.
        queueMicrotask(() => this.end(1001, String(first)));
        return `retry: ${Number(second)}\n\n`;
      default:
        return "";
    }
  }

  #messageOf(value: FrameValue): string {
    const [, name, offset, prev] = value;
    const verdict = this.#byName.get(name)?.take(Number(offset), Number(prev));
    if (verdict === "hole") queueMicrotask(() => this.#fill(name));
    return verdict === "deliver" ? `id: ${this.#id()}\n${messageText(value)}` : "";
  }

  #fill(name: unknown): void {
    const room = this.#byName.get(name);
    if (room !== undefined && room.ref === 0 && !room.isOver) this.#ask(room);
  }

  #subscribedOf(ref: number, result: unknown): string {
    const room = this.#rooms.find((one) => ref !== 0 && one.ref === ref);
    if (room === undefined || !isPosition(result)) return "";
    const resumed = room.position !== undefined && room.position.epoch !== "";
    const { epoch, offset } = result;
    room.ref = 0;
    room.position = { epoch, offset };
    const recovered = "recovered" in result && result.recovered === true;
    // What is gone of a state is no loss: here it is whole again.
    if (resumed && !recovered && room.wantsState) this.#askState(room);
    return eventText("subscribed", { room: room.name, ...result }, this.#id());
  }

  #problemOf(ref: number, code: string, text: string, retryMs: unknown, name: unknown): string {
    const room = this.#rooms.find((one) => (ref === 0 ? one.name === name : one.ref === ref));
    const isLater = typeof retryMs === "number";
    if (room !== undefined) {
      if (isLater) this.#later(retryMs, () => this.#ask(room));
      else room.isOver = true;
      if (ref === 0) room.ref = 0;
    }
    const told = { code, message: text, ...(isLater ? { retryMs } : {}), ...(room && { room: room.name }) };
    if (!this.#rooms.every(({ isOver }) => isOver)) return eventText("problem", told);
    const error = new CodedError(errorCodeOf(code), text);
    // Nothing is left to follow, and whoever comes back would be told the same.
    if (this.#state === "asking") queueMicrotask(() => this.#refuse(error));
    else queueMicrotask(() => this.end(4403, text));
    return this.#state === "asking" ? "" : eventText("problem", told);
  }

  #placed(name: unknown, event: string, place: (room: FollowedRoom) => void, more: object = {}): string {
    const room = this.#byName.get(name);
    // Of before the subscribe that is under way.
    if (room === undefined || (room.ref !== 0 && event !== "reset")) return "";
    place(room);
    return eventText(event, { room: name, offset: room.position?.offset ?? 0, ...more }, this.#id());
  }

  #askAll(): void {
    // The session is there once this returns.
    queueMicrotask(() => {
      for (const room of this.#rooms) if (!room.isOver) this.#ask(room);
    });
  }

  #askState(room: FollowedRoom): void {
    queueMicrotask(() => {
      room.position = undefined;
      this.#ask(room);
    });
  }

  #ask(room: FollowedRoom): void {
    if (this.#state === "closed") return;
    this.#ref += 1;
    this.#options.owner.ask(JSON.stringify(room.request(this.#ref)));
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }

  #id(): string {
    return idOf(this.#rooms.map(({ position }) => position));
  }

  #write(text: string): void {
    if (text === "" || this.#state === "closed") return;
    const res = this.#res;
    let isTaken = true;
    res.cork(() => {
      if (this.#state === "asking") this.#start();
      isTaken = res.write(text);
    });
    this.#writtenMs = performance.now();
    if (!isTaken || this.#waitingBytes > 0) this.#waitingBytes += Buffer.byteLength(text);
  }

  #start(): void {
    this.#state = "streaming";
    this.#res.writeStatus("200 OK");
    for (const [name, value] of Object.entries({ ...HEADERS, ...this.#options.headers }))
      this.#res.writeHeader(name, value);
    this.#res.write(`retry: ${RETRY_MS}\n\n`);
  }

  #refuse(error: CodedError): void {
    if (this.#state !== "asking") return;
    writeReply(this.#res, errorReply(JSON_FORMAT, error), { close: true, common: this.#options.headers });
    this.#closed(4403);
  }

  #closed(code: number): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    for (const timer of this.#timers) clearTimeout(timer);
    this.#waitingBytes = 0;
    this.#options.owner.closed(code);
  }
}

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  // nginx would keep events until a buffer is full.
  "x-accel-buffering": "no",
} as const;

/** The values of a frame of `fanwire.v1.json`. */
export function valuesOf(frame: Uint8Array): FrameValue[] {
  return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
    .toString()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as FrameValue);
}

const texts = new WeakMap<FrameValue, string>();

/** A message's event but for its id: made once for all streams that it goes to. */
function messageText(value: FrameValue): string {
  let text = texts.get(value);
  if (text === undefined) {
    const [, room, offset, , time, data, key] = value;
    text = eventText("message", { room, offset, time, ...(key === undefined ? {} : { key }), data });
    texts.set(value, text);
  }
  return text;
}

/** JSON holds no line break, so the data is one line. `message` is what a browser takes it for without a name. */
function eventText(event: string, data: object, id?: string): string {
  const name = event === "message" ? "" : `event: ${event}\n`;
  return `${id === undefined ? "" : `id: ${id}\n`}${name}data: ${JSON.stringify(data)}\n\n`;
}

function isPosition(result: unknown): result is Position {
  return typeof result === "object" && result !== null && "epoch" in result && "offset" in result;
}

function errorCodeOf(code: string): ErrorCode {
  return Object.hasOwn(ERROR_STATUS, code) ? (code as ErrorCode) : "internal";
}

/** What a close before the first event is answered with. */
function codeOfClose(code: number): ErrorCode {
  if (code === 4401) return "unauthenticated";
  if (code === 4403) return "forbidden";
  if (code === 4429) return "rate_limited";
  return code === 4400 ? "bad_request" : "unavailable";
}
