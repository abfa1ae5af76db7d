import net from "node:net";
import { authorityOf } from "../support/engine-url.js";
import { FrameReader, type OnFrame, upgradeRequest } from "../support/websocket.js";
import { parseAnswer } from "./answer.js";

export interface LinkTarget {
  readonly host: string;
  readonly port: number;
  readonly localAddress: string | undefined;
}

/** How a link ended that was not ended by us. */
export type LinkEnd =
  | { readonly kind: "unconnected"; readonly why: string }
  /** No 101, or what came was no HTTP. */
  | { readonly kind: "unanswered"; readonly why: string }
  | { readonly kind: "refused"; readonly status: number; readonly retryMs: number | undefined }
  | { readonly kind: "closed"; readonly why: string };

/** Whom a link tells what happens to it. After `ended` it tells nothing more. */
export interface LinkOwner {
  connected(): void;
  /** The handshake is done; frames follow. */
  switched(): void;
  read(bytes: number): void;
  /** The payload is valid during the call only. @throws Error to break off. */
  frame: OnFrame;
  ended(end: LinkEnd): void;
}

type LinkState = "connecting" | "asking" | "open" | "ended";

const READ_BYTES = 262_144;
/** One for all sockets of the process: a read is handed on before the next one happens. */
const sharedBuffer = Buffer.allocUnsafe(READ_BYTES);

/** One attempt at a WebSocket: a raw socket with a hand-made handshake, as small as Node allows. */
export class Link {
  readonly #owner: LinkOwner;
  readonly #socket: net.Socket;
  readonly #frames = new FrameReader();
  #state: LinkState = "connecting";
  #head = "";

  constructor({ host, port, localAddress }: LinkTarget, owner: LinkOwner) {
    this.#owner = owner;
    const socket = net.connect({
      host,
      port,
      ...(localAddress === undefined ? {} : { localAddress }),
      onread: {
        buffer: sharedBuffer,
        // Node hands the shared buffer back as it was given.
        callback: (length, bytes) => this.#read(bytes as Buffer, length),
      },
    });
    this.#socket = socket;
    socket.once("connect", () => {
      if (this.#state !== "connecting") return;
      this.#state = "asking";
      socket.write(upgradeRequest(authorityOf({ host, port }), "/ws", "fanwire.v1"));
      owner.connected();
    });
    socket.once("error", (cause: NodeJS.ErrnoException) => this.#end(cause.code ?? cause.message));
    socket.once("close", () => this.#end("end of stream"));
  }

  get localAddress(): string {
    return this.#socket.localAddress ?? "";
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  /** Whether TCP says so; the server may know nothing of it. */
  get isConnected(): boolean {
    return this.#state === "asking" || this.#state === "open";
  }

  get receivedBytes(): number {
    return this.#socket.bytesRead;
  }

  write(bytes: Uint8Array): void {
    if (this.#state === "open") this.#socket.write(bytes);
  }

  /** Reads nothing more, so that what is sent to it piles up on the way. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Ends it with a reset, as a network that broke: neither side is told before, and no port has to rest. */
  cut(): void {
    if (this.#state === "ended") return;
    const { connecting } = this.#socket;
    this.#state = "ended";
    // Node would wait with the reset until the connection is there.
    if (connecting) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  #read(bytes: Buffer, length: number): boolean {
    if (this.#state === "ended") return false;
    this.#owner.read(length);
    try {
      const from = this.#state === "open" ? 0 : this.#answer(bytes, length);
      if (from < length && this.#open) this.#frames.feed(bytes, from, length, this.#owner.frame);
    } catch (cause) {
      this.#end(cause instanceof Error ? cause.message : String(cause));
    }
    return true;
  }

  get #open(): boolean {
    return this.#state === "open";
  }

  /** Reads on in the handshake's answer; returns where in these bytes the frames begin. */
  #answer(bytes: Buffer, length: number): number {
    const before = this.#head.length;
    this.#head += bytes.toString("latin1", 0, length);
    const answer = parseAnswer(this.#head);
    switch (answer.kind) {
      case "partial":
        return length;
      case "switched":
        this.#head = "";
        this.#state = "open";
        this.#owner.switched();
        return answer.end - before;
      case "refused":
        this.#finish(answer);
        return length;
      case "broken":
        this.#finish({ kind: "unanswered", why: answer.why });
        return length;
    }
  }

  #end(why: string): void {
    if (this.#state === "connecting") this.#finish({ kind: "unconnected", why });
    else if (this.#state === "asking") this.#finish({ kind: "unanswered", why });
    else this.#finish({ kind: "closed", why });
  }

  #finish(end: LinkEnd): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#socket.destroy();
    this.#owner.ended(end);
  }
}
