import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { textOf, utf8Length, writeUtf8 } from "../../protocol/text.js";
import { BARE_MEMBER, type PresenceOp, type PresenceWord } from "./op.js";

const KINDS = ["count", "list", "join", "leave", "watch", "unwatch"] as const;
const KIND_BITS = 0x0f;
/** The room is that of the word before. */
const SAME_ROOM = 0x80;
const LENGTH_MAX = 0xffff;

/**
 * Words as bytes, in as many pieces as it takes for none to be above `bytesMax`, of whole words, by one of which it may be. Each: `u8
 * kind`, unless it is that of the word before `u8 length, room`, then by kind `u32 count`, or `u16 length, id` and of a join
 * `u16 length, info`. Little-endian.
 */
export function encodeWords(words: readonly PresenceWord[], bytesMax: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let out = new Uint8Array(Math.min(bytesMax, 1_024));
  let at = 0;
  let room: RoomName | undefined;
  for (const word of words) {
    const size = sizeOf(word);
    if (at > 0 && at + size > bytesMax) {
      pieces.push(out.slice(0, at));
      at = 0;
      room = undefined;
    }
    if (at + size > out.length) out = grown(out, at + size);
    at = writeWord(out, at, word, word.room === room);
    room = word.room;
  }
  if (at > 0) pieces.push(out.slice(0, at));
  return pieces;
}

/** Ops that another hub or a hub sent. @throws Error where the bytes are none. */
export function decodeOps(bytes: Uint8Array): PresenceOp[] {
  return decodeWords(bytes).map((word) => {
    if (word.kind === "watch" || word.kind === "unwatch") throw malformed(word.kind);
    return word;
  });
}

/** @throws Error where the bytes are no words. */
export function decodeWords(bytes: Uint8Array): PresenceWord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words: PresenceWord[] = [];
  let at = 0;
  let room: RoomName | undefined;
  const text = (length: number): string => {
    const start = at;
    at += length;
    if (at > bytes.length) throw malformed("cut short");
    return textOf(bytes, start, at);
  };
  const length = (): number => {
    at += 2;
    return view.getUint16(at - 2, true);
  };
  while (at < bytes.length) {
    const head = view.getUint8(at++);
    if ((head & SAME_ROOM) === 0) room = parseRoom(text(view.getUint8(at++)));
    if (room === undefined) throw malformed("no room");
    const kind = KINDS[head & KIND_BITS];
    switch (kind) {
      case "count":
        words.push({ kind, room, count: view.getUint32(at, true) });
        at += 4;
        break;
      case "join": {
        const id = text(length());
        const infoBytes = length();
        at += infoBytes;
        if (at > bytes.length) throw malformed("cut short");
        // A copy: the bytes are whoever's they came from, and this is kept.
        const member = infoBytes === 0 ? BARE_MEMBER : { info: bytes.slice(at - infoBytes, at) };
        words.push({ kind, room, id, member });
        break;
      }
      case "leave":
        words.push({ kind, room, id: text(length()) });
        break;
      case "list":
      case "watch":
      case "unwatch":
        words.push({ kind, room });
        break;
      case undefined:
        throw malformed(`kind ${head & KIND_BITS}`);
    }
  }
  return words;
}

function sizeOf(word: PresenceWord): number {
  // Rooms are ASCII.
  const size = 2 + word.room.length;
  if (word.kind === "count") return size + 4;
  if (word.kind !== "join" && word.kind !== "leave") return size;
  return size + 2 + utf8Length(word.id) + (word.kind === "join" ? 2 + (word.member.info?.length ?? 0) : 0);
}

function writeWord(out: Uint8Array, start: number, word: PresenceWord, isSameRoom: boolean): number {
  let at = start;
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  out[at++] = KINDS.indexOf(word.kind) | (isSameRoom ? SAME_ROOM : 0);
  if (!isSameRoom) {
    out[at++] = word.room.length;
    at = writeUtf8(out, at, word.room, word.room.length);
  }
  if (word.kind === "count") {
    view.setUint32(at, word.count, true);
    return at + 4;
  }
  if (word.kind !== "join" && word.kind !== "leave") return at;
  const idBytes = utf8Length(word.id);
  if (idBytes > LENGTH_MAX) throw new RangeError(`a member's name of ${idBytes} bytes`);
  view.setUint16(at, idBytes, true);
  at = writeUtf8(out, at + 2, word.id, idBytes);
  if (word.kind === "leave") return at;
  const info = word.member.info;
  const infoBytes = info?.length ?? 0;
  if (infoBytes > LENGTH_MAX) throw new RangeError(`a member's data of ${infoBytes} bytes`);
  view.setUint16(at, infoBytes, true);
  at += 2;
  if (info !== undefined) out.set(info, at);
  return at + infoBytes;
}

function grown(bytes: Uint8Array, least: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(Math.max(least, 2 * bytes.length));
  out.set(bytes);
  return out;
}

function malformed(what: string): Error {
  return new RangeError(`no words of presence: ${what}`);
}
