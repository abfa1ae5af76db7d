import { createHash, randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";

/** How long a test waits for anything before it fails. */
export const DEADLINE_MS = 20_000;

/** Fails with what was waited for, instead of hanging. */
export async function within<T>(promise: Promise<T>, what: string, ms = DEADLINE_MS): Promise<T> {
  // No timer: one that is set for ever keeps the process for as long.
  if (ms === Number.POSITIVE_INFINITY) return promise;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A port by number: one that the system chose for a listener stays taken for a minute after it was used. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen({ port: 0, host: "127.0.0.1" }, resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  return address.port;
}

/** Wakes everybody who waits for something to change. */
export class Bell {
  #waiting: (() => void)[] = [];

  ring(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Waits until `look` finds something; looks again at every ring. What `isOver` returns, if anything, ends the waiting. */
  async until<T>(look: () => T | undefined, isOver: () => unknown, what: string, ms: number): Promise<T> {
    const poll = async (): Promise<T> => {
      for (;;) {
        const found = look();
        if (found !== undefined) return found;
        const cause = isOver();
        if (cause !== undefined) throw new Error(`over while waiting for ${what}`, { cause });
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return within(poll(), what, ms);
  }
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** A TCP connection that says exactly what a test wants: anything, in any pieces, or nothing. */
export class RawSocket {
  readonly socket: Socket;
  /** Resolves when the connection is gone, however it ended; says how. */
  readonly closed: Promise<"end" | "reset">;
  #buffer: Buffer = Buffer.alloc(0);
  #isClosed = false;
  readonly #bell = new Bell();

  constructor(socket: Socket) {
    this.socket = socket;
    let failed = false;
    socket.on("data", (chunk) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#bell.ring();
    });
    // A reset is one of the outcomes that tests look at.
    socket.on("error", () => {
      failed = true;
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#isClosed = true;
        this.#bell.ring();
        resolve(failed ? "reset" : "end");
      });
    });
  }

  static async connect(port: number): Promise<RawSocket> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    // A test that fails leaves its sockets as they are; one that is paused would never see its end, nor let the process go.
    socket.unref();
    const raw = new RawSocket(socket);
    await within(
      new Promise<void>((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("error", reject);
      }),
      "TCP connection",
    );
    return raw;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  write(data: Uint8Array | string): void {
    this.socket.write(data);
  }

  /** One byte at a time, each in its own segment; ends early where the other side closes. */
  async drip(data: Uint8Array | string, everyMs: number): Promise<void> {
    for (const byte of Buffer.from(data)) {
      if (this.#isClosed) return;
      this.socket.write(Buffer.of(byte));
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  /** Stops reading: the kernel's buffers fill up, then the server's. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Waits until `take` finds what it looks for in the bytes so far; it says how many of them it used. */
  read<T>(
    take: (buffer: Buffer) => { value: T; used: number } | undefined,
    what: string,
    ms = DEADLINE_MS,
  ): Promise<T> {
    const look = () => {
      const found = take(this.#buffer);
      if (found !== undefined) this.#buffer = this.#buffer.subarray(found.used);
      return found?.value;
    };
    return this.#bell.until(look, () => (this.#isClosed ? "closed" : undefined), what, ms);
  }

  /** One HTTP answer; `hasBody` false after HEAD. */
  answer(hasBody = true, ms = DEADLINE_MS): Promise<HttpAnswer> {
    return this.read((buffer) => parseAnswer(buffer, hasBody), "an HTTP answer", ms);
  }
}

function parseAnswer(buffer: Buffer, hasBody: boolean): { value: HttpAnswer; used: number } | undefined {
  const end = buffer.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = buffer.subarray(0, end).toString("latin1").split("\r\n");
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const status = Number(first.split(" ")[1]);
  const length = hasBody ? Number(headers.get("content-length") ?? 0) : 0;
  const used = end + 4 + length;
  if (buffer.length < used) return undefined;
  return { value: { status, headers, body: Buffer.from(buffer.subarray(end + 4, used)) }, used };
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameOptions {
  readonly fin?: boolean;
  readonly mask?: boolean;
  /** The three reserved bits. */
  readonly reserved?: number;
  /** A length to claim instead of the true one. */
  readonly claim?: number;
}

/** One frame as a client sends it (RFC 6455, 5.2), or deliberately not quite. */
export function clientFrame(
  opcode: number,
  payload: Uint8Array | string,
  options: FrameOptions = {},
): Buffer {
  const { fin = true, mask = true, reserved = 0 } = options;
  const data = Buffer.from(payload);
  const length = options.claim ?? data.length;
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  const maskBit = mask ? 0x80 : 0;
  let head: Buffer;
  if (length < 126) head = Buffer.of(first, maskBit | length);
  else if (length < 65_536) {
    head = Buffer.of(first, maskBit | 126, 0, 0);
    head.writeUInt16BE(length, 2);
  } else {
    head = Buffer.concat([Buffer.of(first, maskBit | 127), Buffer.alloc(8)]);
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  if (!mask) return Buffer.concat([head, data]);
  const key = randomBytes(4);
  for (let index = 0; index < data.length; index += 1)
    data[index] = (data[index] ?? 0) ^ (key[index & 3] ?? 0);
  return Buffer.concat([head, key, data]);
}

export interface ServerFrameBytes {
  readonly opcode: number;
  readonly payload: Buffer;
}

export interface Closed {
  /** 1006 where the connection ended without a close frame. */
  readonly code: number;
  readonly reason: string;
}

export interface HandshakeOptions {
  readonly path?: string;
  readonly protocol?: string;
  /** Replaces or, with undefined, removes headers of a good handshake. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly method?: string;
}

export const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** The text of a handshake. */
export function handshake({
  path = "/ws",
  protocol,
  headers = {},
  method = "GET",
}: HandshakeOptions = {}): string {
  const all: Record<string, string | undefined> = {
    Host: "127.0.0.1",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Protocol": protocol,
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}: ${value}`,
  );
  return [`${method} ${path} HTTP/1.1`, ...lines, "", ""].join("\r\n");
}

/** A hand-made WebSocket client: every frame of the server as it comes, every frame of the client as a test wants it. */
export class RawWebSocket {
  readonly raw: RawSocket;
  /** How the connection ended. */
  readonly closed: Promise<Closed>;
  readonly protocol: string | undefined;
  #close: Closed | undefined;

  private constructor(raw: RawSocket, protocol: string | undefined) {
    this.raw = raw;
    this.protocol = protocol;
    this.closed = raw.closed.then(() => this.#close ?? { code: 1006, reason: "" });
  }

  /** Connects and shakes hands. @throws Error where the server refuses. */
  static async open(port: number, options: HandshakeOptions = {}): Promise<RawWebSocket> {
    const raw = await RawSocket.connect(port);
    raw.write(handshake(options));
    const { status, headers, body } = await raw.answer();
    const accept = createHash("sha1").update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    if (status !== 101 || headers.get("sec-websocket-accept") !== accept)
      throw new Error(`refused: ${status} ${body.toString()}`);
    return new RawWebSocket(raw, headers.get("sec-websocket-protocol"));
  }

  send(opcode: number, payload: Uint8Array | string, options: FrameOptions = {}): void {
    this.raw.write(clientFrame(opcode, payload, options));
  }

  /** The next frame, close frames included. */
  async frame(ms = DEADLINE_MS): Promise<ServerFrameBytes> {
    const frame = await this.raw.read(parseFrame, "a WebSocket frame", ms);
    this.#note(frame);
    return frame;
  }

  /** All frames that are here, at least one; waits without a deadline. */
  async frames(): Promise<readonly ServerFrameBytes[]> {
    const frames = await this.raw.read(parseFrames, "WebSocket frames", Number.POSITIVE_INFINITY);
    for (const frame of frames) this.#note(frame);
    return frames;
  }

  /** Reads on, discarding data, until the connection ends. */
  async untilClosed(ms = DEADLINE_MS): Promise<Closed> {
    const drain = async (): Promise<Closed> => {
      while (!this.raw.isClosed && this.#close === undefined)
        await this.frame(ms).catch((cause: unknown) => {
          if (!this.raw.isClosed) throw cause;
        });
      return this.closed;
    };
    return within(drain(), "the end of the connection", ms);
  }

  destroy(): void {
    this.raw.destroy();
  }

  #note({ opcode, payload }: ServerFrameBytes): void {
    if (opcode !== OPCODE.close) return;
    const code = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
    this.#close = { code, reason: payload.subarray(2).toString() };
  }
}

function parseFrames(buffer: Buffer): { value: ServerFrameBytes[]; used: number } | undefined {
  const value: ServerFrameBytes[] = [];
  let used = 0;
  for (let next = parseFrame(buffer); next !== undefined; next = parseFrame(buffer.subarray(used))) {
    value.push(next.value);
    used += next.used;
  }
  return used === 0 ? undefined : { value, used };
}

function parseFrame(buffer: Buffer): { value: ServerFrameBytes; used: number } | undefined {
  if (buffer.length < 2) return undefined;
  const [first = 0, second = 0] = buffer;
  let length = second & 0x7f;
  let start = 2;
  if (length === 126) {
    if (buffer.length < 4) return undefined;
    length = buffer.readUInt16BE(2);
    start = 4;
  } else if (length === 127) {
    if (buffer.length < 10) return undefined;
    length = Number(buffer.readBigUInt64BE(2));
    start = 10;
  }
  if (buffer.length < start + length) return undefined;
  if ((first & 0xf0) !== 0x80 || (second & 0x80) !== 0)
    throw new Error("a frame that no server may send here");
  return {
    value: { opcode: first & 0x0f, payload: Buffer.from(buffer.subarray(start, start + length)) },
    used: start + length,
  };
}
