import type { Counters } from "./counters.js";
import type { Session } from "./session.js";

interface Watched {
  bufferedBytes: number;
  sinceMs: number;
}

/** Watches sockets whose buffer is above the low watermark, and closes those where nothing moves for too long. */
export class SlowWatch {
  readonly #slowMs: number;
  readonly #counters: Counters;
  readonly #watched = new Map<Session, Watched>();

  constructor(slowMs: number, counters: Counters) {
    this.#slowMs = slowMs;
    this.#counters = counters;
  }

  watch(session: Session, nowMs: number): void {
    if (this.#watched.has(session)) return;
    this.#watched.set(session, { bufferedBytes: session.bufferedBytes, sinceMs: nowMs });
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    for (const [session, watched] of this.#watched) {
      if (session.isClosed || session.drainedEnough) {
        this.#watched.delete(session);
        // In case the socket's own call came while nobody waited for it.
        session.drained();
        continue;
      }
      const { bufferedBytes } = session;
      if (bufferedBytes < watched.bufferedBytes) {
        watched.sinceMs = nowMs;
      } else if (nowMs - watched.sinceMs >= this.#slowMs) {
        this.#watched.delete(session);
        this.#counters.slowCloses += 1;
        session.close(4408, `no progress for ${this.#slowMs} ms with ${bufferedBytes} bytes waiting`);
        continue;
      }
      watched.bufferedBytes = bufferedBytes;
    }
  }
}
