/** Running totals of one hub, plain numbers that metrics read. Every cap that bites shows here. */
export interface HubCounters {
  /** Workers that are linked now. */
  links: number;
  linksTotal: number;
  /** Rooms open at the broker now. */
  rooms: number;
  bytesIn: number;
  bytesOut: number;
  recordsIn: number;
  /** Messages handed on live, each encoded once for all workers. */
  messages: number;
  /** Live records: one a message and worker that has the room open. */
  deliveries: number;
  /** Patterns that workers watch now, each once. */
  watchedPatterns: number;
  /** Records of messages for patterns: one a message and worker. */
  watchedMessages: number;
  /** Times that a worker was told that something may have been missed in rooms that its patterns mean. */
  lostPatterns: number;
  published: number;
  publishErrors: number;
  historyReads: number;
  /** Rooms that a worker opened after a position that was not the head. */
  replays: number;
  replayedMessages: number;
  /** Times that a worker did not read and lost its flow. */
  lagged: number;
  /** Resets told to workers: one a room and worker. */
  resets: number;
  /** Keys that stand for their senders, held by workers now. */
  heldKeys: number;
  /** Keys taken out because the last worker that held them was gone. */
  keysRemoved: number;
  /** Publishes of keys above the bound of {@link HubCounters.heldKeys}: they stay where their worker ends without a word. */
  untrackedKeys: number;
  /** Requests above a window. Always 0, or a worker with other limits. */
  refused: number;
  /** Links closed because of bytes that are no record. Always 0, or a bug. */
  malformed: number;
}

export function createHubCounters(): HubCounters {
  return {
    links: 0,
    linksTotal: 0,
    rooms: 0,
    bytesIn: 0,
    bytesOut: 0,
    recordsIn: 0,
    messages: 0,
    deliveries: 0,
    watchedPatterns: 0,
    watchedMessages: 0,
    lostPatterns: 0,
    published: 0,
    publishErrors: 0,
    historyReads: 0,
    replays: 0,
    replayedMessages: 0,
    lagged: 0,
    resets: 0,
    heldKeys: 0,
    keysRemoved: 0,
    untrackedKeys: 0,
    refused: 0,
    malformed: 0,
  };
}

/** Running totals of a worker's link to one hub. */
export interface HubLinkCounters {
  /** Times that the link came up. */
  linked: number;
  /** Times that it was lost. */
  lost: number;
  bytesIn: number;
  bytesOut: number;
  recordsIn: number;
  /** Messages handed to sinks, replayed ones included. */
  received: number;
  /** Messages for a room that was closed or opened anew meanwhile. */
  ignored: number;
  /** Times that this worker did not read and had to catch up. */
  lagged: number;
  /** Rooms opened again after the flow was lost. */
  reopened: number;
  /** Resets handed to sinks. */
  resets: number;
  /** Patterns watched through this link now. */
  watchedPatterns: number;
  /** Messages handed to the watcher. */
  watchedMessages: number;
  /** Times that the watcher was told that something may have been missed. */
  lostPatterns: number;
  published: number;
  publishErrors: number;
  /** Requests refused because too many were waiting. */
  refused: number;
  /** Requests without an answer in time. */
  timeouts: number;
  /** Links closed because of bytes that are no record. Always 0, or a bug. */
  malformed: number;
  /** Sinks that threw. Always 0, or a bug. */
  sinkErrors: number;
  /** The hub broke its promise of a gapless flow; the room was opened again after its position. Always 0, or a bug. */
  chainBroken: number;
}

export function createHubLinkCounters(): HubLinkCounters {
  return {
    linked: 0,
    lost: 0,
    bytesIn: 0,
    bytesOut: 0,
    recordsIn: 0,
    received: 0,
    ignored: 0,
    lagged: 0,
    reopened: 0,
    resets: 0,
    watchedPatterns: 0,
    watchedMessages: 0,
    lostPatterns: 0,
    published: 0,
    publishErrors: 0,
    refused: 0,
    timeouts: 0,
    malformed: 0,
    sinkErrors: 0,
    chainBroken: 0,
  };
}
