import type {
  Broker,
  Gossip,
  HistoryFrom,
  HistoryPage,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../core/ports.js";
import type { Position } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";

/** A broker over another one that passes everything on; who extends it says what it does otherwise. */
export class BrokerLayer implements Broker {
  protected readonly inner: Broker;

  constructor(inner: Broker) {
    this.inner = inner;
  }

  get gossip(): Gossip | undefined {
    return this.inner.gossip;
  }

  publish(outgoing: Outgoing): Promise<Position> {
    return this.inner.publish(outgoing);
  }

  open(room: RoomName, sink: Sink): Promise<Position> {
    return this.inner.open(room, sink);
  }

  close(room: RoomName): void {
    this.inner.close(room);
  }

  watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    return this.inner.watch(pattern, watcher);
  }

  unwatch(pattern: RoomPattern): void {
    this.inner.unwatch(pattern);
  }

  history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    return this.inner.history(room, from, limit);
  }

  state(room: RoomName): Promise<Snapshot> {
    return this.inner.state(room);
  }

  rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    return this.inner.rooms(prefix, after, limit);
  }

  stop(deadlineMs: number): Promise<void> {
    return this.inner.stop(deadlineMs);
  }
}
