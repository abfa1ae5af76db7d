import type { ServerFrame, Welcome } from "../protocol/frames.js";
import { timeOf } from "./answer.js";
import { backoffMs } from "./backoff.js";
import { isBusy, isFinal } from "./close-codes.js";
import type { Effect, Input, RequestBody } from "./effect.js";
import { FanwireError, textOf } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";
import { isStable, LEAVE_GRACE_MS, nextLeaveMs } from "./open-state.js";
import type { Settings } from "./options.js";
import { pack } from "./pack.js";
import { REPEAT, Requests } from "./requests.js";
import type { ConnectionState, Transport } from "./state.js";
import { Subscriptions } from "./subscriptions.js";
import { encodeFrame } from "./wire.js";

const HIDDEN_FACTOR = 4; // a hidden page is in no hurry: its attempts are this much rarer
const REF_MAX = 0xffffffff; // 32 bits
/** After a close of a busy server: not the moment to come back at once. */
const BUSY_ATTEMPT = 3;
const BYTES_MIN = 1_024; // any server takes that

/**
 * The client's side of the protocol without socket, clock or randomness: each input returns what is to be done, in
 * order. Time only needs to never run backwards.
 */
export class Connection {
  readonly #settings: Settings;
  readonly #random: () => number;
  readonly #subscriptions: Subscriptions;
  readonly #requests: Requests;
  #effects: Effect[] = [];
  #state: ConnectionState = { kind: "idle" };
  #transport: Transport = "websocket";
  #heartbeat: Heartbeat | undefined;
  #connectByMs = Number.POSITIVE_INFINITY;
  #bytesMax = BYTES_MIN;
  #hidden = false;
  /** Something may wait to be sent: it goes out at the next tick, so that all calls of one turn share a frame. */
  #unsent = false;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #ref = 0;

  constructor(settings: Settings, random: () => number) {
    this.#settings = settings;
    this.#random = random;
    const push = (effect: Effect): void => {
      this.#effects.push(effect);
    };
    this.#subscriptions = new Subscriptions(push, (attempt) => this.#backoffMs(attempt), settings.timeoutMs);
    this.#requests = new Requests(push, settings.queueMessages, settings.queueBytes);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  step(input: Input, nowMs: number): readonly Effect[] {
    this.#take(input, nowMs);
    const nextMs = this.#nextDueMs(nowMs);
    const asleep = nextMs === Number.POSITIVE_INFINITY && this.#wakeAtMs !== nextMs;
    if (nextMs < this.#wakeAtMs || asleep) {
      this.#wakeAtMs = nextMs;
      this.#effects.push({ kind: "wake", atMs: nextMs });
    }
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #take(input: Input, nowMs: number): void {
    switch (input.kind) {
      case "connect":
        if (this.#state.kind !== "connecting" && this.#state.kind !== "open") this.#connect(0, nowMs);
        return;
      case "disconnect":
        if (this.#state.kind !== "closed") this.#end({ kind: "idle" });
        return;
      case "close":
        this.#end({ kind: "closed", code: 1000, reason: "closed by the application" });
        this.#subscriptions.removeAll();
        return;
      case "subscribe":
        this.#subscriptions.add(input.id, input.room, input.request);
        this.#unsent = true;
        return;
      case "unsubscribe":
        this.#subscriptions.remove(input.id);
        this.#unsent = true;
        return;
      case "rate":
        this.#subscriptions.setRate(input.id, input.rate);
        this.#unsent = true;
        return;
      case "request":
        this.#request(input.id, input.body, nowMs + input.timeoutMs);
        return;
      case "via":
        this.#transport = input.transport;
        return;
      case "resubscribe":
        this.#subscriptions.lagged();
        this.#unsent = true;
        return;
      case "received":
        this.#heartbeat?.heard();
        for (const frame of input.frames) this.#receive(frame, nowMs);
        // Also here, since browsers slow the timers of hidden pages down to one a minute.
        this.#beat(nowMs);
        this.#flush(nowMs);
        return;
      case "closed":
        this.#closed(input.code, input.reason, nowMs);
        return;
      case "garbled":
        this.#fail(new FanwireError("bad_request", input.reason));
        this.#drop(4400, input.reason, nowMs);
        return;
      case "tick":
        this.#wakeAtMs = Number.POSITIVE_INFINITY;
        this.#tick(nowMs);
        return;
      case "online":
      case "visible":
        if (input.kind === "visible") this.#setHidden(false);
        this.#back(nowMs);
        return;
      case "offline":
        this.#heartbeat?.probe(nowMs);
        return;
      case "hidden":
        this.#setHidden(true);
        return;
    }
  }

  #setHidden(hidden: boolean): void {
    this.#hidden = hidden;
    this.#subscriptions.setHidden(hidden);
    this.#unsent = true;
  }

  #receive(frame: ServerFrame, nowMs: number): void {
    switch (frame.type) {
      case "welcome":
        this.#welcome(frame, nowMs);
        return;
      case "ok":
        this.#answered(frame.ref, frame.result, nowMs);
        return;
      case "error":
        this.#refused(frame, nowMs);
        return;
      case "message":
        this.#subscriptions.message(frame, nowMs);
        return;
      case "live":
        this.#subscriptions.live(frame);
        return;
      case "lagged":
        this.#subscriptions.lagged();
        // Over HTTP each has an answer of its own.
        if (this.#transport === "websocket") this.#requests.lagged();
        this.#unsent = true;
        return;
      case "reset":
        this.#subscriptions.reset(frame);
        return;
      case "patternReset":
        this.#subscriptions.patternReset(frame);
        return;
      case "patternEnded":
        this.#subscriptions.ended(
          frame.pattern,
          new FanwireError(frame.code, frame.text, { retryMs: frame.retryMs }),
          nowMs,
        );
        this.#unsent = true;
        return;
      case "rate":
        this.#subscriptions.moved(frame);
        return;
      case "goaway":
        this.#goaway(frame.reason, frame.delayMs, nowMs);
        return;
      case "members":
        this.#subscriptions.members(frame);
        return;
    }
  }

  #welcome({ session, node, pingMs, maxBytes }: Welcome, nowMs: number): void {
    if (this.#state.kind !== "connecting") return;
    this.#connectByMs = Number.POSITIVE_INFINITY;
    this.#bytesMax = Math.max(BYTES_MIN, maxBytes);
    const intervalMs = Math.min(pingMs, this.#settings.pingMs);
    this.#heartbeat = new Heartbeat(nowMs, intervalMs, this.#settings.deadMs, this.#random);
    const { attempt } = this.#state;
    const transport = this.#transport;
    this.#enter({ kind: "open", attempt, session, node, sinceMs: nowMs, transport, leaving: undefined });
    this.#unsent = true;
  }

  #answered(ref: number, result: unknown, nowMs: number): void {
    const latencyMs = this.#heartbeat?.ponged(ref, nowMs);
    if (latencyMs !== undefined)
      this.#effects.push({ kind: "latency", ms: latencyMs, serverTimeMs: timeOf(result) });
    else if (!this.#subscriptions.answered(ref, result, nowMs)) this.#requests.answer(ref, result);
    this.#unsent = true;
  }

  #refused(frame: Extract<ServerFrame, { type: "error" }>, nowMs: number): void {
    const error = new FanwireError(frame.code, frame.text, { retryMs: frame.retryMs });
    if (frame.ref === 0 && frame.room !== undefined) this.#subscriptions.ended(frame.room, error, nowMs);
    else if (frame.ref === 0 && frame.code === "unauthenticated" && this.#settings.freshTokens)
      this.#effects.push({ kind: "renew" });
    else if (frame.ref === 0) this.#fail(error);
    else if (!this.#subscriptions.refused(frame.ref, error, nowMs)) this.#requests.refuse(frame.ref, error);
    this.#unsent = true;
  }

  #goaway(reason: string, delayMs: number, nowMs: number): void {
    if (this.#state.kind === "open")
      this.#enter({ ...this.#state, leaving: { atMs: nowMs + delayMs, reason } });
  }

  #request(id: number, body: RequestBody, dueMs: number): void {
    const { kind } = this.#state;
    const refuse = (error: FanwireError): void => {
      this.#effects.push({ kind: "refusal", id, error });
    };
    if (kind === "closed") {
      refuse(new FanwireError("closed", `${body.type}: the connection is closed for good`));
      return;
    }
    if (body.type === "ping" && kind !== "open") {
      refuse(new FanwireError("unavailable", "ping: there is no connection"));
      return;
    }
    const ref = this.#nextRef();
    let bytes: Uint8Array;
    try {
      bytes = encodeFrame({ ...body, ref });
    } catch (cause) {
      refuse(new FanwireError("bad_request", `${body.type}: ${textOf(cause)}`));
      return;
    }
    this.#requests.add({ id, ref, name: body.type, bytes, dueMs, repeat: REPEAT[body.type] });
    this.#unsent = true;
  }

  #tick(nowMs: number): void {
    this.#subscriptions.expire(nowMs);
    this.#requests.expire(nowMs);
    if (this.#state.kind === "waiting" && this.#state.resumeAtMs <= nowMs) {
      this.#connect(this.#state.attempt, nowMs);
    } else if (this.#connectByMs <= nowMs) {
      this.#drop(4408, "the handshake took too long", nowMs);
    }
    this.#beat(nowMs);
    this.#flush(nowMs);
  }

  #beat(nowMs: number): void {
    const due = this.#heartbeat?.due(nowMs);
    if (due === "dead") this.#drop(4408, "the connection is dead", nowMs);
    if (due !== "ping") return;
    const ref = this.#nextRef();
    this.#heartbeat?.pinged(ref, nowMs);
    this.#send([encodeFrame({ type: "ping", ref })]);
  }

  #flush(nowMs: number): void {
    if (this.#state.kind !== "open") return;
    const { leaving } = this.#state;
    const due = leaving !== undefined && leaving.atMs <= nowMs;
    if (due && (this.#requests.inFlight === 0 || leaving.atMs + LEAVE_GRACE_MS <= nowMs)) {
      this.#drop(1000, leaving.reason, nowMs);
      return;
    }
    this.#unsent = false;
    const frames = this.#subscriptions.take(this.#bytesMax, () => this.#nextRef(), nowMs);
    const values = frames.map((frame) => encodeFrame(frame));
    // What is sent to a server that is being left might not be answered any more.
    if (!due) values.push(...this.#requests.take(this.#bytesMax));
    this.#send(values);
  }

  #send(values: readonly Uint8Array[]): void {
    for (const bytes of pack(values, this.#bytesMax)) this.#effects.push({ kind: "send", bytes });
  }

  #connect(attempt: number, nowMs: number): void {
    this.#connectByMs = nowMs + this.#settings.timeoutMs;
    this.#enter({ kind: "connecting", attempt });
    this.#effects.push({ kind: "connect" });
  }

  /** The network or the page is back: try at once, unless the server set the time; doubt what seems to stand. */
  #back(nowMs: number): void {
    if (this.#state.kind === "waiting" && this.#state.by === "backoff") {
      this.#connect(this.#state.attempt, nowMs);
    }
    this.#heartbeat?.probe(nowMs);
  }

  /** Closes from this side. */
  #drop(code: number, reason: string, nowMs: number): void {
    if (this.#state.kind !== "connecting" && this.#state.kind !== "open") return;
    this.#effects.push({ kind: "close", code });
    this.#lost(reason, nowMs);
  }

  #closed(code: number, reason: string, nowMs: number): void {
    if (this.#state.kind !== "connecting" && this.#state.kind !== "open") return;
    if (isFinal(code, this.#settings.freshTokens)) {
      this.#end({ kind: "closed", code, reason });
      this.#fail(new FanwireError("closed", `the server closed with ${code}: ${reason}`));
    } else {
      this.#lost(reason === "" ? `closed with ${code}` : reason, nowMs, isBusy(code));
    }
  }

  #lost(reason: string, nowMs: number, busy = false): void {
    const open = this.#state.kind === "open" ? this.#state : undefined;
    const before = this.#state.kind === "connecting" ? this.#state.attempt : (open?.attempt ?? 0);
    const attempt = open !== undefined && isStable(open, nowMs) ? 0 : before;
    const leaving = open?.leaving;
    // A server that sends every client on at once, again and again, is met with backoff too.
    const calm = leaving !== undefined && attempt === 0;
    const backoffMs = this.#backoffMs(busy ? Math.max(attempt, BUSY_ATTEMPT) : attempt);
    const delayMs = calm ? 0 : backoffMs * (this.#hidden ? HIDDEN_FACTOR : 1);
    this.#disconnected();
    this.#enter({
      kind: "waiting",
      attempt: attempt + 1,
      resumeAtMs: Math.max(nowMs + delayMs, leaving?.atMs ?? 0),
      reason,
      by: leaving === undefined ? "backoff" : "server",
    });
  }

  /** To a state that stays until the application asks for another. */
  #end(state: Extract<ConnectionState, { kind: "idle" | "closed" }>): void {
    if (this.#state.kind === "connecting" || this.#state.kind === "open") {
      this.#effects.push({ kind: "close", code: 1000 });
    }
    if (state.kind === "closed") this.#requests.end(state.reason);
    this.#disconnected();
    if (this.#state.kind !== state.kind) this.#enter(state);
  }

  #disconnected(): void {
    this.#connectByMs = Number.POSITIVE_INFINITY;
    this.#heartbeat = undefined;
    this.#subscriptions.disconnected();
    this.#requests.disconnected();
  }

  #enter(state: ConnectionState): void {
    this.#state = state;
    this.#effects.push({ kind: "state", state });
  }

  #fail(error: FanwireError): void {
    this.#effects.push({ kind: "error", error });
  }

  #backoffMs(attempt: number): number {
    const { backoffBaseMs, backoffCapMs } = this.#settings;
    return backoffMs(attempt, this.#random, backoffBaseMs, backoffCapMs);
  }

  #nextRef(): number {
    this.#ref = (this.#ref % REF_MAX) + 1;
    return this.#ref;
  }

  #nextDueMs(nowMs: number): number {
    const { nextDueMs: requestMs } = this.#requests;
    switch (this.#state.kind) {
      case "idle":
      case "closed":
        return requestMs;
      case "waiting":
        return Math.min(requestMs, this.#state.resumeAtMs);
      case "connecting":
        return Math.min(requestMs, this.#connectByMs);
      case "open": {
        if (this.#unsent) return nowMs;
        const heartbeatMs = this.#heartbeat?.nextDueMs ?? Number.POSITIVE_INFINITY;
        return Math.min(
          requestMs,
          this.#subscriptions.nextDueMs,
          heartbeatMs,
          nextLeaveMs(this.#state, nowMs),
        );
      }
    }
  }
}
