import type { EpochKeeper } from "./epoch-keeper.js";
import type { FlowLimits } from "./flow/flow-limits.js";
import type { FlowPort, PartitionId, PartitionSpec } from "./flow/flow-port.js";
import type { NatsLimits } from "./limits.js";
import { keepMessage, markOf } from "./live-message.js";
import type { StoredMessage } from "./stored-message.js";
import type { Stream } from "./streams.js";

/** How often a flow's clock goes on. */
export const FLOW_TICK_MS = 50;

/**
 * A stream as the partition of a live flow: what the server changes of it shows at once.
 * @param whole Followed by one subscription, whatever its rooms.
 */
export function partitionSpecOf(stream: Stream, whole: boolean): PartitionSpec {
  return {
    stream: stream.name,
    whole,
    get spread() {
      return stream.info.replicas > 1;
    },
    get messages() {
      return stream.messagesMin;
    },
    get ageMs() {
      return stream.info.maxAgeMs;
    },
    get trims() {
      return stream.info.isBounded;
    },
  };
}

/** The bounds of a live flow that NATS's readers answer; the others are the flow's own. */
export function flowLimitsOf(limits: NatsLimits): Partial<FlowLimits> {
  const { queueMessages, sweepMs, graceMs, cursors, readBatch } = limits;
  return { queueMessages, sweepMs, graceMs, pages: cursors, pageMessages: readBatch, askMs: ASK_MS };
}

/** The part of a flow's port that is the same for every flow of streams: what it does with messages, and whom it tells of a suspicion. */
export function streamPortOf(
  keeper: EpochKeeper,
  streamOf: (partition: PartitionId) => Stream,
): Pick<FlowPort<StoredMessage>, "keep" | "size" | "mark" | "suspect"> {
  return {
    keep: keepMessage,
    size: ({ data }) => data.length + HELD_BYTES,
    mark: markOf,
    suspect: (partition, _facts, isProven) => {
      const stream = streamOf(partition);
      void (isProven ? keeper.condemn(stream) : keeper.verify(stream));
    },
  };
}

/** Headers of a held message, envelope and objects, about. */
const HELD_BYTES = 400;

/** Every request inside has a deadline of its own, and says that it has failed; this is only for what would hang all the same. */
const ASK_MS = 15_000;
