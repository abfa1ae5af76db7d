import type { Session } from "../core/engine.js";
import type { Outbox } from "../core/ports.js";
import type { CloseCode } from "../protocol/errors.js";
import type { ServerWire } from "../protocol/wire.js";
import type { AddressKey } from "./address.js";

/** What of a uWebSockets.js WebSocket is used. Every method of it throws once the socket is closed. */
export interface Socket {
  /** 1: sent, 0: buffered, 2: dropped. */
  send(message: Uint8Array, isBinary: boolean, compress: boolean): number;
  getBufferedAmount(): number;
  /** Sends a close frame; calls the close handler before it returns. */
  end(code: number, reason: string): void;
  /** Cuts the connection without a close frame; calls the close handler before it returns. */
  close(): void;
  /** What is sent within goes out in one write. What it throws ends the process. Without it each goes out by itself. */
  cork?(work: () => void): unknown;
  subscribe(topic: string): boolean;
  unsubscribe(topic: string): boolean;
}

/** What a connection calls of its session. */
export type SessionFace = Pick<
  Session,
  | "receive"
  | "take"
  | "carryOut"
  | "heard"
  | "dropped"
  | "drained"
  | "lookAtBuffer"
  | "goaway"
  | "tellOutage"
  | "closed"
  | "access"
  | "id"
  | "warnOfExpiry"
>;

/**
 * One WebSocket as its session sees it. Nothing here throws, and after the close nothing here does anything.
 * One small flat object a connection: idle ones are counted in the hundred thousands.
 */
export class Connection implements Outbox {
  readonly wire: ServerWire;
  /** Whose it is; undefined where it is not counted by address. */
  readonly caller: AddressKey | undefined;
  /** Undefined before the open and after the close. */
  session: SessionFace | undefined;
  readonly #bufferBytes: number;
  #socket: Socket | undefined;

  constructor(wire: ServerWire, bufferBytes: number, caller?: AddressKey) {
    this.wire = wire;
    this.caller = caller;
    this.#bufferBytes = bufferBytes;
  }

  opened(socket: Socket): void {
    this.#socket = socket;
  }

  /** Whether there is somebody at the other end, as far as is known. */
  get isOpen(): boolean {
    return this.#socket !== undefined;
  }

  /** From the close handler: the socket must not be touched any more. Its session may still have something to do. */
  gone(): void {
    this.#socket = undefined;
  }

  /** Nothing is to be done any more. */
  closed(nowMs: number): void {
    this.#socket = undefined;
    const session = this.session;
    this.session = undefined;
    session?.closed(nowMs);
  }

  send(bytes: Uint8Array): "sent" | "buffered" | "dropped" {
    switch (this.#socket?.send(bytes, this.wire.binary, false)) {
      case 1:
        return "sent";
      case 0:
        return "buffered";
      case 2:
        return "dropped";
      default:
        // Nobody waits for these bytes any more.
        return "sent";
    }
  }

  /** Sends what is sent within in one write. `work` must not throw. */
  cork(work: () => void): void {
    if (this.#socket?.cork === undefined) work();
    else this.#socket.cork(work);
  }

  bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  join(topic: string): void {
    this.#socket?.subscribe(topic);
  }

  leave(topic: string): void {
    this.#socket?.unsubscribe(topic);
  }

  close(code: CloseCode, reason: string): void {
    this.end(code, reason);
  }

  /** Like {@link close}, with any code of RFC 6455. */
  end(code: number, reason: string): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    // Above the limit uWS would drop the close frame too, and call `dropped` from within: cut it off instead.
    if (socket.getBufferedAmount() >= this.#bufferBytes) socket.close();
    else socket.end(code, truncate(reason));
  }
}

/** A close reason has at most 123 bytes; a longer one would make the frame invalid. */
const REASON_BYTES_MAX = 123;

function truncate(reason: string): string {
  if (Buffer.byteLength(reason) <= REASON_BYTES_MAX) return reason;
  // Bytes may end within a character, which decodes to a replacement of up to three bytes.
  return Buffer.from(reason)
    .subarray(0, REASON_BYTES_MAX - 3)
    .toString();
}
