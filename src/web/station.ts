import {
  Client,
  type ConnectionState,
  type FanwireError,
  type Message,
  type SubscribeOptions,
  type Subscription,
} from "../client/index.js";
import { LatencyWindow } from "./latency.js";
import { RoomLedger, type RoomResume } from "./ledger.js";
import { Line } from "./line.js";
import { Rate } from "./rate.js";

const LATENCY_SECONDS = 5;
const RATE_MS = 2_000;
/** A clock that differs by less, or by less than the round trip took, is left alone: the estimate is no better. */
const SKEW_MS_MIN = 50;
const PINGS = 3;

/** A room that the page follows. */
export interface Followed {
  readonly ledger: RoomLedger;
  readonly subscription: Subscription;
  readonly rate: Rate;
  /** Age of live messages when they came, those that waited for their window included. */
  readonly staleness: LatencyWindow;
}

export interface StationEvents {
  state(state: ConnectionState): void;
  /** A break is over: how each room came back, and how long the page was without connection. */
  back(resumes: readonly RoomResume[], awayMs: number): void;
  refused(room: string, error: FanwireError): void;
}

interface Break {
  readonly sinceMs: number;
  readonly waitingFor: Set<string>;
  readonly resumes: RoomResume[];
}

/** The page's one connection and all that is measured on it. */
export class Station {
  readonly client: Client;
  readonly line = new Line();
  readonly latency = new LatencyWindow(LATENCY_SECONDS);
  readonly messages = new Rate(RATE_MS, performance.now());
  readonly bytes = new Rate(RATE_MS, performance.now());
  /** WebSocket messages: many messages may share one. */
  readonly frames = new Rate(RATE_MS, performance.now());
  readonly rooms: Followed[] = [];
  readonly #events: StationEvents;
  #break: Break | undefined;
  #wasOpen = false;
  #cutTimer: ReturnType<typeof setTimeout> | undefined;
  #cutUntilMs: number | undefined;
  #skewMs = 0;

  constructor(url: string, events: StationEvents) {
    this.#events = events;
    // What this page shows, and cuts, is a WebSocket: the client is not to go round it.
    this.client = new Client(url, { WebSocket: this.line.Socket, transport: "websocket" });
    this.client.on("state", (state) => this.#enter(state));
  }

  /** How far the server's clock is ahead of this one, where that is much; latencies are corrected by it. */
  get skewMs(): number {
    return this.#skewMs;
  }

  /** When a cut ends, on the clock of `performance.now()`; undefined while the line is whole. */
  get cutUntilMs(): number | undefined {
    return this.#cutUntilMs;
  }

  /** Follows a room; every message is counted and checked before the handler gets it. */
  follow(room: string, options: SubscribeOptions, onMessage: (message: Message) => void): Followed {
    const ledger = new RoomLedger(room);
    const rate = new Rate(RATE_MS, performance.now());
    const staleness = new LatencyWindow(LATENCY_SECONDS);
    const subscription = this.client.subscribe(room, options);
    subscription.on("subscribed", (subscribed) => ledger.subscribed(subscribed));
    subscription.on("live", (position) => this.#cameBack(room, ledger.live(position)));
    subscription.on("reset", (reset) => this.#cameBack(room, ledger.reset(reset)));
    subscription.on("error", (error) => {
      this.#break?.waitingFor.delete(room);
      this.#events.refused(room, error);
    });
    subscription.on("message", (message) => {
      const nowMs = performance.now();
      ledger.message(message);
      rate.add(1, nowMs);
      this.messages.add(1, nowMs);
      if (!message.replayed) {
        const ageMs = performance.timeOrigin + nowMs + this.#skewMs - message.time;
        staleness.record(ageMs, nowMs);
        // The wait for a window is no latency of the line.
        if (subscription.rate === "all") this.latency.record(ageMs, nowMs);
      }
      onMessage(message);
    });
    const followed = { ledger, subscription, rate, staleness };
    this.rooms.push(followed);
    return followed;
  }

  /** Cuts the line for some seconds; then the client connects at once, as after a browser's `online` event. */
  cut(ms: number): void {
    clearTimeout(this.#cutTimer);
    this.#cutUntilMs = performance.now() + ms;
    this.line.cutUntil(this.#cutUntilMs);
    this.#cutTimer = setTimeout(() => {
      this.#cutUntilMs = undefined;
      this.line.mend();
      this.client.connect();
    }, ms);
  }

  /** What came over the line since the last call, for the rates. */
  measure(nowMs: number): void {
    const { receivedBytes, receivedFrames } = this.line;
    this.bytes.add(receivedBytes - this.#measured.bytes, nowMs);
    this.frames.add(receivedFrames - this.#measured.frames, nowMs);
    this.#measured = { bytes: receivedBytes, frames: receivedFrames };
  }
  #measured = { bytes: 0, frames: 0 };

  #enter(state: ConnectionState): void {
    if (state.kind === "open" && !this.#wasOpen) {
      this.#wasOpen = true;
      this.#measureSkew().catch(() => {
        // The connection broke meanwhile: the next one measures again.
      });
    }
    if (state.kind !== "open" && this.#wasOpen) {
      this.#wasOpen = false;
      for (const { ledger } of this.rooms) ledger.broke();
      const followed = this.rooms.filter(({ subscription }) => subscription.state.kind !== "failed");
      this.#break ??= { sinceMs: performance.now(), waitingFor: new Set(), resumes: [] };
      for (const { ledger } of followed) this.#break.waitingFor.add(ledger.room);
      this.#break.resumes.length = 0;
    }
    this.#events.state(state);
  }

  #cameBack(room: string, resume: RoomResume | undefined): void {
    if (resume === undefined) return;
    const current = this.#break;
    // A reset in the middle of a connection is a story of its own.
    if (current === undefined) {
      this.#events.back([resume], 0);
      return;
    }
    current.resumes.push(resume);
    current.waitingFor.delete(room);
    if (current.waitingFor.size > 0) return;
    this.#break = undefined;
    this.#events.back(current.resumes, performance.now() - current.sinceMs);
  }

  /** The shortest of some round trips says most about the clocks. */
  async #measureSkew(): Promise<void> {
    let best = { latencyMs: Number.POSITIVE_INFINITY, skewMs: 0 };
    for (let ping = 0; ping < PINGS; ping += 1) {
      const { latencyMs, serverTimeMs } = await this.client.ping();
      const nowMs = performance.timeOrigin + performance.now();
      const skewMs = serverTimeMs + latencyMs / 2 - nowMs;
      if (latencyMs < best.latencyMs) best = { latencyMs, skewMs };
    }
    this.#skewMs = Math.abs(best.skewMs) < Math.max(SKEW_MS_MIN, best.latencyMs) ? 0 : best.skewMs;
  }
}
