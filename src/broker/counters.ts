/** Running totals of one broker, plain numbers that metrics read. Every cap that bites shows here. */
export interface BrokerCounters {
  /** Publishes stored, or handed on in an ephemeral room. */
  published: number;
  /** Publishes whose id was known: answered, not stored again. */
  duplicates: number;
  /** Messages dropped from history because of the bound on bytes; those that a room's own settings expire do not count. */
  evictedMessages: number;
  /** Keys dropped from state because of the bound on keys or bytes. */
  droppedKeys: number;
  /** Keys that state forgot because nobody published them for as long as their namespace says. */
  expiredKeys: number;
  /** Ids forgotten before their window was over. */
  droppedIds: number;
  /** Rooms forgotten because of the bound on rooms; each starts a new epoch when it comes back. */
  forgottenRooms: number;
  /** Patterns that are watched now. */
  watchedPatterns: number;
  /** Messages handed to the watcher: of rooms that are not open and that a watched pattern means. */
  watchedMessages: number;
  /** How often the watcher was told that something may have been missed. */
  lostPatterns: number;
  /** Patterns refused because of the bound on them. */
  refusedPatterns: number;
  /** Lists of rooms refused because of the bound on them. */
  refusedLists: number;
  /** Sinks that threw. Always 0, or a bug. */
  sinkErrors: number;
}

export function createBrokerCounters(): BrokerCounters {
  return {
    published: 0,
    duplicates: 0,
    evictedMessages: 0,
    droppedKeys: 0,
    expiredKeys: 0,
    droppedIds: 0,
    forgottenRooms: 0,
    watchedPatterns: 0,
    watchedMessages: 0,
    lostPatterns: 0,
    refusedPatterns: 0,
    refusedLists: 0,
    sinkErrors: 0,
  };
}
