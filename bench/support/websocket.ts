/** The client's half of WebSocket framing, no more than a load client needs: unfragmented frames, no extensions. */
import { createHash } from "node:crypto";

export const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Largest frame header a server sends: 2 bytes and a 64-bit length. */
const HEADER_BYTES_MAX = 10;
/** No server measured here sends more in one frame; beyond it the stream is taken for broken. */
const PAYLOAD_BYTES_MAX = 1 << 20;

/** Every client's key, as what a key is for, caches between client and server, does not exist here. */
const KEY = "ZmFud2lyZSBiZW5jaCAwMQ==";

/** What a server answers to {@link KEY}. */
export function acceptOfKey(): string {
  return createHash("sha1").update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** @param subprotocol "": offers none. */
export function upgradeRequest(host: string, path: string, subprotocol: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${KEY}`,
    "Sec-WebSocket-Version: 13",
    ...(subprotocol === "" ? [] : [`Sec-WebSocket-Protocol: ${subprotocol}`]),
    "\r\n",
  ].join("\r\n");
}

/** A masked frame. The mask is all zeros, which is legal and leaves the payload as it is. */
export function clientFrame(payload: Uint8Array, opcode: number = OPCODE.binary): Buffer {
  const long = payload.length > 125;
  if (payload.length > 65_535) throw new RangeError("client frames above 65,535 bytes are not needed here");
  const header = Buffer.alloc(long ? 8 : 6);
  header[0] = 0x80 | opcode;
  header[1] = 0x80 | (long ? 126 : payload.length);
  if (long) header.writeUInt16BE(payload.length, 2);
  return Buffer.concat([header, payload]);
}

/** Called once a frame; the payload is `bytes[start, end)` and valid during the call only. */
export type OnFrame = (opcode: number, bytes: Buffer, start: number, end: number) => void;

/**
 * Cuts one connection's byte stream into frames. Whole frames are read in place, without a copy; only a frame
 * that is split over two reads is kept.
 */
export class FrameReader {
  #rest: Buffer | undefined;

  /** Bytes of a frame that is not whole yet. */
  get pendingBytes(): number {
    return this.#rest?.length ?? 0;
  }

  /** Reads `bytes[start, end)`. @throws Error where the stream is not one of unfragmented server frames. */
  feed(bytes: Buffer, start: number, end: number, onFrame: OnFrame): void {
    if (this.#rest === undefined) {
      const used = readFrames(bytes, start, end, onFrame);
      // The caller's buffer is shared by all connections, so what is left over must be copied.
      if (used < end) this.#rest = Buffer.from(bytes.subarray(used, end));
      return;
    }
    const joined = Buffer.concat([this.#rest, bytes.subarray(start, end)]);
    const used = readFrames(joined, 0, joined.length, onFrame);
    this.#rest = used < joined.length ? joined.subarray(used) : undefined;
  }
}

/** Returns where the first frame begins that is not whole. */
function readFrames(bytes: Buffer, start: number, end: number, onFrame: OnFrame): number {
  let at = start;
  while (end - at >= 2) {
    const first = bytes.readUInt8(at);
    const short = bytes.readUInt8(at + 1);
    if ((first & 0xf0) !== 0x80)
      throw new Error(`frame begins with 0x${first.toString(16)}: fragmented or not a frame`);
    if (short > 127) throw new Error("a server frame must not be masked");
    const header = short < 126 ? 2 : short === 126 ? 4 : HEADER_BYTES_MAX;
    if (end - at < header) return at;
    const length =
      short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : readLength64(bytes, at + 2);
    if (length > PAYLOAD_BYTES_MAX) throw new Error(`frame of ${length} bytes`);
    const next = at + header + length;
    if (next > end) return at;
    onFrame(first & 0x0f, bytes, at + header, next);
    at = next;
  }
  return at;
}

function readLength64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}
