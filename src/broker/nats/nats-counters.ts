import { type BrokerCounters, createBrokerCounters } from "../counters.js";
import { createFlowCounters, type FlowCounters } from "./flow/flow-port.js";
import type { ContentCounters } from "./stored-message.js";

/** Running totals of one NATS broker, plain numbers that metrics read. */
export interface NatsCounters extends BrokerCounters, ContentCounters, FlowCounters {
  /** Publishes sent again because no acknowledgement came. */
  retriedPublishes: number;
  /** Publishes rejected because of a bound or a deadline. */
  refusedPublishes: number;
  /** Times that the publishes of a stream were held back, so that they keep their order. */
  publishHolds: number;
  /** Ephemeral messages that were not sent because the connection did not take them. */
  droppedEphemerals: number;
  /** What hubs tell each other that was not sent, for the same reason or without a connection. */
  droppedGossip: number;
  /** Reads at NATS, and those of them that had to be made again. */
  reads: number;
  retriedReads: number;
  /** Reads that were answered from memory. */
  tailReads: number;
  /** Who asked and was served by a read that was made for another. */
  sharedReads: number;
  /** Of the reads: those over a stream for many rooms, and for how many. */
  passes: number;
  passRooms: number;
  disconnects: number;
  /** Streams that began a new numbering. */
  newEpochs: number;
  /** Messages in subjects of ours that are in no room's place. */
  strayMessages: number;
  /** Live messages that were stored for another room than they came for: a mapping of subjects, or a RePublish, is wrong. */
  misplacedMessages: number;
}

export function createNatsCounters(): NatsCounters {
  return {
    ...createBrokerCounters(),
    ...createFlowCounters(),
    invalidData: 0,
    invalidKeys: 0,
    retriedPublishes: 0,
    refusedPublishes: 0,
    publishHolds: 0,
    droppedEphemerals: 0,
    droppedGossip: 0,
    reads: 0,
    retriedReads: 0,
    tailReads: 0,
    sharedReads: 0,
    passes: 0,
    passRooms: 0,
    disconnects: 0,
    newEpochs: 0,
    strayMessages: 0,
    misplacedMessages: 0,
  };
}
