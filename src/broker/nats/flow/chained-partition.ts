import { follow, lossOf } from "./chain.js";
import type { FlowMessage, PageAnswer, PageAsk, StreamFacts } from "./flow-port.js";
import type { FlowRoom } from "./flow-room.js";
import { Partition } from "./partition.js";

/**
 * A partition whose rooms each have a subscription of their own. What was missed shows in the chain of the room's next message, or
 * in a sweep, and is read before anything later is delivered. See chain.ts for the rules.
 */
export class ChainedPartition<M extends FlowMessage> extends Partition<M> {
  /** A live message of the room; `previous` is that of the room before it, 0: none. */
  live(room: FlowRoom<M>, message: M, previous: number, nowMs: number): void {
    if (room.isClosed) return;
    this.saw(message);
    if (room.state !== "live") {
      room.hold(message, previous);
      return;
    }
    const following = follow(room.head, room.anchored, message.sequence, previous);
    if (following === "next") {
      room.checkedMs = nowMs;
      room.deliver(message, nowMs);
      return;
    }
    const { counters } = this.shared;
    if (following === "known") {
      counters.knownMessages += 1;
      this.doubt(nowMs);
      return;
    }
    // Without a gap it is all but certain that nothing came before it; that is checked later.
    if (following === "first" && !this.isTorn) {
      this.unproven(room, nowMs);
      room.deliver(message, nowMs);
      return;
    }
    if (following === "hole") counters.holes += 1;
    else counters.cuts += 1;
    room.hold(message, previous);
    this.#repair(room, previous);
  }

  pageAsk(id: number, room: FlowRoom<M>): PageAsk<M> | undefined {
    if (room.state !== "repairing") return undefined;
    room.askedAfter = Math.max(room.head, room.verified);
    room.askedEnd = this.end;
    room.askedGaps = this.gaps;
    const anchor = room.anchored ? room.head : 0;
    const { pageMessages, widePageMessages } = this.shared.limits;
    const limit = room.wide ? widePageMessages : pageMessages;
    return { kind: "page", id, room, anchor, after: room.askedAfter, limit };
  }

  page(room: FlowRoom<M>, answer: PageAnswer<M>, nowMs: number): void {
    if (!this.admit(answer) || room.state !== "repairing") return;
    const { pages } = this.shared;
    if (room.askedGaps !== this.gaps) pages.want(room);
    else if (this.#read(room, answer, nowMs)) {
      room.errand.failures = 0;
      if (!room.isClosed) room.state = "live";
    }
  }

  override exists(room: FlowRoom<M>, sequence: number): void {
    if (sequence <= room.head) return;
    room.needsUpTo = Math.max(room.needsUpTo, sequence);
    if (room.state !== "live") return;
    this.shared.counters.sweptHoles += 1;
    this.#repair(room, sequence);
  }

  protected override joined(room: FlowRoom<M>): void {
    this.shared.port.subscribe(room);
  }

  protected override left(room: FlowRoom<M>): void {
    this.shared.port.unsubscribe(room);
  }

  protected override restarted(): void {}

  protected override informed(): void {}

  protected override unchecked(upTo: number, full: boolean, nowMs: number): FlowRoom<M>[] {
    const rooms: FlowRoom<M>[] = [];
    const since = nowMs - this.shared.limits.sweepMs / 2;
    for (const room of this.rooms()) {
      // A read under way may have begun before the gap.
      if (room.state === "repairing") room.needsUpTo = full ? Math.max(room.needsUpTo, upTo) : room.needsUpTo;
      else if (room.state === "live" && room.verified < upTo) {
        if (full || isUnsure(room) || room.checkedMs < since) rooms.push(room);
      } else room.confirm(nowMs);
    }
    return rooms;
  }

  protected override swept(
    room: FlowRoom<M>,
    last: number | undefined,
    facts: StreamFacts,
    nowMs: number,
  ): void {
    if (room.state !== "live" || room.head > facts.upTo) return;
    if (last !== undefined && last > room.head) {
      this.shared.counters.sweptHoles += 1;
      room.needsUpTo = Math.max(room.needsUpTo, last);
      this.#repair(room, last);
      return;
    }
    if (last === undefined || last < room.head) {
      room.lost = lossOf({ ...this.#standing(room, nowMs), found: false, newer: 0, first: facts.first });
      if (room.lost !== undefined) {
        this.#repair(room, 0);
        return;
      }
      room.anchored = false;
    }
    room.verified = Math.max(room.verified, facts.upTo);
    room.checkedMs = nowMs;
    if (nowMs >= room.unsureUntilMs) room.unsureUntilMs = Number.NEGATIVE_INFINITY;
    room.confirm(nowMs);
  }

  protected override begun(room: FlowRoom<M>, nowMs: number): void {
    // What waits may be of the epoch before; what is not is read.
    const rereads = room.fresh && (room.spilled || room.held !== undefined);
    if (rereads) room.dropHeld();
    room.fresh = false;
    if (this.#drain(room, room.head, nowMs) && !rereads) return;
    if (!room.isClosed) this.#repair(room, 0);
  }

  /** Reads what the room lacks; a message at `known` is what it lacks for certain. */
  #repair(room: FlowRoom<M>, known: number): void {
    // What was thought to be verified was not: read all of it again.
    if (known > room.head && known <= room.verified) room.verified = room.head;
    room.state = "repairing";
    this.shared.pages.want(room);
  }

  /** Delivers what a page holds and what waits. False where the room has to be read again, which it will be. */
  #read(room: FlowRoom<M>, answer: PageAnswer<M>, nowMs: number): boolean {
    const { pages, counters } = this.shared;
    const again = (atOnce: boolean): false => {
      if (atOnce) pages.want(room);
      else {
        this.doubt(nowMs);
        pages.retry(room, nowMs);
      }
      return false;
    };
    if (answer.upTo < room.askedAfter) {
      counters.staleReads += 1;
      return again(false);
    }
    // Whatever was read in order is complete up to where the reading ended.
    const upTo = Math.max(answer.upTo, answer.messages.at(-1)?.sequence ?? 0);
    const before = room.head;
    if (!this.#judge(room, answer, upTo, nowMs)) return again(room.wide);
    for (const message of answer.messages) {
      if (room.isClosed) return true;
      if (message.sequence <= room.head) continue;
      this.saw(message);
      counters.repairedMessages += 1;
      room.deliver(message);
    }
    if (room.isClosed) return true;
    const readUpTo = answer.more ? room.head : Math.min(upTo, this.recognised);
    if (readUpTo > room.verified) room.verified = readUpTo;
    room.checkedMs = nowMs;
    if (!answer.more && this.#drain(room, upTo, nowMs) && upTo >= room.needsUpTo) return true;
    return again(room.head > before);
  }

  #standing(room: FlowRoom<M>, nowMs: number) {
    const { head, anchored, verified, storedMs } = room;
    return { head, anchored, verified, headMs: nowMs - storedMs, keeps: this.spec };
  }

  /**
   * Tells the room what a page shows to be gone, up to where what is left begins. Where nothing is left that takes a second
   * page, of after the first: what is gone by then lies at or below its end.
   */
  #judge(
    room: FlowRoom<M>,
    { anchor, messages, first, more }: PageAnswer<M>,
    upTo: number,
    nowMs: number,
  ): boolean {
    const found = anchor !== undefined;
    const { wide } = room;
    room.wide = !found && more && !wide;
    if (room.wide) return false;
    if (found) room.lost = undefined;
    const newer = more ? Number.POSITIVE_INFINITY : messages.length;
    const lost = lossOf({ ...this.#standing(room, nowMs), found, newer, first });
    const next = messages[0]?.sequence;
    if (lost === undefined && room.lost === undefined) {
      if (!found) room.anchored = false;
      return true;
    }
    const known = room.lost !== undefined;
    room.lost ??= lost;
    if (next === undefined && (!known || upTo < room.askedEnd)) return false;
    const isPurge = room.anchored && room.lost === "purged" && room.head >= first;
    room.reset(next === undefined ? upTo : next - 1, room.lost ?? "purged");
    if (isPurge) this.shared.port.purged(room, room.head);
    return true;
  }

  /** Delivers what waits and follows. False where the room has to be read again for the rest. */
  #drain(room: FlowRoom<M>, upTo: number, nowMs: number): boolean {
    for (let held = room.held; held !== undefined; held = room.held) {
      if (room.isClosed) return true;
      const { message, previous } = held;
      switch (follow(room.head, room.anchored, message.sequence, previous)) {
        case "known":
          break;
        case "first":
          this.unproven(room, nowMs);
          room.deliver(message);
          break;
        case "next":
          room.deliver(message);
          break;
        case "cut":
          return false;
        case "hole":
          if (previous > upTo) return false;
          if (previous <= room.askedAfter) {
            room.verified = room.head;
            return false;
          }
          // The read should have brought it: it was deleted, which the stream's configuration forbids, but an operator can change that.
          room.reset(message.sequence - 1, "purged");
          if (!room.isClosed) room.deliver(message);
      }
      room.shiftHeld();
    }
    return true;
  }
}

function isUnsure<M extends FlowMessage>({ unsureUntilMs }: FlowRoom<M>): boolean {
  return unsureUntilMs !== Number.NEGATIVE_INFINITY;
}
