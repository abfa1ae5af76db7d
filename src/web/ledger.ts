import type { Message, Position, Reset, ResetReason, Subscribed } from "../client/index.js";

/** How one room came back after a break of the connection. */
export type RoomResume =
  | {
      readonly kind: "resumed";
      readonly room: string;
      /** Offset of the last message before the break, and of the last one that was replayed. */
      readonly from: number;
      readonly to: number;
      readonly replayed: number;
      readonly missing: number;
    }
  | {
      readonly kind: "lost";
      readonly room: string;
      readonly reason: ResetReason;
      readonly oldEpoch: string;
      readonly newEpoch: string;
    }
  /** A room without numbering: what was said meanwhile is not kept. */
  | { readonly kind: "unnumbered"; readonly room: string };

/**
 * Checks the delivery promise for one room by the chain alone: every message says which one came before it. So it holds
 * for whatever broker numbers the room, with holes in its numbers or without, and in every delivery class.
 */
export class RoomLedger {
  readonly room: string;
  /** Messages received, replays and snapshots included. */
  received = 0;
  /** Places in the chain where at least one message never came. */
  missing = 0;
  #epoch = "";
  #offset = 0;
  /** False until the room is live for the first time: a snapshot has holes by its nature. */
  #chained = false;
  #resuming: { readonly from: number; replayed: number; readonly missingBefore: number } | undefined;
  /** The place before a break, until the room has come back from it. */
  #broken: Position | undefined;

  constructor(room: string) {
    this.room = room;
  }

  /** The last place seen; offset 0 in a room without numbering. */
  get position(): Position {
    return { epoch: this.#epoch, offset: this.#offset };
  }

  /** The connection is gone. */
  broke(): void {
    if (this.#broken === undefined) this.#broken = this.position;
    this.#resuming = undefined;
  }

  subscribed({ position, recovered }: Pick<Subscribed, "position" | "recovered">): void {
    if (recovered) {
      this.#resuming = { from: this.#offset, replayed: 0, missingBefore: this.missing };
      return;
    }
    this.#chained = false;
    if (position !== undefined) this.#moveTo(position);
  }

  message({ epoch, offset, prev, replayed }: Message): void {
    this.received += 1;
    if (offset === 0) return;
    if (this.#resuming !== undefined) this.#resuming.replayed += 1;
    // A snapshot's messages are older than the position that it was taken at.
    else if (replayed) return;
    if (this.#chained && epoch === this.#epoch && prev > this.#offset) this.missing += 1;
    this.#moveTo({ epoch, offset });
  }

  /** The replay is over. Tells how the room came back where this ends a break. */
  live(position: Position | undefined): RoomResume | undefined {
    if (position === undefined) return this.#endBreak({ kind: "unnumbered", room: this.room });
    this.#moveTo(position);
    this.#chained = true;
    const resuming = this.#resuming;
    this.#resuming = undefined;
    if (resuming === undefined) return undefined;
    return this.#endBreak({
      kind: "resumed",
      room: this.room,
      from: resuming.from,
      to: position.offset,
      replayed: resuming.replayed,
      missing: this.missing - resuming.missingBefore,
    });
  }

  reset({ reason, position }: Reset): RoomResume | undefined {
    const oldEpoch = this.#epoch;
    this.#resuming = undefined;
    this.#moveTo(position ?? { epoch: "", offset: 0 });
    return this.#endBreak({ kind: "lost", room: this.room, reason, oldEpoch, newEpoch: this.#epoch });
  }

  #endBreak(resume: RoomResume): RoomResume | undefined {
    if (this.#broken === undefined) return resume.kind === "lost" ? resume : undefined;
    this.#broken = undefined;
    return resume;
  }

  #moveTo({ epoch, offset }: Position): void {
    this.#epoch = epoch;
    this.#offset = offset;
  }
}

/** One line for people about a break that is over: all rooms together, the first one given in detail. */
export function describeResume(resumes: readonly RoomResume[], first: string): string {
  const resumed = resumes.filter((one) => one.kind === "resumed");
  const lost = resumes.filter((one) => one.kind === "lost");
  const parts: string[] = [];
  const detail = resumed.find((one) => one.room === first);
  if (detail !== undefined) {
    parts.push(
      `${detail.room} resumed from offset ${count(detail.from)}: ${count(detail.replayed)} messages replayed, ${count(detail.missing)} missing`,
    );
  }
  const others = resumed.filter((one) => one !== detail);
  if (others.length > 0) {
    const replayed = others.reduce((sum, one) => sum + one.replayed, 0);
    const missing = others.reduce((sum, one) => sum + one.missing, 0);
    const rooms = `${others.length} ${detail === undefined ? "" : "other "}${others.length === 1 ? "room" : "rooms"}`;
    parts.push(`${rooms}: ${count(replayed)} replayed, ${count(missing)} missing`);
  }
  const [oneLost] = lost;
  if (oneLost !== undefined) {
    const rooms = `${lost.length} ${lost.length === 1 ? "room" : "rooms"}`;
    parts.push(`${rooms} could not resume, ${reasonOf(oneLost)}: state fetched anew`);
  }
  return parts.length === 0 ? "back, nothing to resume" : parts.join(" · ");
}

function reasonOf({ reason, oldEpoch, newEpoch }: Extract<RoomResume, { kind: "lost" }>): string {
  switch (reason) {
    case "epoch":
      return `the epoch changed from ${oldEpoch} to ${newEpoch} (another server, or restarted: it numbers anew)`;
    case "expired":
      return "what was missed has expired";
    case "purged":
      return "what was missed was purged";
  }
}

const count = new Intl.NumberFormat("en").format;
