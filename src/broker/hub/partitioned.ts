import type { Broker } from "../../core/ports.js";
import { mergeRooms } from "../../core/room-list.js";
import type { RoomName } from "../../protocol/room-name.js";

/**
 * One broker made of several: each room lives in one of them, chosen by {@link partitionOf}. Whoever has the same number of
 * brokers in the same order finds every room in the same place.
 * @throws RangeError without brokers
 */
export function partitioned(brokers: readonly Broker[]): Broker {
  const parts = [...brokers];
  const of = (room: RoomName): Broker => {
    const broker = parts[partitionOf(room, parts.length)];
    if (broker === undefined) throw new RangeError("partitioned needs at least one broker");
    return broker;
  };
  if (parts.length === 0) throw new RangeError("partitioned needs at least one broker");
  return {
    publish: (outgoing) => of(outgoing.room).publish(outgoing),
    open: (room, sink) => of(room).open(room, sink),
    close: (room) => of(room).close(room),
    watch: async (pattern, watcher) => {
      const watch = (broker: Broker): Promise<void> =>
        broker.watch(pattern, {
          // Brokers that share what is behind them all see every room.
          message: (message) => {
            if (of(message.room) === broker) watcher.message(message);
          },
          lost: (where) => {
            if (where === "all" || !("room" in where) || of(where.room) === broker) watcher.lost(where);
          },
        });
      const watches = await Promise.allSettled(parts.map(watch));
      const failed = watches.find((watch) => watch.status === "rejected");
      if (failed === undefined) return;
      for (const broker of parts) broker.unwatch(pattern);
      throw failed.reason;
    },
    unwatch: (pattern) => {
      for (const broker of parts) broker.unwatch(pattern);
    },
    history: (room, from, limit) => of(room).history(room, from, limit),
    state: (room) => of(room).state(room),
    // Of all or of none: a page that lacks the rooms of one that is away would look whole.
    rooms: async (prefix, after, limit) => {
      const lists = await Promise.all(parts.map((broker) => broker.rooms(prefix, after, limit)));
      return mergeRooms({ prefix, after, limit }, lists);
    },
    stop: async (deadlineMs) => {
      await Promise.all(parts.map((broker) => broker.stop(deadlineMs)));
    },
  };
}

/**
 * A room's place among so many: FNV-1a of its name, mixed as names differ in few bits, scaled down. The same in every process
 * and for good: positions and what is stored depend on it.
 */
export function partitionOf(room: RoomName, count: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < room.length; index += 1)
    hash = Math.imul(hash ^ room.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return Math.floor(((hash >>> 0) / 0x1_0000_0000) * count);
}
