import type { ClientInput, ControlFrame, ResetReason, Subprotocol } from "./frames.js";
import { decodeClientJson, encodeControlJson, encodeHistoryJson, encodeMessageJson } from "./json.js";
import { frameWithPrev, type Message } from "./message.js";
import { encodeControl, encodeHistory } from "./replies.js";
import { decodeClient } from "./requests.js";

/** What bounds one inbound WebSocket message; anything above is a coded error. */
export interface DecodeLimits {
  /** Values back to back in one WebSocket message, and rooms in one subscribe many. */
  readonly values: number;
  /** Nesting of arrays and maps within one value, its own array included. */
  readonly depth: number;
  /** Array elements and map entries within one value, all levels together. */
  readonly elements: number;
  /** Bytes of one publish's data. */
  readonly dataBytes: number;
  /** UTF-8 bytes of a key. */
  readonly keyBytes: number;
}

export interface HistoryReply {
  readonly epoch: string;
  readonly messages: readonly Message[];
  readonly more: boolean;
  /** The position asked for is gone: `messages` begin at the oldest that is kept. */
  readonly lost?: ResetReason | undefined;
}

/** The server's half of one sub-protocol. Both return bytes; `binary` says which WebSocket opcode carries them. */
export interface ServerWire {
  readonly subprotocol: Subprotocol;
  readonly binary: boolean;
  /**
   * Decodes one inbound WebSocket message. Data of a publish is a view into `payload` for `fanwire.v1`.
   * @throws CodedError `bad_request` or `too_large` where the bytes are not whole values within the limits:
   *   answer it with ref 0 and close with 4400.
   */
  decode(payload: Uint8Array, limits: DecodeLimits): ClientInput[];
  encode(frame: ControlFrame): Uint8Array;
  /** A message's frame; `prev` replaces the message's own. The MessagePack wire returns `message.frame` itself where it can. */
  encodeMessage(message: Message, prev?: number): Uint8Array;
  /** `ok ref {epoch, messages, more, lost?}`, data spliced. */
  encodeHistory(ref: number, reply: HistoryReply): Uint8Array;
}

/** The wire of `fanwire.v1`. */
export const msgpackWire: ServerWire = {
  subprotocol: "fanwire.v1",
  binary: true,
  decode: decodeClient,
  encode: encodeControl,
  encodeMessage: (message, prev = message.prev) => frameWithPrev(message, prev),
  encodeHistory,
};
/** The wire of `fanwire.v1.json`. */
export const jsonWire: ServerWire = {
  subprotocol: "fanwire.v1.json",
  binary: false,
  decode: decodeClientJson,
  encode: encodeControlJson,
  encodeMessage: (message, prev = message.prev) => encodeMessageJson(message, prev),
  encodeHistory: encodeHistoryJson,
};

/** The wire of a sub-protocol. */
export function wireFor(subprotocol: Subprotocol): ServerWire {
  return subprotocol === "fanwire.v1" ? msgpackWire : jsonWire;
}
