import type { Sink } from "../../core/ports.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import type { Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";

/** Holds back what a room's sink gets until all that came before has come to the watcher. */
export class GatedSink implements Sink {
  readonly #sink: Sink;
  readonly #onError: (cause: unknown) => void;
  #held: (() => void)[] | undefined = [];
  #isDropped = false;

  /** @param onError Told what the sink threw when it was handed what had been held. */
  constructor(sink: Sink, onError: (cause: unknown) => void) {
    this.#sink = sink;
    this.#onError = onError;
  }

  /** How much is held back. */
  get size(): number {
    return this.#held?.length ?? 0;
  }

  /** The sink never gets anything. */
  get isDropped(): boolean {
    return this.#isDropped;
  }

  message(message: Message): void {
    if (this.#held === undefined) this.#sink.message(message);
    else this.#held.push(() => this.#sink.message(message));
  }

  reset(room: RoomName, head: Position, reason: ResetReason): void {
    if (this.#held === undefined) this.#sink.reset(room, head, reason);
    else this.#held.push(() => this.#sink.reset(room, head, reason));
  }

  checkpoint(room: RoomName, offset: number): void {
    if (this.#held === undefined) this.#sink.checkpoint?.(room, offset);
    else this.#held.push(() => this.#sink.checkpoint?.(room, offset));
  }

  /** Hands over what was held back; what comes from now on is. */
  release(): void {
    const held = this.#held ?? [];
    // What comes meanwhile joins it; whoever closes the room meanwhile wants no more.
    for (let index = 0; index < held.length && !this.#isDropped; index += 1) {
      try {
        held[index]?.();
      } catch (cause) {
        this.#onError(cause);
      }
    }
    this.#held = undefined;
  }

  drop(): void {
    this.#isDropped = true;
    if (this.#held !== undefined) this.#held = [];
  }
}
