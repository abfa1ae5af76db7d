import type { Socket } from "node:net";
import type { AgentReply, AgentRequest } from "../agent-protocol.js";

/** The agent speaks first. */
export type FromAgent =
  | { readonly kind: "hello"; readonly version: string; readonly nonce: string }
  | { readonly kind: "welcome"; readonly proof: string; readonly openFilesMax: number; readonly host: string }
  | { readonly kind: "refused"; readonly code: "fleet_secret" | "fleet_full"; readonly text: string }
  | { readonly kind: "clock"; readonly micros: number }
  | { readonly kind: "reply"; readonly reply: AgentReply }
  | { readonly kind: "failed"; readonly text: string };

export type FromBench =
  | { readonly kind: "prove"; readonly nonce: string; readonly proof: string }
  | { readonly kind: "clock" }
  /** Answered by a reply, or by what failed; one at a time. */
  | { readonly kind: "request"; readonly request: AgentRequest };

const LENGTH_BYTES = 4;
/** A resume plan of all rooms, or a tally with its histograms. */
export const FRAME_BYTES_MAX = 64 * 2 ** 20;
/** Before the other side is known. */
export const STRANGER_BYTES_MAX = 4_096;

/** Sends a value: its length in four bytes, then JSON. */
export function sendFrame(socket: Socket, value: FromAgent | FromBench): void {
  const body = Buffer.from(JSON.stringify(value));
  const head = Buffer.alloc(LENGTH_BYTES);
  head.writeUInt32BE(body.length);
  socket.write(Buffer.concat([head, body]));
}

/** Reads such frames from a socket. */
export class FrameReader {
  /** Longer ones are refused; the bound is raised when the other side is known. */
  bytesMax = STRANGER_BYTES_MAX;
  #parts: Buffer[] = [];
  #bytes = 0;

  /** The values that are whole by now. @throws Error for a frame that is too long or no JSON. */
  read(chunk: Buffer): unknown[] {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    const values: unknown[] = [];
    for (;;) {
      if (this.#bytes < LENGTH_BYTES) return values;
      const length = this.#peek(LENGTH_BYTES).readUInt32BE();
      if (length > this.bytesMax) throw new Error(`a frame of ${length} bytes; ${this.bytesMax} are allowed`);
      if (this.#bytes < LENGTH_BYTES + length) return values;
      const all = this.#peek(LENGTH_BYTES + length);
      values.push(JSON.parse(all.toString("utf8", LENGTH_BYTES, LENGTH_BYTES + length)));
      const rest = all.subarray(LENGTH_BYTES + length);
      this.#parts = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
    }
  }

  /** One buffer with at least so many bytes in front. */
  #peek(bytes: number): Buffer {
    const [first] = this.#parts;
    if (first !== undefined && first.length >= bytes) return first;
    const all = Buffer.concat(this.#parts);
    this.#parts = [all];
    return all;
  }
}

/** An object with a kind, or undefined. */
export function kindOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || !("kind" in value)) return undefined;
  return typeof value.kind === "string" ? value.kind : undefined;
}
