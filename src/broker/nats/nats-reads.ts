import { createMessage } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { NatsLimits } from "./limits.js";
import type { NatsCounters } from "./nats-counters.js";
import type { OpenRoom } from "./open-room.js";
import { PageCache } from "./page-cache.js";
import { ReadDesk } from "./read-desk.js";
import type { Observe, RoomReader } from "./room-reader.js";
import { SnapshotPass } from "./snapshot-pass.js";
import { contentOf } from "./stored-message.js";
import { StreamPass } from "./stream-pass.js";
import type { StreamReads } from "./stream-reader.js";
import type { Stream } from "./streams.js";

export interface NatsReadsOptions {
  readonly reads: StreamReads;
  readonly rooms: RoomReader;
  readonly observe: Observe;
  readonly limits: NatsLimits;
  readonly counters: NatsCounters;
  readonly nowMs: () => number;
  readonly manyFilters: () => boolean;
  readonly open: (room: RoomName) => OpenRoom | undefined;
}

/** The desk of a broker's reads, with all that it needs. */
export function createReadDesk(options: NatsReadsOptions): ReadDesk {
  const { reads, rooms, observe, limits, counters, nowMs, manyFilters, open } = options;
  return new ReadDesk({
    reader: rooms,
    pass: new StreamPass(reads, observe, limits.readBatch),
    snapshots: new SnapshotPass(reads, observe, limits.readBatch),
    cache: new PageCache(limits.pageBytes, limits.pageKeepMs, nowMs),
    limits,
    counters,
    nowMs,
    manyFilters,
    open,
    version: ({ name, place }) => versionOf(place.stream, open(name)),
    headOfEmpty: ({ name, place }) => headOfEmpty(place.stream, open(name)),
    message: (room, stored, prev) => {
      const content = contentOf(room, stored, limits, counters, nowMs());
      return createMessage({ ...content, offset: stored.sequence, prev: Math.min(prev, stored.sequence) });
    },
  });
}

/** Grows with what was acknowledged: whoever asks after that must not share an answer from before. */
export function versionOf(stream: Stream, open: OpenRoom | undefined): number {
  if (open?.isCurrent !== true) return stream.seen;
  const { start } = open;
  return Math.max(open.acknowledged, start?.epoch === stream.epoch ? start.offset : 0);
}

/**
 * A room of which nothing is kept stands where it has come to here, or else where its stream stands: whoever begins
 * there misses nothing. To be asked before a read that may find nothing: what comes during it is not covered.
 */
export function headOfEmpty(stream: Stream, open: OpenRoom | undefined): number {
  return open?.isCurrent === true ? open.last : stream.seen;
}
