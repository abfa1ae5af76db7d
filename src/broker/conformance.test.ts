import { PatternIndex } from "../core/pattern-index.js";
import type {
  Broker,
  HistoryFrom,
  HistoryPage,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../core/ports.js";
import type { Position } from "../protocol/frames.js";
import { createMessage, dataOf, type Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";
import { conformance, conformanceSettings } from "./conformance.testkit.js";
import { MemoryBroker } from "./memory.js";

/**
 * As different from the memory broker as the port allows, to keep the suite from asking for more than the port
 * promises: messages arrive some turns of the event loop after their publishes, and offsets skip numbers.
 */
class LateSparseBroker implements Broker {
  readonly #inner = new MemoryBroker({ settingsOf: conformanceSettings, onSinkError: () => {} });
  readonly #open = new Map<RoomName, Sink>();
  readonly #watched = new PatternIndex<true>();
  #watcher: Watcher | undefined;

  async publish(outgoing: Outgoing): Promise<Position> {
    const copy = { ...outgoing, data: outgoing.data.slice() };
    await turns(1);
    const position = await this.#inner.publish(copy);
    await turns(1);
    return sparse(position);
  }

  async open(room: RoomName, sink: Sink): Promise<Position> {
    const late: Sink = {
      message: (message) => {
        const deliver = () => {
          const receiver = this.#open.get(room) === late ? sink : this.#watching(room);
          try {
            receiver?.message(sparseMessage(message));
          } catch {
            // A broker without a place to tell it.
          }
        };
        void turns(3).then(deliver);
      },
      reset: (...args) => sink.reset(...args),
    };
    const position = await this.#inner.open(room, late);
    this.#open.set(room, late);
    // What was stored before comes to the watcher before.
    await turns(4);
    return sparse(position);
  }

  close(room: RoomName): void {
    this.#open.delete(room);
    this.#inner.close(room);
  }

  async watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    await turns(1);
    this.#watcher = watcher;
    const late: Watcher = {
      message: (message) =>
        void turns(3).then(() => this.#watching(message.room)?.message(sparseMessage(message))),
      lost: (where) => watcher.lost(where),
    };
    await this.#inner.watch(pattern, late);
    this.#watched.set(pattern, true);
    await turns(1);
  }

  unwatch(pattern: RoomPattern): void {
    this.#watched.delete(pattern);
    this.#inner.unwatch(pattern);
  }

  async rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    await turns(1);
    const { rooms, more } = await this.#inner.rooms(prefix, after, limit);
    return { rooms: rooms.map(({ room }) => ({ room, head: undefined })), more };
  }

  async history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    await turns(1);
    const inner = from !== "oldest" && "after" in from ? { after: dense(from.after) } : from;
    const page = await this.#inner.history(room, inner, limit);
    const head = sparse(page.head);
    return page.kind === "lost"
      ? { ...page, head }
      : { ...page, head, messages: page.messages.map(sparseMessage) };
  }

  async state(room: RoomName): Promise<Snapshot> {
    await turns(1);
    const { head, messages, droppedKeys } = await this.#inner.state(room);
    return { head: sparse(head), messages: messages.map(sparseMessage), droppedKeys };
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#inner.stop(deadlineMs);
  }

  #watching(room: RoomName): Watcher | undefined {
    return this.#watched.matches(room) ? this.#watcher : undefined;
  }
}

conformance("a late broker with sparse numbers", async () => {
  const broker = new LateSparseBroker();
  return { broker, dispose: () => broker.stop(0) };
});

const STRIDE = 3;

function sparse({ epoch, offset }: Position): Position {
  return { epoch, offset: offset * STRIDE };
}

function dense({ epoch, offset }: Position): Position {
  return { epoch, offset: Math.ceil(offset / STRIDE) };
}

function sparseMessage(message: Message): Message {
  const { offset, prev } = message;
  return createMessage({ ...message, data: dataOf(message), offset: offset * STRIDE, prev: prev * STRIDE });
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
