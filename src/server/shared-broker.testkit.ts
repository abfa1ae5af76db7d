import type { MemoryBroker } from "../broker/memory.js";
import type { Broker, Sink } from "../core/ports.js";
import type { RoomName } from "../protocol/room-name.js";

/** One embedded broker under several engines: each has rooms of its own open, as if it were a process of its own. */
export class SharedBroker {
  readonly #broker: MemoryBroker;
  readonly #sinks = new Map<RoomName, Set<Sink>>();

  constructor(broker: MemoryBroker) {
    this.#broker = broker;
  }

  /** What one engine is given. Its `stop` leaves the broker alone. */
  member(): Broker {
    const own = new Map<RoomName, Sink>();
    return {
      publish: (outgoing) => this.#broker.publish(outgoing),
      history: (room, from, limit) => this.#broker.history(room, from, limit),
      state: (room) => this.#broker.state(room),
      watch: () => Promise.reject(new Error("a shared broker has no patterns")),
      unwatch: () => {},
      rooms: (prefix, after, limit) => this.#broker.rooms(prefix, after, limit),
      open: (room, sink) => {
        own.set(room, sink);
        const sinks = this.#sinks.get(room) ?? new Set();
        this.#sinks.set(room, sinks.add(sink));
        // In one turn, so that nothing comes in between: it tells the head of this moment.
        this.#broker.close(room);
        return this.#broker.open(room, {
          message: (message) => {
            for (const each of sinks) each.message(message);
          },
          reset: (...args) => {
            for (const each of sinks) each.reset(...args);
          },
        });
      },
      close: (room) => {
        const sinks = this.#sinks.get(room);
        const sink = own.get(room);
        if (sinks === undefined || sink === undefined) return;
        sinks.delete(sink);
        own.delete(room);
        if (sinks.size > 0) return;
        this.#sinks.delete(room);
        this.#broker.close(room);
      },
      stop: async () => {},
    };
  }
}
