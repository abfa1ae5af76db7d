import type { PresenceLine, PresenceSink } from "../../core/presence/line.js";
import type { PresenceWord } from "../../core/presence/op.js";
import type { RoomName } from "../../protocol/room-name.js";
import { partitionOf } from "./partitioned.js";
import { readOps, writePresence } from "./presence-record.js";
import { RECORD } from "./record.js";
import type { RecordOutput } from "./record-output.js";

/** What waits for the hub at the most before a worker keeps what it has to say to itself, where it takes less place. */
const WAITING_BYTES_MAX = 1_048_576;

/** Presence by way of the link to a hub. Each time that the link comes up, everything is said anew. */
export class LinkPresence implements PresenceLine {
  readonly #output: () => RecordOutput | undefined;
  #sink: PresenceSink | undefined;

  /** @param output undefined while the link is down */
  constructor(output: () => RecordOutput | undefined) {
    this.#output = output;
  }

  get isBusy(): boolean {
    return (this.#output()?.waitingBytes ?? 0) > WAITING_BYTES_MAX;
  }

  connect(sink: PresenceSink): void {
    this.#sink = sink;
    if (this.isReady()) this.up();
  }

  isReady(): boolean {
    return this.#output() !== undefined;
  }

  say(words: readonly PresenceWord[]): void {
    const output = this.#output();
    if (output !== undefined) writePresence(output, RECORD.presence, words);
  }

  /** The link is up. */
  up(): void {
    this.#sink?.up(() => true);
  }

  /** A record came. @throws MalformedRecord */
  told(bytes: Uint8Array, start: number, end: number): void {
    this.#sink?.told(readOps(bytes, start, end));
  }
}

/** One line made of several: each room is known by one of them, chosen as by `partitioned`. */
export function partitionedPresence(lines: readonly PresenceLine[]): PresenceLine {
  const partOf = (room: RoomName): number => partitionOf(room, lines.length);
  return {
    get isBusy() {
      return lines.some(({ isBusy }) => isBusy);
    },
    connect: (sink) => {
      for (const [part, line] of lines.entries())
        line.connect({
          up: (isConcerned) => sink.up((room) => partOf(room) === part && isConcerned(room)),
          told: (ops) => sink.told(ops),
        });
    },
    isReady: (room) => lines[partOf(room)]?.isReady(room) === true,
    say: (words) => {
      const parts: PresenceWord[][] = lines.map(() => []);
      for (const word of words) parts[partOf(word.room)]?.push(word);
      for (const [part, line] of lines.entries()) line.say(parts[part] ?? []);
    },
  };
}
