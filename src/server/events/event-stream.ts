import { CodedError, ERROR_STATUS, type ErrorCode } from "../../protocol/errors.js";
import { CODE, type Position } from "../../protocol/frames.js";
import { type EventPlan, idOf } from "./event-plan.js";
import { eventText, type StreamResponse } from "./event-response.js";
import { FollowedRoom } from "./followed-room.js";
import { ResponseStream, type ResponseStreamOptions } from "./response-stream.js";
import { type FrameValue, SharedFrame } from "./shared-frame.js";

export interface StreamOptions extends ResponseStreamOptions {
  readonly plan: EventPlan;
}

/**
 * A connection of server-sent events, which its session takes for a WebSocket of `fanwire.v1.json`: the frames become
 * events, each with the positions of all rooms in its `id`, so that a browser resumes by itself. What a client does by
 * PROTOCOL.md it does here in its place: subscribe, fill a hole, go on after `lagged`.
 */
export class EventStream extends ResponseStream {
  readonly #rooms: readonly FollowedRoom[];
  readonly #byName: ReadonlyMap<unknown, FollowedRoom>;
  readonly #timers = new Set<NodeJS.Timeout>();
  #ref = 0;

  constructor(res: StreamResponse, options: StreamOptions, nowMs: number) {
    super(res, options, nowMs);
    this.#rooms = options.plan.map((room) => new FollowedRoom(room));
    this.#byName = new Map(this.#rooms.map((room) => [room.name, room]));
  }

  override send(message: Uint8Array): number {
    return this.take(new SharedFrame(message, false));
  }

  override take(frame: SharedFrame): number {
    const response = this.response;
    if (response.state === "closed") return 1;
    // Before any position moves: what is dropped here is asked for again.
    if (response.isFull) {
      this.owner.dropped();
      return 2;
    }
    let text = "";
    for (const value of frame.values) text += this.#eventOf(value);
    response.write(text);
    return response.waitingBytes > 0 ? 0 : 1;
  }

  override sweep(nowMs: number): void {
    this.response.sweep(nowMs);
  }

  protected override closed(code: number): void {
    for (const timer of this.#timers) clearTimeout(timer);
    super.closed(code);
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
      case CODE.members:
        return this.#membersOf(value);
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

  /** Carries no position: it moves none. */
  #membersOf([, room, count, joined, left, list]: FrameValue): string {
    if (this.#byName.get(room)?.ref !== 0) return "";
    return eventText("members", { room, count, joined, left, ...(typeof list === "boolean" && { list }) });
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
    const { state } = this.response;
    if (state === "asking") queueMicrotask(() => this.response.refuse(error));
    else queueMicrotask(() => this.end(4403, text));
    return state === "asking" ? "" : eventText("problem", told);
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
    if (this.response.state === "closed") return;
    this.#ref += 1;
    this.owner.ask(JSON.stringify(room.request(this.#ref)));
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

function isPosition(result: unknown): result is Position {
  return typeof result === "object" && result !== null && "epoch" in result && "offset" in result;
}

function errorCodeOf(code: string): ErrorCode {
  return Object.hasOwn(ERROR_STATUS, code) ? (code as ErrorCode) : "internal";
}
