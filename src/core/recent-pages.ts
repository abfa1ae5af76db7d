import type { Position } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { HistoryPage } from "./ports.js";

/** How long a page serves others. A room that is open has all that came since in its ring. */
const KEEP_MS = 1_000;
/** Of all pages together; the oldest go first. */
const MESSAGES_MAX = 100_000;

interface RecentPage {
  readonly epoch: string;
  /** It has everything after this offset, up to its end. */
  readonly from: number;
  readonly page: HistoryPage & { readonly kind: "page" };
  readonly sinceMs: number;
}

/**
 * The last page that was read of each room, for a moment: in a storm everybody asks for another position of the same
 * few messages, and whoever asks for a later one than somebody before him need not ask the broker.
 */
export class RecentPages {
  /** The oldest first. */
  readonly #pages = new Map<RoomName, RecentPage>();
  #messages = 0;
  #nowMs = Number.NEGATIVE_INFINITY;

  /** What follows a position, where a page of the last moment has it. */
  find(room: RoomName, { epoch, offset }: Position): HistoryPage | undefined {
    const recent = this.#pages.get(room);
    if (recent === undefined || recent.epoch !== epoch || offset < recent.from) return undefined;
    const { messages, more, head } = recent.page;
    const last = messages[messages.length - 1];
    // At the end of a page that goes on there is nothing for who stands there.
    if (last === undefined || offset >= last.offset) return undefined;
    return { kind: "page", messages: messages.slice(indexAfter(messages, offset)), more, head };
  }

  /** Keeps what was read after a position, in place of the room's page before. */
  keep(room: RoomName, { epoch, offset }: Position, page: HistoryPage): void {
    // Before the first tick there is no time.
    const isTimed = this.#nowMs > Number.NEGATIVE_INFINITY;
    if (!isTimed || page.kind !== "page" || page.head.epoch !== epoch) return;
    this.#drop(room);
    this.#pages.set(room, { epoch, from: offset, page, sinceMs: this.#nowMs });
    this.#messages += page.messages.length;
    while (this.#messages > MESSAGES_MAX) this.#dropOldest();
  }

  /** Called at every tick. */
  expire(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const { sinceMs } of this.#pages.values()) {
      if (nowMs - sinceMs < KEEP_MS) return;
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    for (const room of this.#pages.keys()) {
      this.#drop(room);
      return;
    }
  }

  #drop(room: RoomName): void {
    this.#messages -= this.#pages.get(room)?.page.messages.length ?? 0;
    this.#pages.delete(room);
  }
}

/** The place of the first message after an offset. */
export function indexAfter(messages: readonly Message[], offset: number): number {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((messages[middle]?.offset ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
