import type { ClientInput, Position, ServerFrame, SubscribeOptions } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";

interface Stored {
  readonly offset: number;
  readonly prev: number;
  readonly key: string | undefined;
  readonly epoch: string;
}

/** A room that keeps few messages for resuming, and all of them for the test to check by. */
class ModelRoom {
  readonly name: RoomName;
  readonly archive: Stored[] = [];
  epoch = "e0";
  head = 0;
  #kept: Stored[] = [];
  #state = new Map<string, Stored>();

  constructor(name: string) {
    this.name = parseRoom(name);
  }

  publish(step: number, key: string | undefined): Stored {
    const message: Stored = { offset: this.head + step, prev: this.head, key, epoch: this.epoch };
    this.head = message.offset;
    this.archive.push(message);
    this.#kept = [...this.#kept.slice(-7), message];
    if (key !== undefined) this.#state.set(key, message);
    return message;
  }

  renumber(): void {
    this.epoch = `e${Number(this.epoch.slice(1)) + 1}`;
    this.head = 0;
    this.#kept = [];
    this.#state.clear();
  }

  /** Everything after the position; undefined where that is no longer known. */
  after({ epoch, offset }: Position): readonly Stored[] | undefined {
    const known = offset === this.head || this.#kept.some(({ prev }) => prev === offset);
    return epoch === this.epoch && known ? this.#kept.filter((stored) => stored.offset > offset) : undefined;
  }

  last(n: number): readonly Stored[] {
    return n === 0 ? [] : this.#kept.slice(-n);
  }

  state(): readonly Stored[] {
    const latest = [...this.#state.values()].sort((a, b) => a.offset - b.offset);
    return latest.map((stored, index) => ({ ...stored, prev: latest[index - 1]?.offset ?? 0 }));
  }
}

/**
 * A server by the book of the protocol over one connection, with frames that wait until they are delivered and the
 * faults that a client has to live with.
 */
export class ModelServer {
  readonly rooms = new Map<string, ModelRoom>();
  /** Frames on their way to the client. */
  #out: ServerFrame[] = [];
  #subscribed = new Set<string>();
  /** The next subscribes are refused for now, the next requests not answered at all. */
  refusing = 0;
  silent = 0;

  constructor(names: readonly string[]) {
    for (const name of names) this.rooms.set(name, new ModelRoom(name));
  }

  connected(): void {
    this.disconnected();
    this.#out.push({ type: "welcome", session: "s", node: "n", pingMs: 25_000, maxBytes: 16_384 });
  }

  disconnected(): void {
    this.#out = [];
    this.#subscribed.clear();
  }

  receive(inputs: readonly ClientInput[]): void {
    for (const input of inputs) this.#take(input);
  }

  publish(room: string, step: number, key: string | undefined): void {
    const found = this.rooms.get(room);
    if (found === undefined) return;
    const stored = found.publish(step, key);
    if (this.#subscribed.has(room)) this.#out.push(messageOf(found, stored));
  }

  renumber(room: string): void {
    const found = this.rooms.get(room);
    if (found === undefined) return;
    found.renumber();
    const { name, epoch, head } = found;
    if (this.#subscribed.has(room))
      this.#out.push({ type: "reset", room: name, epoch, offset: head, reason: "epoch" });
  }

  goaway(delayMs: number): void {
    this.#out.push({ type: "goaway", reason: "deploy", delayMs });
  }

  /** Frames from the n-th waiting one on are lost, as to a slow socket. */
  drop(n: number): void {
    if (this.#out.some(({ type }) => type === "welcome" || type === "goaway")) return;
    this.#out.splice(n);
    this.#subscribed.clear();
    this.#out.push({ type: "lagged" });
  }

  /** One message is lost without a word: the chain alone shows it, where no `live` vouches for what came before. */
  lose(n: number): void {
    const found = this.#out[n];
    if (found?.type !== "message") return;
    const vouched = this.#out.some(
      (frame, at) => at > n && frame.type === "live" && frame.room === found.room,
    );
    if (!vouched) this.#out.splice(n, 1);
  }

  repeat(n: number): void {
    const found = this.#out[n];
    if (found?.type === "message") this.#out.splice(n, 0, found);
  }

  take(n: number): ServerFrame[] {
    return this.#out.splice(0, n);
  }

  #take(input: ClientInput): void {
    if (input.type !== "ping" && this.silent > 0) {
      this.silent--;
      return;
    }
    switch (input.type) {
      case "ping":
      case "history":
      case "authenticate":
        this.#out.push({ type: "ok", ref: input.ref, result: { time: 1 } });
        return;
      case "publish": {
        const room = this.rooms.get(input.room);
        this.publish(input.room, 1, input.key);
        this.#out.push({ type: "ok", ref: input.ref, result: { epoch: room?.epoch, offset: room?.head } });
        return;
      }
      case "subscribe":
        this.#subscribe(
          input.ref,
          [[input.room, input.options.after]],
          input.options,
          (results) => results[0],
        );
        return;
      case "subscribeMany":
        this.#subscribe(
          input.ref,
          input.rooms.flatMap(({ room, after }) =>
            typeof room === "string" ? [[room, after] as const] : [],
          ),
          input.options,
          (results) => results,
        );
        return;
      case "unsubscribe":
        this.#subscribed.delete(input.room);
        return;
      case "presence":
      case "invalid":
        throw new Error(`the client sent ${JSON.stringify(input)}`);
    }
  }

  #subscribe(
    ref: number,
    rooms: readonly (readonly [RoomName, Position | undefined])[],
    options: SubscribeOptions,
    answer: (results: unknown[]) => unknown,
  ): void {
    if (this.refusing > 0) {
      this.refusing--;
      this.#out.push({ type: "error", ref, code: "unavailable", text: "later", retryMs: 40 });
      return;
    }
    const started = rooms.map(([name, after]) => this.#start(name, after, options));
    this.#out.push({ type: "ok", ref, result: answer(started.map(({ result }) => result)) });
    for (const { frames } of started) this.#out.push(...frames);
  }

  #start(
    name: RoomName,
    after: Position | undefined,
    options: SubscribeOptions,
  ): { result: unknown; frames: ServerFrame[] } {
    const room = this.rooms.get(name);
    if (room === undefined) return { result: ["forbidden", "no such room"], frames: [] };
    this.#subscribed.add(name);
    const recovered = after === undefined ? undefined : room.after(after);
    const replay =
      recovered ?? (after !== undefined ? [] : options.state ? room.state() : room.last(options.last ?? 0));
    const offset = replay[0]?.prev ?? room.head;
    return {
      result: { epoch: room.epoch, offset, recovered: recovered !== undefined },
      frames: [
        ...replay.map((stored) => messageOf(room, stored)),
        { type: "live", room: room.name, offset: room.head },
      ],
    };
  }
}

function messageOf(room: ModelRoom, { offset, prev, key, epoch }: Stored): ServerFrame {
  return { type: "message", room: room.name, offset, prev, time: 1, data: `${epoch}:${offset}`, key };
}
