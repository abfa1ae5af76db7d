import type { StoredMessage } from "./stored-message.js";
import { NO_KEY } from "./subjects.js";

/** The latest message of every key of one room, of what comes in the order of the stream. */
export class LatestKeys {
  readonly #keysMax: number;
  readonly #byKey = new Map<string, StoredMessage>();
  #droppedKeys = 0;
  #reached = 0;
  #bytes = 0;

  constructor(keysMax: number) {
    this.#keysMax = keysMax;
  }

  /** In order. */
  get messages(): readonly StoredMessage[] {
    return [...this.#byKey.values()];
  }

  /** Keys that were left out, the least recently updated ones. */
  get droppedKeys(): number {
    return this.#droppedKeys;
  }

  /** The last message, with or without a key. */
  get reached(): number {
    return this.#reached;
  }

  /** Of what it holds, about. */
  get bytes(): number {
    return this.#bytes;
  }

  take(message: StoredMessage): void {
    this.#reached = message.sequence;
    const key = message.keyToken ?? NO_KEY;
    // Messages without a key have a subject of their own, and the last of them comes too.
    if (key === NO_KEY) return;
    // After what was there when it began comes what is new: the later one counts, in its place.
    this.#drop(key);
    this.#byKey.set(key, message);
    this.#bytes += sizeOf(message);
    if (this.#byKey.size <= this.#keysMax) return;
    const [oldest = ""] = this.#byKey.keys();
    this.#drop(oldest);
    this.#droppedKeys += 1;
  }

  #drop(key: string): void {
    const known = this.#byKey.get(key);
    if (known === undefined) return;
    this.#byKey.delete(key);
    this.#bytes -= sizeOf(known);
  }
}

/** Objects included. */
function sizeOf({ data, headers }: StoredMessage): number {
  return data.length + headers.length + 300;
}
