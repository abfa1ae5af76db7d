import { CHUNK_BYTES, type PresenceOptions } from "../../protocol/frames.js";
import type { ServerWire } from "../../protocol/wire.js";
import { memberValue } from "./frames.js";
import { sizeOf, type View } from "./op.js";

/** Members of a page unless fewer are asked for. */
const PAGE_MEMBERS_MAX = 250;

/** What a request for presence is answered with. */
export interface PresencePage {
  readonly count: number;
  /** Each its id, or `[id, info]`, in the order of ids; undefined where the room only counts. */
  readonly members?: readonly unknown[];
  /** More follow after the last of these. */
  readonly more?: boolean;
}

/** A part of those in a room, in the order of their names. */
export function presencePage(
  view: View,
  { after = "", limit = PAGE_MEMBERS_MAX }: PresenceOptions = {},
): PresencePage {
  if (view.kind === "count") return { count: view.count };
  const ids = [...view.members.keys()].filter((id) => id > after).sort();
  const shown = ids.slice(0, Math.min(limit, PAGE_MEMBERS_MAX));
  const members = shown.flatMap((id) => {
    const member = view.members.get(id);
    return member === undefined ? [] : [memberValue(id, member)];
  });
  return { count: sizeOf(view), members, more: ids.length > shown.length };
}

/** The page, cut so that its frame is not too long. */
export function fittingPage(page: PresencePage, ref: number, wire: ServerWire): PresencePage {
  const { count, members } = page;
  if (members === undefined || members.length < 2) return page;
  if (wire.encode({ type: "ok", ref, result: page }).length <= CHUNK_BYTES) return page;
  const half = members.slice(0, Math.ceil(members.length / 2));
  return fittingPage({ count, members: half, more: true }, ref, wire);
}
