import type { RoomName } from "../../protocol/room-name.js";
import { encodeGossip, type LogMessage, type Speaker } from "./gossip-codec.js";
import type { PresenceOp } from "./op.js";
import { encodeWords } from "./op-codec.js";
import { Roster } from "./roster.js";

/** Ops of one message: well below what NATS takes. */
const PIECE_BYTES = 65_536;
const NOTHING = new Uint8Array(0);

/**
 * All that one hub tells the others, as one numbered log: changes, heartbeats, and, when somebody has missed something, a snapshot
 * of what was said before, in parts between the changes. So who listens sees by the numbers alone whether it has everything.
 */
export class OwnLog {
  readonly #speaker: Speaker;
  readonly #said = new Roster();
  #seq = 0;
  /** Rooms of the snapshot under way that are still to be said. */
  #snapshot: Iterator<RoomName> | undefined;
  #isAsked = false;

  constructor(speaker: Speaker) {
    this.#speaker = speaker;
  }

  /** Whether a snapshot is under way or waits. */
  get owesSnapshot(): boolean {
    return this.#isAsked || this.#snapshot !== undefined;
  }

  /** What has changed. */
  changes(ops: readonly PresenceOp[]): Uint8Array[] {
    for (const op of ops) this.#said.apply(op);
    return encodeWords(ops, PIECE_BYTES).map((piece) => this.#message(piece, undefined));
  }

  /** Says that it is there, and what it has said so far comes to. */
  heartbeat(): Uint8Array {
    const { rooms, people } = this.#said;
    const totals = { rooms, people };
    return encodeGossip({ ...this.#head(), seq: this.#seq, part: undefined, totals, ops: NOTHING });
  }

  bye(): Uint8Array {
    return encodeGossip({ kind: "bye", from: this.#speaker });
  }

  /** Somebody has missed something. One snapshot is for all who ask before it begins. */
  askSnapshot(): void {
    this.#isAsked = true;
  }

  /** The next part of the snapshot that is owed, of about so many ops. */
  snapshot(enough: number): Uint8Array[] {
    if (!this.owesSnapshot) return [];
    const begins = this.#snapshot === undefined;
    if (begins) this.#isAsked = false;
    this.#snapshot ??= this.#said.names()[Symbol.iterator]();
    const ops: PresenceOp[] = [];
    let isDone = false;
    while (!isDone && ops.length < enough) {
      const next = this.#snapshot.next();
      if (next.done === true) isDone = true;
      else this.#tell(next.value, ops);
    }
    if (isDone) this.#snapshot = undefined;
    const pieces = encodeWords(ops, PIECE_BYTES);
    if (pieces.length === 0) pieces.push(NOTHING);
    return pieces.map((piece, i) =>
      this.#message(piece, { begins: begins && i === 0, ends: isDone && i === pieces.length - 1 }),
    );
  }

  #tell(room: RoomName, ops: PresenceOp[]): void {
    const view = this.#said.view(room);
    // Gone since.
    if (view === undefined) return;
    if (view.kind === "count") {
      ops.push({ kind: "count", room, count: view.count });
      return;
    }
    ops.push({ kind: "list", room });
    for (const [id, member] of view.members) ops.push({ kind: "join", room, id, member });
  }

  #head(): Pick<LogMessage, "kind" | "from"> {
    return { kind: "log", from: this.#speaker };
  }

  #message(ops: Uint8Array, part: LogMessage["part"]): Uint8Array {
    this.#seq += 1;
    return encodeGossip({ ...this.#head(), seq: this.#seq, part, totals: undefined, ops });
  }
}
