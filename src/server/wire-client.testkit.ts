import { decodeMulti, encode } from "@msgpack/msgpack";
import { CODE } from "../protocol/frames.js";
import { Bell, DEADLINE_MS, type HandshakeOptions, OPCODE, RawWebSocket } from "./raw-socket.testkit.js";

/** One value of the protocol: an array whose first element is its code. */
export type Value = readonly unknown[];

export interface Arrived {
  readonly offset: number;
  readonly prev: number;
  readonly data: unknown;
}

/** What a test client keeps of a room. */
interface Followed {
  epoch: string;
  last: number;
  readonly messages: Arrived[];
}

/**
 * A client made of the protocol's page, with no code of ours but the numbers: it sends arrays, takes arrays, and holds
 * every message against the client's rule as it comes.
 */
export class WireClient {
  readonly ws: RawWebSocket;
  /** Values that nobody took yet; messages are kept by room instead. */
  readonly values: Value[] = [];
  /** Messages dropped as duplicates, which a server never sends to one subscription. */
  duplicates = 0;
  /** Messages that showed that one before them is missing, and were not delivered. */
  gaps = 0;
  longestFrame = 0;
  mostValuesInFrame = 0;
  readonly #rooms = new Map<string, Followed>();
  /** Room of each subscribe that waits for its answer. */
  readonly #asked = new Map<unknown, string>();
  readonly #bell = new Bell();
  readonly #isText: boolean;
  #ref = 0;
  #failure: unknown;

  private constructor(ws: RawWebSocket) {
    this.ws = ws;
    this.#isText = ws.protocol === "fanwire.v1.json";
    this.#readOn().catch((cause: unknown) => {
      this.#failure = cause;
      this.#bell.ring();
    });
  }

  /** Connects and takes `welcome`, which must come first. */
  static async open(port: number, options: HandshakeOptions = {}): Promise<WireClient> {
    const client = new WireClient(await RawWebSocket.open(port, options));
    const [code] = await client.find(() => true, "welcome");
    if (code !== CODE.welcome) throw new Error(`the first value has code ${code}, not that of welcome`);
    return client;
  }

  /** Sends values in one WebSocket message. */
  send(...values: Value[]): void {
    if (this.#isText) this.ws.send(OPCODE.text, values.map((value) => JSON.stringify(value)).join("\n"));
    else this.ws.send(OPCODE.binary, Buffer.concat(values.map((value) => encode(value))));
  }

  /** Sends one request and waits for its `ok` or `error`. */
  async request(code: number, ...rest: readonly unknown[]): Promise<Value> {
    this.#ref += 1;
    const ref = this.#ref;
    if (code === CODE.subscribe) this.#asked.set(ref, String(rest[0]));
    this.send([code, ref, ...rest]);
    const isAnswer = (value: Value) => (value[0] === CODE.ok || value[0] === CODE.error) && value[1] === ref;
    return this.find(isAnswer, `the answer to ${JSON.stringify([code, ref, ...rest]).slice(0, 80)}`);
  }

  /** Subscribes; the room is followed from the answer on. @throws Error where it is refused. */
  async subscribe(room: string, options: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const [code, , result] = await this.request(CODE.subscribe, room, options);
    if (code !== CODE.ok || !isRecord(result)) throw new Error(`subscribe was answered ${code} ${result}`);
    return result;
  }

  /** Where this client stands in a room, for `after`. */
  position(room: string): readonly [string, number] {
    const { epoch, last } = this.#room(room);
    return [epoch, last];
  }

  /** A client that reconnects goes on where another one ended. */
  follow(room: string, from: WireClient): void {
    this.#rooms.set(room, from.#room(room));
  }

  messages(room: string): readonly Arrived[] {
    return this.#room(room).messages;
  }

  /** Takes the first value for which `matches` says so, waiting for it. */
  find(matches: (value: Value) => boolean, what: string, ms = DEADLINE_MS): Promise<Value> {
    const look = () => {
      const index = this.values.findIndex(matches);
      return index < 0 ? undefined : this.values.splice(index, 1)[0];
    };
    return this.#bell.until(look, () => this.#failure, what, ms);
  }

  /** Waits until so many messages of a room are here in all. */
  async arrived(room: string, count: number, ms = DEADLINE_MS): Promise<readonly Arrived[]> {
    const { messages } = this.#room(room);
    const look = () => (messages.length >= count ? messages : undefined);
    try {
      return await this.#bell.until(look, () => this.#failure, `${count} messages`, ms);
    } catch (cause) {
      throw new Error(`${messages.length} of ${count} messages of ${room} arrived`, { cause });
    }
  }

  destroy(): void {
    this.ws.destroy();
  }

  async #readOn(): Promise<void> {
    for (;;) {
      for (const { opcode, payload } of await this.ws.frames()) {
        if (opcode !== OPCODE.binary && opcode !== OPCODE.text) continue;
        const values = opcode === OPCODE.binary ? [...decodeMulti(payload)] : lines(payload);
        this.longestFrame = Math.max(this.longestFrame, payload.length);
        this.mostValuesInFrame = Math.max(this.mostValuesInFrame, values.length);
        for (const value of values) {
          if (!Array.isArray(value)) throw new Error("a value that is no array");
          this.#take(value);
        }
      }
      this.#bell.ring();
    }
  }

  #take(value: Value): void {
    const [code, first, second, third, , data] = value;
    if (code === CODE.message) {
      this.#message(String(first), { offset: Number(second), prev: Number(third), data });
      return;
    }
    const room = this.#asked.get(first);
    if (code === CODE.ok && room !== undefined && isRecord(second))
      this.#place(room, second.epoch, second.offset);
    if (code === CODE.reset) this.#place(String(first), second, third);
    if (code === CODE.ok || code === CODE.error) this.#asked.delete(first);
    this.values.push(value);
  }

  #message(room: string, message: Arrived): void {
    const followed = this.#room(room);
    if (message.offset !== 0 && message.offset <= followed.last) this.duplicates += 1;
    else if (message.prev > followed.last) this.gaps += 1;
    else {
      followed.last = message.offset;
      followed.messages.push(message);
    }
  }

  #place(room: string, epoch: unknown, offset: unknown): void {
    const followed = this.#room(room);
    followed.epoch = String(epoch);
    followed.last = Number(offset);
  }

  #room(room: string): Followed {
    let followed = this.#rooms.get(room);
    if (followed === undefined) {
      followed = { epoch: "", last: 0, messages: [] };
      this.#rooms.set(room, followed);
    }
    return followed;
  }
}

function lines(payload: Buffer): unknown[] {
  const texts = payload.toString().split("\n");
  return texts.filter((text) => text !== "").map((text) => JSON.parse(text));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
