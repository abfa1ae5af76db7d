import { type CodedError, toCodedError } from "../protocol/errors.js";
import type { HistoryOptions } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { HistoryReply } from "../protocol/wire.js";
import { readHistory } from "./history.js";
import type { Limits } from "./limits.js";
import type { Broker } from "./ports.js";

export interface PageRequest {
  readonly ref: number;
  readonly room: RoomName;
  readonly options: HistoryOptions;
}

interface PageOwner {
  wantTurn(): void;
  /** Sends the answer. Returns its bytes. */
  pageDone(ref: number, outcome: HistoryReply | CodedError): number;
}

/**
 * One session's history requests, read one after the other and each only when the answer before it was sent. A page
 * costs a thousand times what asking for it does, so whoever asks for many, or does not read, waits for himself.
 */
export class PageQueue {
  readonly #owner: PageOwner;
  readonly #broker: Broker;
  readonly #messagesMax: number;
  readonly #waiting: PageRequest[] = [];
  #reading: PageRequest | undefined;
  #outcome: HistoryReply | CodedError | undefined;

  constructor(owner: PageOwner, { broker, limits }: { readonly broker: Broker; readonly limits: Limits }) {
    this.#owner = owner;
    this.#broker = broker;
    this.#messagesMax = limits.historyMessages;
  }

  /** Whether a turn would do something. */
  get wantsToSend(): boolean {
    return this.#outcome !== undefined || (this.#reading === undefined && this.#waiting.length > 0);
  }

  ask(request: PageRequest): void {
    this.#waiting.push(request);
    if (this.wantsToSend) this.#owner.wantTurn();
  }

  /** Sends the page that was read, or reads the next. Returns the bytes sent. */
  turn(): number {
    const { ref } = this.#reading ?? { ref: 0 };
    const outcome = this.#outcome;
    if (outcome === undefined) {
      if (this.#reading === undefined) this.#read(this.#waiting.shift());
      return 0;
    }
    this.#outcome = undefined;
    this.#reading = undefined;
    const bytes = this.#owner.pageDone(ref, outcome);
    this.#read(this.#waiting.shift());
    return bytes;
  }

  #read(request: PageRequest | undefined): void {
    if (request === undefined) return;
    this.#reading = request;
    const { room, options } = request;
    const from = options.after === undefined ? ("oldest" as const) : { after: options.after };
    const limit = Math.min(options.limit ?? this.#messagesMax, this.#messagesMax);
    readHistory(this.#broker, room, from, limit).then(
      (reply) => this.#answered(reply),
      (cause: unknown) => this.#answered(toCodedError(cause)),
    );
  }

  #answered(outcome: HistoryReply | CodedError): void {
    this.#outcome = outcome;
    this.#owner.wantTurn();
  }
}
