import type { AskDesk, Errand } from "./ask-desk.js";
import type { FlowLimits } from "./flow-limits.js";
import type { FlowCounters, FlowMessage, FlowPort } from "./flow-port.js";
import type { FlowRoom } from "./flow-room.js";
import type { Partition } from "./partition.js";
import type { WholePartition } from "./whole-partition.js";

/** What all partitions and rooms of a flow share. */
export interface FlowShared<M extends FlowMessage> {
  readonly port: FlowPort<M>;
  readonly limits: FlowLimits;
  readonly counters: FlowCounters;
  /** Bytes of all live messages that are held back. */
  readonly queue: { bytes: number };
  readonly heads: AskDesk<Partition<M>>;
  readonly pages: AskDesk<FlowRoom<M>>;
  readonly ranges: AskDesk<RangeReader<M>>;
}

/** The read of a whole partition's messages, beside that of its rooms' last ones. */
export interface RangeReader<M extends FlowMessage> {
  readonly errand: Errand;
  readonly partition: WholePartition<M>;
}
