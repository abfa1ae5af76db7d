import type { Position } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";

/** What became of one publish. */
export interface Entry {
  readonly value: string;
  /** Undefined: it was not acknowledged (yet), and may or may not be stored. */
  position: Position | undefined;
}

/** One message that a stream has. */
export interface Kept {
  readonly offset: number;
  readonly value: string;
}

/** Everything that was published to one room, by whichever node, and what its stream was last seen to keep. */
export class Ledger {
  readonly room: RoomName;
  /** Nobody publishes to it but now and then: no later message shows what was missed. */
  readonly quiet: boolean;
  readonly entries = new Map<string, Entry>();
  #kept:
    | { readonly epoch: string; readonly first: number; readonly values: ReadonlyMap<number, string> }
    | undefined;
  #purgedTo = 0;

  constructor(room: RoomName, quiet = false) {
    this.room = room;
    this.quiet = quiet;
  }

  /** What the stream keeps of the room, as it says itself; nothing of any room is kept below `first`. */
  keeps(epoch: string, first: number, messages: readonly Kept[]): void {
    this.#kept = {
      epoch,
      first,
      values: new Map(messages.map(({ offset, value }) => [offset, unpadded(value)])),
    };
  }

  /** The test itself has removed what was stored up to here. */
  purged(upTo: number): void {
    this.#purgedTo = upTo;
  }

  /** Whether it cannot be seen any more what came after a position: of the stream, or of the room, something is gone. */
  isCutAfter(epoch: string, offset: number): boolean {
    return this.#kept?.epoch !== epoch || this.#kept.first > offset + 1 || offset < this.#purgedTo;
  }

  /** Whether it is known that a message is not kept any more. */
  isGone(epoch: string, offset: number): boolean {
    return this.#kept?.epoch === epoch && !this.#kept.values.has(offset);
  }

  /** All that is known to have been stored in an epoch, in order: acknowledged, or found in the stream. */
  stored(epoch: string): readonly Kept[] {
    const found = new Map(this.#kept?.epoch === epoch ? this.#kept.values : []);
    for (const { value, position } of this.entries.values())
      if (position?.epoch === epoch) found.set(position.offset, value);
    return [...found].map(([offset, value]) => ({ offset, value })).sort((a, b) => a.offset - b.offset);
  }

  /** What is wrong with the stream: what was acknowledged is not there, or something is there twice. */
  faults(): string[] {
    const kept = this.#kept;
    if (kept === undefined) return [];
    const found: string[] = [];
    for (const { value, position } of this.entries.values())
      if (
        position?.epoch === kept.epoch &&
        position.offset >= kept.first &&
        position.offset > this.#purgedTo &&
        kept.values.get(position.offset) !== value
      )
        found.push(
          `${value} was acknowledged at ${position.offset}, where ${kept.values.get(position.offset)} is`,
        );
    const values = [...kept.values.values()];
    if (new Set(values).size < values.length) found.push("something is stored twice");
    return found.map((fault) => `stream of ${this.room}: ${fault}`);
  }
}

/** Makes a text as long as wanted, or longer; see {@link unpadded}. */
export function padded(value: string, length: number): string {
  return value.padEnd(length, PADDING);
}

export function unpadded(text: string): string {
  return text.endsWith(PADDING) ? text.slice(0, text.indexOf(PADDING)) : text;
}

const PADDING = "_";
