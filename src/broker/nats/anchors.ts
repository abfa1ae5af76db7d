import { lastValue, TIME_STAMP } from "./message-headers.js";
import type { StoredMessage } from "./stored-message.js";

/** What is remembered of one message: enough to know it again. */
interface Anchor {
  readonly sequence: number;
  /** All headers, of a message that came live: the publisher's, then the server's. */
  readonly headers: string | undefined;
  /** The id that it was published with, of one that this node published. */
  readonly id: string | undefined;
  readonly length: number;
  readonly firstBytes: number;
}

const SLOTS = 8;

/**
 * Some of the last messages of a stream that this node met with. If one of them is another message when it is looked up
 * again, the stream gives its numbers out for a second time: an older store was put back, or the last messages before a
 * power failure were never written. Rooms have slots of their own, so that a busy one, whose messages do not stay long,
 * is not all that is remembered.
 */
export class Anchors {
  readonly #slots: (Anchor | undefined)[] = new Array<Anchor | undefined>(SLOTS).fill(undefined);

  /** A live message; cheap, as it is called for every one. */
  note({ sequence, headers, data, roomToken }: StoredMessage): void {
    const slot = slotOf(roomToken);
    if (sequence <= (this.#slots[slot]?.sequence ?? 0)) return;
    this.#slots[slot] = {
      sequence,
      headers,
      id: undefined,
      length: data.length,
      firstBytes: firstBytes(data),
    };
  }

  /**
   * A publish of this node that was acknowledged.
   * @param first The {@link firstBytes} of its data, which is so many bytes long.
   */
  noteOwn(sequence: number, id: string, length: number, first: number, roomToken: string): void {
    const slot = slotOf(roomToken);
    if (sequence <= (this.#slots[slot]?.sequence ?? 0)) return;
    this.#slots[slot] = {
      sequence,
      headers: undefined,
      id,
      length,
      firstBytes: first,
    };
  }

  /** Those of now, the latest first. */
  keep(): readonly Anchor[] {
    return this.#slots.filter((slot) => slot !== undefined).sort((a, b) => b.sequence - a.sequence);
  }

  /** A new numbering has begun. */
  clear(): void {
    this.#slots.fill(undefined);
  }
}

export type { Anchor };

/** Whether the message that a stream has under the anchor's number is the one that was met with. */
export function isSame(anchor: Anchor, stored: StoredMessage & { readonly time: string }): boolean {
  const { data } = stored;
  if (data.length !== anchor.length || firstBytes(data) !== anchor.firstBytes) return false;
  if (anchor.id !== undefined) return stored.headers.includes(`Nats-Msg-Id: ${anchor.id}\r\n`);
  const live = anchor.headers ?? "";
  // Without the empty line at the end, behind which the server's own would be.
  if (!live.startsWith(stored.headers.slice(0, -2))) return false;
  const time = lastValue(live, TIME_STAMP);
  return time === undefined || time === stored.time;
}

function slotOf(roomToken: string): number {
  return (roomToken.charCodeAt(roomToken.length - 1) + roomToken.length) & (SLOTS - 1);
}

/** The first four, 0 where there are none. */
export function firstBytes(data: Uint8Array): number {
  return ((data[0] ?? 0) << 24) | ((data[1] ?? 0) << 16) | ((data[2] ?? 0) << 8) | (data[3] ?? 0);
}
