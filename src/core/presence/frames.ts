import { CHUNK_BYTES, type ControlFrame } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import { decodeValue } from "../../protocol/value.js";
import type { ServerWire } from "../../protocol/wire.js";
import { type Member, type PresenceOp, sizeOf, type View } from "./op.js";

type MembersFrame = Extract<ControlFrame, { type: "members" }>;

/** A member as it stands on the wire: its id, or with data `[id, info]`. */
export function memberValue(id: string, { info }: Member): unknown {
  return info === undefined ? id : [id, decodeValue(info)];
}

/** What tells of the changes of one room, where the count is then this. Not yet cut to what one frame may be. */
export function changesFrame(room: RoomName, view: View, ops: readonly PresenceOp[]): MembersFrame {
  const joined: unknown[] = [];
  const left: unknown[] = [];
  let list: boolean | undefined;
  for (const op of ops) {
    if (op.kind === "join") joined.push(memberValue(op.id, op.member));
    else if (op.kind === "leave") left.push(op.id);
    else list = op.kind === "list";
  }
  return { type: "members", room, count: sizeOf(view), joined, left, list };
}

/** What tells somebody who knows nothing of a room yet. */
export function wholeFrame(room: RoomName, view: View): MembersFrame {
  const list = view.kind === "list" && view.members.size > 0;
  const joined = list ? [...view.members].map(([id, member]) => memberValue(id, member)) : [];
  return { type: "members", room, count: sizeOf(view), joined, left: [], list };
}

/** The frame as bytes, in as many as it takes for none to be too long. The first alone says what becomes of the list. */
export function encodeMembers(frame: MembersFrame, wire: ServerWire): Uint8Array[] {
  const bytes = wire.encode(frame);
  const { joined, left } = frame;
  if (bytes.length <= CHUNK_BYTES || joined.length + left.length < 2) return [bytes];
  const cut = (all: readonly unknown[]): number => Math.ceil(all.length / 2);
  const first = { ...frame, joined: joined.slice(0, cut(joined)), left: left.slice(0, cut(left)) };
  const rest = {
    ...frame,
    joined: joined.slice(cut(joined)),
    left: left.slice(cut(left)),
    list: undefined,
  };
  return [...encodeMembers(first, wire), ...encodeMembers(rest, wire)];
}
