import { textOf, utf8Length, writeUtf8 } from "../../protocol/text.js";

/** What presence's gossip begins with, which is its version too: nodes ignore what begins otherwise. */
export const PRESENCE_GOSSIP = 1;
const KINDS = ["log", "ask", "bye"] as const;
const BEGINS = 1;
const ENDS = 2;
const PART = 4;
const BEATS = 8;

/** Which hub speaks: a name that it keeps, and a number that grows each time that it starts anew. */
export interface Speaker {
  readonly name: string;
  readonly life: number;
}

/** What hubs of several nodes tell one another. */
export type GossipMessage =
  | LogMessage
  /** Somebody has missed something that this hub said, and asks it to say everything once more. */
  | { readonly kind: "ask"; readonly from: Speaker; readonly of: string }
  /** It ends, and nobody is there any more. */
  | { readonly kind: "bye"; readonly from: Speaker };

/** The next piece of all that a hub says. */
export interface LogMessage {
  readonly kind: "log";
  readonly from: Speaker;
  /** One more than that of the piece before; that of a heartbeat is that of the piece before. */
  readonly seq: number;
  /** Of a snapshot, which says what has been said before, room by room: who has missed nothing does not need it. */
  readonly part: { readonly begins: boolean; readonly ends: boolean } | undefined;
  /** After all that was said so far, where this is a heartbeat: what both ends must agree in. */
  readonly totals: { readonly rooms: number; readonly people: number } | undefined;
  /** Ops as `encodeWords` makes them. */
  readonly ops: Uint8Array;
}

export function encodeGossip(message: GossipMessage): Uint8Array {
  const texts = message.kind === "ask" ? [message.from.name, message.of] : [message.from.name];
  const isLog = message.kind === "log";
  let size = 2 + 8 + (isLog ? 1 + 3 * 8 + message.ops.length : 0);
  for (const text of texts) size += 2 + utf8Length(text);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  out[0] = PRESENCE_GOSSIP;
  out[1] = KINDS.indexOf(message.kind);
  view.setFloat64(2, message.from.life, true);
  let at = 10;
  for (const text of texts) {
    const length = utf8Length(text);
    view.setUint16(at, length, true);
    at = writeUtf8(out, at + 2, text, length);
  }
  if (!isLog) return out;
  const { seq, part, totals, ops } = message;
  out[at] =
    (part === undefined ? 0 : PART | (part.begins ? BEGINS : 0) | (part.ends ? ENDS : 0)) |
    (totals === undefined ? 0 : BEATS);
  view.setFloat64(at + 1, seq, true);
  view.setFloat64(at + 9, totals?.rooms ?? 0, true);
  view.setFloat64(at + 17, totals?.people ?? 0, true);
  out.set(ops, at + 25);
  return out;
}

/** @throws Error where the bytes are none of this version. `ops` is a view into them. */
export function decodeGossip(bytes: Uint8Array): GossipMessage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = KINDS[view.getUint8(1)];
  if (view.getUint8(0) !== PRESENCE_GOSSIP || kind === undefined)
    throw new RangeError("no gossip of this version");
  const life = view.getFloat64(2, true);
  let at = 10;
  const text = (): string => {
    const start = at + 2;
    at = start + view.getUint16(at, true);
    if (at > bytes.length) throw new RangeError("gossip cut short");
    return textOf(bytes, start, at);
  };
  const from = { name: text(), life };
  if (kind === "ask") return { kind, from, of: text() };
  if (kind === "bye") return { kind, from };
  const flags = view.getUint8(at);
  const [seq, rooms, people] = [1, 9, 17].map((skip) => view.getFloat64(at + skip, true));
  if (seq === undefined || rooms === undefined || people === undefined || !Number.isSafeInteger(seq))
    throw new RangeError("gossip without a number");
  const part = (flags & PART) === 0 ? undefined : { begins: (flags & BEGINS) > 0, ends: (flags & ENDS) > 0 };
  const totals = (flags & BEATS) === 0 ? undefined : { rooms, people };
  return { kind, from, seq, part, totals, ops: bytes.subarray(at + 25) };
}
