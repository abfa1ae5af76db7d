import assert from "node:assert/strict";
import { DEFAULT_LIMITS } from "../core/limits.js";
import type { ClientInput, ControlFrame } from "../protocol/frames.js";
import { createMessage } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { msgpackWire } from "../protocol/wire.js";
import { Client, type ClientOptions, FanwireError } from "./index.js";
import { encode } from "./msgpack-writer.js";
import type { SocketClass, SocketLike } from "./options.js";

interface Listeners {
  message: (event: { readonly data: unknown }) => void;
  close: (event: { readonly code: number; readonly reason: string }) => void;
  error: (event: object) => void;
}

/** A WebSocket whose server is the test. */
export class FakeSocket implements SocketLike {
  readonly url: string;
  readonly protocols: readonly string[];
  binaryType = "blob";
  closedWith: number | undefined;
  readonly sent: ClientInput[] = [];
  readonly #listeners: { [T in keyof Listeners]?: Listeners[T] } = {};

  constructor(url: string, protocols: readonly string[]) {
    this.url = url;
    this.protocols = protocols;
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    assert.equal(this.closedWith, undefined, "nothing is sent on a closed socket");
    this.sent.push(...msgpackWire.decode(data, DEFAULT_LIMITS));
  }

  close(code?: number): void {
    this.closedWith = code;
  }

  addEventListener<T extends keyof Listeners>(type: T, listener: Listeners[T]): void {
    this.#listeners[type] = listener;
  }

  /** Many values in one WebSocket message. */
  receive(...values: Uint8Array[]): void {
    assert.equal(this.binaryType, "arraybuffer");
    this.receiveRaw(new Uint8Array(Buffer.concat(values)).buffer);
  }

  receiveRaw(data: unknown): void {
    this.#listeners.message?.({ data });
  }

  closed(code: number, reason = ""): void {
    this.#listeners.close?.({ code, reason });
  }

  failed(message: string): void {
    this.#listeners.error?.({ message });
  }

  welcome(): void {
    this.receive(control({ type: "welcome", session: "s", node: "n", pingMs: 25_000, maxBytes: 16_384 }));
  }

  /** Refuses the last request of that type for good. */
  refuse(type: ClientInput["type"]): void {
    const refusal = { code: "forbidden", text: "no", retryMs: undefined } as const;
    this.receive(control({ type: "error", ref: this.ref(type), ...refusal }));
  }

  /** The ref of the last request of that type. */
  ref(type: ClientInput["type"]): number {
    const input = this.sent.findLast((one) => one.type === type);
    assert.ok(input !== undefined, `a ${type} was sent`);
    return input.ref;
  }
}

/** A WebSocket class that keeps what it makes. */
export function fakeSockets(): { readonly WebSocket: SocketClass; readonly sockets: FakeSocket[] } {
  const sockets: FakeSocket[] = [];
  class Kept extends FakeSocket {
    constructor(url: string, protocols: readonly string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  }
  return { WebSocket: Kept, sockets };
}

export function control(frame: ControlFrame): Uint8Array {
  return msgpackWire.encode(frame);
}

export function message(room: string, offset: number, data: unknown = offset, time = 1): Uint8Array {
  const prev = offset === 0 ? 0 : offset - 1;
  return createMessage({ room: parseRoom(room), offset, prev, time, data: encode(data) }).frame;
}

export function keyed(
  room: string,
  offset: number,
  prev: number,
  key: string | undefined,
  data: unknown,
): Uint8Array {
  return createMessage({ room: parseRoom(room), offset, prev, time: 1, data: encode(data), key }).frame;
}

/** Waits for the end of this turn and of those that it leads to. */
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A client whose server has just said welcome. */
export function open(options: Partial<ClientOptions> = {}): {
  client: Client;
  socket: FakeSocket;
  sockets: FakeSocket[];
} {
  const { WebSocket, sockets } = fakeSockets();
  const client = new Client("ws://host/ws", { WebSocket, ...options });
  const [socket] = sockets;
  assert.ok(socket !== undefined);
  socket.welcome();
  return { client, socket, sockets };
}

/** Has the server take the subscription of room "a" at the offset and say that it is live. */
export async function live(socket: FakeSocket, offset = 0): Promise<void> {
  await turn();
  const result = { epoch: "e", offset, recovered: false };
  socket.receive(control({ type: "ok", ref: socket.ref("subscribe"), result }));
  socket.receive(control({ type: "live", room: parseRoom("a"), offset }));
}

/** The error that the promise must reject with. */
export async function rejection(promise: Promise<unknown>): Promise<FanwireError> {
  try {
    await promise;
  } catch (cause) {
    assert.ok(cause instanceof FanwireError);
    return cause;
  }
  assert.fail("it should have been refused");
}
