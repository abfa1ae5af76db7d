import type { Counters } from "./counters.js";
import type { Limits } from "./limits.js";
import type { Session } from "./session.js";

/** How long a socket must have been calm before it gets its own classes back; twice as long after every time, up to a bound. */
const HOLD_MS_MIN = 4_000;
const HOLD_MS_MAX = 64_000;

/** Named in a look, and looked at for it: the others are as slow. */
const CLIENTS_MAX = 10;
const LOOKS_MAX = 5_000;

export interface SlowClient {
  readonly session: string;
  /** Undefined where connections have no token. */
  readonly sub: string | undefined;
  /** slowed: moved to the slowest classes; lagging: lost its flow, is told when it has drained; behind: neither yet. */
  readonly state: "slowed" | "lagging" | "behind";
  readonly bufferedBytes: number;
  /** How long nothing has moved. */
  readonly stillMs: number;
}

export interface SlowLook {
  /** Sockets that had something waiting lately, calm ones too. */
  readonly watched: number;
  /** The worst first. */
  readonly clients: readonly SlowClient[];
}

interface Watched {
  bufferedBytes: number;
  /** When something moved last. */
  movedMs: number;
  /** The socket took something since the last sweep. */
  drained: boolean;
  /** Since when its buffer has been found small; undefined where it was not the last time. */
  calmMs: number | undefined;
  holdMs: number;
  /** It was asked to slow down since the last sweep; where that changed nothing, once more would not either. */
  asked: boolean;
}

/** Checks are not closer together than this many bytes. */
const CHECK_BYTES_MIN = 4_096;

/**
 * Watches sockets that have something waiting. Nothing calls back when a socket that takes nothing comes above the soft
 * watermark, and a flood takes it from there to where frames are dropped in a fraction of a second. So whoever was sent
 * {@link SlowWatch.checkBytes} is looked at, besides everybody about once a second. Those above the soft watermark are slowed
 * down, and let go when they have been calm for a while; those where nothing moves for too long are closed.
 */
export class SlowWatch {
  readonly #limits: Limits;
  readonly #counters: Counters;
  readonly #watched = new Map<Session, Watched>();
  #nowMs = Number.NEGATIVE_INFINITY;

  constructor(limits: Limits, counters: Counters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /** How much a socket may be sent between two checks: then one comes before it has got from the soft watermark to the hard one. */
  get checkBytes(): number {
    const { bufferBytes, softWatermarkBytes } = this.#limits;
    return Math.max(CHECK_BYTES_MIN, (bufferBytes - softWatermarkBytes) / 2);
  }

  /**
   * Asks that it be slowed down where its buffer is above the soft watermark, or so full that it would lose frames if so many
   * bytes followed at once: under load many messages share a flush.
   */
  check(session: Session, expectedBytes: number): void {
    const { bufferBytes, softWatermarkBytes, lowWatermarkBytes } = this.#limits;
    const mark = Math.min(softWatermarkBytes, bufferBytes - expectedBytes);
    if (session.bufferedBytes <= Math.max(lowWatermarkBytes, mark)) return;
    let watched = this.#watched.get(session);
    if (watched === undefined) {
      watched = this.#add(session, this.#nowMs);
      // What moves when is known from the next sweep on.
      watched.drained = true;
    }
    if (watched.asked) return;
    watched.asked = true;
    session.wantPace("slow");
  }

  /** Something waits for the socket. */
  watch(session: Session, nowMs: number): void {
    if (!this.#watched.has(session)) this.#add(session, nowMs);
  }

  /** The socket took something of what waited. */
  drained(session: Session): void {
    const watched = this.#watched.get(session) ?? this.#add(session, this.#nowMs);
    watched.drained = true;
  }

  /** Who has most waiting, of those looked at, and how many are watched. */
  look(nowMs: number): SlowLook {
    const clients: SlowClient[] = [];
    let looks = 0;
    for (const [session, { movedMs }] of this.#watched) {
      looks += 1;
      if (looks > LOOKS_MAX) break;
      if (session.drainedEnough && !session.isSlowed) continue;
      const { id, access, bufferedBytes } = session;
      const state = session.isSlowed ? "slowed" : session.takesFrames ? "behind" : "lagging";
      clients.push({ session: id, sub: access.sub, state, bufferedBytes, stillMs: nowMs - movedMs });
    }
    clients.sort((one, other) => other.bufferedBytes - one.bufferedBytes);
    return { watched: this.#watched.size, clients: clients.slice(0, CLIENTS_MAX) };
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const [session, watched] of this.#watched) {
      const { bufferedBytes } = session;
      if (watched.drained || bufferedBytes < watched.bufferedBytes) watched.movedMs = nowMs;
      watched.drained = false;
      watched.asked = false;
      watched.bufferedBytes = bufferedBytes;
      if (session.isClosed) this.#watched.delete(session);
      else if (session.drainedEnough) this.#calm(session, watched, nowMs);
      else this.#strain(session, watched, nowMs);
    }
  }

  #calm(session: Session, watched: Watched, nowMs: number): void {
    // In case the socket's own call came while nobody waited for it.
    session.goOn();
    watched.calmMs ??= nowMs;
    if (nowMs - watched.calmMs < watched.holdMs && (session.isSlowed || watched.holdMs > HOLD_MS_MIN)) return;
    if (!session.isSlowed) {
      this.#watched.delete(session);
      return;
    }
    session.wantPace("restore");
    watched.holdMs = Math.min(2 * watched.holdMs, HOLD_MS_MAX);
    watched.calmMs = nowMs;
  }

  #strain(session: Session, watched: Watched, nowMs: number): void {
    watched.calmMs = undefined;
    const { bufferedBytes } = watched;
    const { slowMs, softWatermarkBytes } = this.#limits;
    if (nowMs - watched.movedMs >= slowMs) {
      this.#watched.delete(session);
      this.#counters.slowCloses += 1;
      session.close(4408, `no progress for ${slowMs} ms with ${bufferedBytes} bytes waiting`);
    } else if (bufferedBytes > softWatermarkBytes) session.wantPace("slow");
  }

  #add(session: Session, nowMs: number): Watched {
    const watched = {
      bufferedBytes: session.bufferedBytes,
      movedMs: nowMs,
      drained: false,
      calmMs: undefined,
      holdMs: HOLD_MS_MIN,
      asked: false,
    };
    this.#watched.set(session, watched);
    return watched;
  }
}
