import type { WebSocket } from "ws";
import type { Session } from "../core/engine.js";
import type { Outbox } from "../core/ports.js";
import type { ServerWire } from "../protocol/wire.js";
import type { OpsTopics } from "./ops-topics.js";

/** One page's WebSocket as its session sees it. */
export class OpsConnection implements Outbox {
  readonly wire: ServerWire;
  /** Whether whoever opened it still may. */
  readonly mayStay: () => boolean;
  /** When something came from it. */
  heardMs: number;
  session: Session | undefined;
  readonly #socket: WebSocket;
  readonly #topics: OpsTopics;
  readonly #bufferBytes: number;

  constructor(
    socket: WebSocket,
    wire: ServerWire,
    {
      topics,
      bufferBytes,
      mayStay,
      nowMs,
    }: {
      readonly topics: OpsTopics;
      readonly bufferBytes: number;
      readonly mayStay: () => boolean;
      readonly nowMs: number;
    },
  ) {
    this.#socket = socket;
    this.wire = wire;
    this.mayStay = mayStay;
    this.heardMs = nowMs;
    this.#topics = topics;
    this.#bufferBytes = bufferBytes;
  }

  send(bytes: Uint8Array): "sent" | "buffered" | "dropped" {
    if (this.#socket.readyState !== this.#socket.OPEN) return "sent";
    if (this.bufferedBytes() + bytes.length > this.#bufferBytes) return "dropped";
    // A copy: the engine packs the next chunk into the same memory.
    this.#socket.send(bytes.slice(), { binary: this.wire.binary }, () => this.session?.drained());
    return this.bufferedBytes() > 0 ? "buffered" : "sent";
  }

  bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  join(topic: string): void {
    this.#topics.join(topic, this);
  }

  leave(topic: string): void {
    this.#topics.leave(topic, this);
  }

  close(code: number, reason: string): void {
    // At most 123 bytes, also of characters that take three.
    this.#socket.close(code, reason.slice(0, 40));
  }

  cut(): void {
    this.#socket.terminate();
  }

  closed(nowMs: number): void {
    const { session } = this;
    this.session = undefined;
    session?.closed(nowMs);
    this.#topics.leaveAll(this);
  }
}
