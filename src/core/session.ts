import { CodedError, toCodedError } from "../protocol/errors.js";
import type { ClientInput, ControlFrame, HistoryOptions } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { HistoryReply, ServerWire } from "../protocol/wire.js";
import { type Access, forbidden } from "./access.js";
import { type AllowanceMark, allowanceClock, allowanceVerdict, overRate, spend } from "./allowance.js";
import type { Lane } from "./lane.js";
import { outageText } from "./outages.js";
import type { Packer } from "./packer.js";
import { PageQueue } from "./page-queue.js";
import { renewPatterns } from "./pattern-requests.js";
import type { Outbox } from "./ports.js";
import { type Asker, carryOut, take } from "./requests.js";
import type { SessionHost } from "./session-host.js";
import { type Owner, Subscriptions } from "./subscriptions.js";

type State =
  | "open"
  /** Above the soft watermark: its subscriptions are to move to the slowest classes. */
  | "slowing"
  /** They have. */
  | "slowed"
  /** Calm for long enough: they are to move back. */
  | "restoring"
  /** A frame was dropped; nothing has been done about it yet. */
  | "dropped"
  /** All topics are left; waits for the buffer to drain, then says `lagged`. */
  | "lagging"
  | "closed";

/** When who was closed for a flood may come back. */
const FLOOD_RETRY_MS = 1_000;

/**
 * One connection, as its socket's handlers drive it. Safe to call in any order; after `closed` nothing happens.
 *
 * Here and in what else there is for every connection methods are `private` and not `#private`, with which each object
 * would be 8 bytes bigger.
 */
export class Session implements Owner, Asker {
  readonly id: string;
  readonly wire: ServerWire;
  /** Where it has its place until it is closed. */
  readonly lane: Lane;
  readonly #host: SessionHost;
  readonly #outbox: Outbox;
  readonly subscriptions: Subscriptions;
  #state: State = "open";
  /** Requests that wait for the broker. */
  #inFlight = 0;
  /** What was used up of the allowances of requests and of bytes. */
  #requestsMark: AllowanceMark = 0;
  #bytesMark: AllowanceMark = 0;
  /** History requests, one at a time; made when the first comes. */
  #pages: PageQueue | undefined;
  #access: Access;
  /** Set while the session waits for a turn; the engine's mark. */
  queued = false;

  constructor(id: string, wire: ServerWire, outbox: Outbox, host: SessionHost, access: Access) {
    this.id = id;
    this.#access = access;
    this.wire = wire;
    this.#outbox = outbox;
    this.#host = host;
    this.lane = host.lanes.acquire(this);
    this.subscriptions = new Subscriptions(this, host);
  }

  get access(): Access {
    return this.#access;
  }

  get bufferedBytes(): number {
    return this.#outbox.bufferedBytes();
  }

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  get drainedEnough(): boolean {
    return this.bufferedBytes <= this.#host.limits.lowWatermarkBytes;
  }

  /** One inbound WebSocket message, all of it at once; the bytes need to be valid during the call only. */
  receive(payload: Uint8Array, nowMs: number): void {
    this.carryOut(this.take(payload, nowMs), 0, Number.POSITIVE_INFINITY, nowMs);
  }

  /** What an inbound message asks for and may, to be carried out in its order. Data are views into the bytes. */
  take(payload: Uint8Array, nowMs: number): readonly ClientInput[] {
    if (this.#state === "closed") return [];
    const clock = allowanceClock(nowMs);
    const { limits, counters, allowances } = this.#host;
    counters.receivedBytes += payload.length;
    this.#bytesMark = spend(this.#bytesMark, payload.length, allowances.bytes, clock);
    if (payload.length <= limits.payloadBytes) return take(this, this.#host, payload, nowMs);
    if (!this.floods(clock)) this.tooLarge(payload.length);
    return [];
  }

  /** See {@link carryOut}. */
  carryOut(inputs: readonly ClientInput[], from: number, most: number, nowMs: number): number {
    return carryOut(this, this.#host, inputs, { from, most }, nowMs);
  }

  charge(units: number, nowMs: number): CodedError | "flood" | undefined {
    const clock = allowanceClock(nowMs);
    this.#requestsMark = spend(this.#requestsMark, units, this.#host.allowances.requests, clock);
    return this.floods(clock) ? "flood" : this.overRate(clock);
  }

  /** A ping or pong of WebSocket itself, which is answered elsewhere. */
  heard(bytes: number, nowMs: number): void {
    if (this.#state === "closed") return;
    const clock = allowanceClock(nowMs);
    const { requests, bytes: byteRule } = this.#host.allowances;
    this.#requestsMark = spend(this.#requestsMark, 1, requests, clock);
    this.#bytesMark = spend(this.#bytesMark, bytes, byteRule, clock);
    this.floods(clock);
  }

  /** A WebSocket message above the payload limit, whether it was read or not. */
  tooLarge(bytes: number): void {
    this.#host.counters.payloadsTooLarge += 1;
    const allowed = `a WebSocket message to this server has at most ${this.#host.limits.payloadBytes} bytes`;
    this.refuse(0, new CodedError("too_large", `${bytes} bytes: ${allowed}`));
  }

  /** Whether its subscriptions are in the slowest classes for its socket's sake. */
  get isSlowed(): boolean {
    return this.#state === "slowed";
  }

  /** From the socket's `dropped` callback: sets a mark, nothing else. */
  dropped(): void {
    if (!this.takesFrames) return;
    this.#state = "dropped";
    this.#host.counters.dropped += 1;
    this.#host.wantLag(this);
  }

  /** From the socket's `drain` callback: it took something of what waited. Sets marks, nothing else. */
  drained(): void {
    if (this.#state === "closed") return;
    this.#host.noteDrain(this);
    if (this.bufferedBytes > this.#host.limits.softWatermarkBytes) this.wantPace("slow");
    this.goOn();
  }

  /** About once a second, and when much was sent: notices what no callback tells, that something waits and nothing is taken. */
  lookAtBuffer(expectedBytes = 0): void {
    this.#host.lookAt(this, expectedBytes);
  }

  /** Goes on with what waits for the buffer to drain, if it has. */
  goOn(): void {
    if (this.#state === "closed" || !this.drainedEnough) return;
    if (this.#state === "lagging" || this.wantsToSend) this.wantTurn();
  }

  /** Asks the client to reconnect elsewhere after a delay, jittered for it. */
  goaway(reason: string, delayMs: number): void {
    this.sendControl({ type: "goaway", reason, delayMs });
  }

  /** Says, once an outage, that rooms of this connection get nothing new. */
  tellOutage(): void {
    const { outages } = this.#host;
    if (!outages.isAny || this.#state === "closed") return;
    const rooms = this.subscriptions.untoldOutages(outages);
    if (rooms.length === 0) return;
    this.#host.counters.outagesTold += 1;
    const text = outageText(rooms);
    this.sendControl({ type: "error", ref: 0, code: "unavailable", text, retryMs: undefined });
  }

  /** Tells the client that its token expires soon. `nowMs`: since 1970, as in tokens. */
  warnOfExpiry(nowMs: number): void {
    const seconds = Math.max(0, Math.ceil(this.#access.expiresAt - nowMs / 1_000));
    const text = `the token expires within ${seconds} s: authenticate with a fresh one`;
    this.sendControl({ type: "error", ref: 0, code: "unauthenticated", text, retryMs: undefined });
  }

  closed(nowMs: number): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#host.patterns.find(this)?.closeAll(nowMs);
    this.subscriptions.closeAll(nowMs);
    this.#host.signatures.removeAll(this.id);
    this.#host.lanes.release(this.lane, this);
    this.#host.counters.connections -= 1;
  }

  close(code: Parameters<Outbox["close"]>[0], reason: string): void {
    this.#outbox.close(code, reason);
  }

  /** Asks that the subscriptions be moved to the slowest classes, or back to their own, in the next tick. */
  wantPace(pace: "slow" | "restore"): void {
    const isOpen = this.#state === "open" && pace === "slow";
    if (!isOpen && this.#state !== "slowed") return;
    this.#state = pace === "slow" ? "slowing" : "restoring";
    this.#host.wantLag(this);
  }

  /** What {@link SessionHost.wantLag} asked for. */
  adapt(nowMs: number): void {
    if (this.#state === "dropped") this.lag(nowMs);
    else if (this.#state === "slowing") {
      if (this.subscriptions.pace("slow") > 0) this.#host.counters.slowedDown += 1;
      this.#state = this.subscriptions.areMoved ? "slowed" : "open";
      this.#host.watch(this, nowMs);
    } else if (this.#state === "restoring") {
      this.subscriptions.pace("own");
      this.#state = "open";
      this.#host.counters.restored += 1;
    }
  }

  /** Leaves every topic: a slow socket then costs nothing until it has drained. */
  private lag(nowMs: number): void {
    this.#state = "lagging";
    this.#host.counters.lagged += 1;
    this.subscriptions.lag();
    this.#host.patterns.find(this)?.lag();
    if (this.drainedEnough) this.wantTurn();
    else this.#host.watch(this, nowMs);
  }

  /** One turn of sending: `lagged`, or one chunk of replay. Returns the bytes sent. */
  turn(packer: Packer, nowMs: number): number {
    if (this.#state === "closed" || this.#state === "dropped") return 0;
    if (this.#state === "lagging") {
      if (!this.drainedEnough) return 0;
      this.#state = "open";
      this.sendControl({ type: "lagged" });
      return 0;
    }
    if (!this.wantsToSend) return 0;
    if (!this.drainedEnough) {
      this.#host.watch(this, nowMs);
      return 0;
    }
    const pageBytes = this.#pages?.turn() ?? 0;
    this.subscriptions.replay(packer);
    const chunk = packer.take();
    if (chunk !== undefined) this.send(chunk);
    if (this.wantsToSend) this.wantTurn();
    return pageBytes + (chunk?.length ?? 0);
  }

  wantTurn(): void {
    this.#host.wantTurn(this);
  }

  wantRetry(): void {
    this.#host.wantRetry(this);
  }

  join(topic: string): void {
    this.#outbox.join(topic);
  }

  leave(topic: string): void {
    this.#outbox.leave(topic);
  }

  /**
   * Sends what belongs to a room's flow. Nothing once a frame was dropped: a later one would look as if all before
   * it had come.
   */
  send(bytes: Uint8Array): void {
    if (this.takesFrames) this.put(bytes);
  }

  /** Sends an answer or what concerns the connection. */
  sendControl(frame: ControlFrame): void {
    this.put(this.wire.encode(frame));
  }

  sendAnswer(answer: Uint8Array): void {
    this.put(answer);
  }

  get takesFrames(): boolean {
    return this.#state !== "dropped" && this.#state !== "lagging" && this.#state !== "closed";
  }

  private get wantsToSend(): boolean {
    return this.subscriptions.wantsToSend || this.#pages?.wantsToSend === true;
  }

  askPage(ref: number, room: RoomName, options: HistoryOptions): void {
    this.#inFlight += 1;
    this.#pages ??= new PageQueue(this, this.#host);
    this.#pages.ask({ ref, room, options });
  }

  /** Has new rights from now on; leaves the rooms that they do not allow. */
  renew(access: Access, nowMs: number): void {
    this.#host.presence.rename(this, this.subscriptions.attended(), access);
    this.#access = access;
    renewPatterns(this, this.#host, nowMs);
    for (const room of this.subscriptions.rooms()) {
      const isSeen = !this.subscriptions.watches(room) || access.rights.allows("members", room);
      if (isSeen && access.rights.allows("subscribe", room)) continue;
      this.subscriptions.close(room, nowMs);
      this.#host.counters.forbidden += 1;
      const { code, message: text } = forbidden(isSeen ? "subscribe" : "members", room);
      this.sendControl({ type: "error", ref: 0, code, text, retryMs: undefined, room });
    }
  }

  /** A history request was answered or refused. */
  pageDone(ref: number, outcome: HistoryReply | CodedError): number {
    this.#inFlight -= 1;
    if (outcome instanceof CodedError) {
      this.refuse(ref, outcome);
      return 0;
    }
    if (ref === 0) return 0;
    const bytes = this.wire.encodeHistory(ref, outcome);
    this.put(bytes);
    return bytes.length;
  }

  private put(bytes: Uint8Array): void {
    if (this.#state === "closed") return;
    this.#host.counters.sentBytes += bytes.length;
    const outcome = this.#outbox.send(bytes);
    if (outcome === "dropped") this.dropped();
    else if (outcome === "buffered") this.lookAtBuffer();
  }

  /** Waits for the broker, counted; the outcome is answered unless the connection is gone by then. */
  wait<T>(ref: number, outcome: Promise<T>, done: (value: T) => void): void {
    this.#inFlight += 1;
    outcome.then(
      (value) => {
        this.#inFlight -= 1;
        if (this.#state !== "closed") done(value);
      },
      (cause: unknown) => {
        this.#inFlight -= 1;
        if (this.#state !== "closed") this.refuse(ref, toCodedError(cause));
      },
    );
  }

  busy(ref: number, allowed: number): boolean {
    if (this.#inFlight < allowed) return false;
    this.#host.counters.rateLimited += 1;
    const text = `${allowed} requests of this connection wait for their answer, its limit`;
    this.refuse(ref, new CodedError("rate_limited", text, 100));
    return true;
  }

  /** What to tell who sends more than allowed; undefined where that is not so. */
  private overRate(clock: number): CodedError | undefined {
    const { allowances, limits, counters } = this.#host;
    const requests = allowanceVerdict(this.#requestsMark, allowances.requests, clock);
    if (requests.kind === "over") {
      counters.requestsOverRate += 1;
      return overRate(`${limits.requestsPerSecond} requests`, requests.retryMs);
    }
    const bytes = allowanceVerdict(this.#bytesMark, allowances.bytes, clock);
    if (bytes.kind !== "over") return undefined;
    counters.bytesOverRate += 1;
    return overRate(`${limits.receivedBytesPerSecond} bytes`, bytes.retryMs);
  }

  /** Closes who was told to send less and did not. */
  private floods(clock: number): boolean {
    const { allowances, counters } = this.#host;
    const floods =
      allowanceVerdict(this.#requestsMark, allowances.requests, clock).kind === "flood" ||
      allowanceVerdict(this.#bytesMark, allowances.bytes, clock).kind === "flood";
    if (!floods) return false;
    counters.floodCloses += 1;
    const text = "too many messages: told rate_limited, and went on";
    this.refuse(0, new CodedError("rate_limited", text, FLOOD_RETRY_MS));
    this.close(4429, text);
    return true;
  }

  answer(ref: number, result: unknown): void {
    if (ref > 0) this.sendControl({ type: "ok", ref, result });
  }

  refuse(ref: number, error: CodedError): void {
    this.#host.counters.requestErrors += 1;
    this.sendControl({ type: "error", ref, code: error.code, text: error.message, retryMs: error.retryMs });
  }
}
