import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { Client, type Subscription } from "../client/index.js";

const DEADLINE_MS = 60_000;

/** What one client was given in one room: numbers, and where continuity was lost by its own account. */
interface Book {
  readonly room: string;
  readonly client: Client;
  readonly subscription: Subscription;
  readonly numbers: number[];
  /** Indexes into `numbers` before which a reset was told, with its reason. */
  readonly resets: { readonly at: number; readonly reason: string }[];
}

/** Clients that resume by themselves and write down everything they get. */
export class Audience {
  readonly books: Book[] = [];
  readonly clients: Client[] = [];
  /** The longest time that any of them was without a message in a room, once it had one. */
  longestPauseMs = 0;

  private constructor() {}

  /** Connects so many clients, each in all rooms, and waits until all are live. */
  static open(t: TestContext, url: string, count: number, rooms: readonly string[]): Promise<Audience> {
    return Audience.#open(t, url, count, () => rooms);
  }

  /** Connects so many clients, each in one of the rooms, in turn, and waits until all are live. */
  static spread(t: TestContext, url: string, count: number, rooms: readonly string[]): Promise<Audience> {
    return Audience.#open(t, url, count, (index) =>
      rooms.slice(index % rooms.length, (index % rooms.length) + 1),
    );
  }

  static async #open(
    t: TestContext,
    url: string,
    count: number,
    roomsOf: (index: number) => readonly string[],
  ): Promise<Audience> {
    const audience = new Audience();
    for (let i = 0; i < count; i += 1) {
      const client = new Client(`${url}/ws`, { WebSocket, backoffBaseMs: 50, backoffCapMs: 1_000 });
      audience.clients.push(client);
      for (const room of roomsOf(i)) audience.#follow(client, room);
    }
    t.after(() => {
      for (const client of audience.clients) client.close();
    });
    await audience.until("live", (book) => book.subscription.state.kind === "live");
    return audience;
  }

  #follow(client: Client, room: string): void {
    const subscription = client.subscribe<number>(room);
    const book: Book = { room, client, subscription, numbers: [], resets: [] };
    let lastMs = Number.POSITIVE_INFINITY;
    subscription.on("message", ({ data }) => {
      const nowMs = Date.now();
      this.longestPauseMs = Math.max(this.longestPauseMs, nowMs - lastMs);
      lastMs = nowMs;
      book.numbers.push(Number(data));
    });
    subscription.on("reset", ({ reason }) => book.resets.push({ at: book.numbers.length, reason }));
    this.books.push(book);
  }

  /** From now on: how often clients had to connect again, and the longest that any of them waited for a room's next message. */
  pauses(): () => { readonly longestMs: number; readonly reconnects: number } {
    let longestMs = 0;
    let reconnects = 0;
    for (const { subscription } of this.books) {
      let lastMs = performance.now();
      subscription.on("message", () => {
        const nowMs = performance.now();
        longestMs = Math.max(longestMs, nowMs - lastMs);
        lastMs = nowMs;
      });
    }
    for (const client of this.clients)
      client.on("state", ({ kind }) => {
        if (kind === "open") reconnects += 1;
      });
    return () => ({ longestMs, reconnects });
  }

  /** Waits until it is so for every client and room. */
  async until(what: string, isSo: (book: Book) => boolean): Promise<void> {
    const endMs = Date.now() + DEADLINE_MS;
    for (;;) {
      const late = this.books.filter((book) => !isSo(book));
      if (late.length === 0) return;
      if (Date.now() > endMs) {
        const [first] = late;
        assert.fail(
          `${late.length} of ${this.books.length} not ${what}, for instance ${first?.room}: ${JSON.stringify(first?.subscription.state)}, ` +
            `connection ${JSON.stringify(first?.client.state)}, ${first?.numbers.length} messages, last ${first?.numbers.at(-1)}`,
        );
      }
      await sleep(10);
    }
  }

  /** Waits for the last message of each room everywhere, then asserts that every client got 1 to the last, in order, once. */
  async gotAll(lastByRoom: ReadonlyMap<string, number>): Promise<void> {
    await this.until("caught up", (book) => book.numbers.at(-1) === lastByRoom.get(book.room));
    for (const { room, numbers, resets } of this.books) {
      assert.deepEqual(resets, [], `${room}: nothing is lost`);
      const last = lastByRoom.get(room) ?? 0;
      assert.equal(numbers.length, last, `${room}: ${firstFault(numbers)}`);
      for (let i = 0; i < last; i += 1) assert.equal(numbers[i], i + 1, `${room}: ${firstFault(numbers)}`);
    }
  }

  /** The same, but where a reset was told before, messages may be missing or come again from there on. */
  async gotAllOrTold(lastByRoom: ReadonlyMap<string, number>): Promise<void> {
    await this.until("caught up", (book) => book.numbers.at(-1) === lastByRoom.get(book.room));
    for (const { room, numbers, resets } of this.books) {
      const told = new Set(resets.map(({ at }) => at));
      numbers.forEach((number, i) => {
        if (told.has(i)) return;
        assert.equal(number, (numbers[i - 1] ?? 0) + 1, `${room}: message ${i}, nothing was told`);
      });
    }
  }
}

function firstFault(numbers: readonly number[]): string {
  const at = numbers.findIndex((number, i) => number !== i + 1);
  return at < 0 ? "no fault" : `at ${at}: ${numbers.slice(Math.max(0, at - 3), at + 4).join(" ")}`;
}

/**
 * Publishes 1, 2, 3… into each room over HTTP, one batch at a time, until it is stopped. Every message has an id, and a batch
 * whose answer did not come is sent again: stored once, whatever happens to the worker that took it.
 */
export class Publisher {
  readonly last = new Map<string, number>();
  /** Batches that had to be sent again. */
  retries = 0;
  readonly #url: string;
  readonly #rooms: readonly string[];
  readonly #perBatch: number;
  readonly #everyMs: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #running = true;
  /** The test is over: nothing more will be stored, and nobody waits for it. */
  #isGivenUp = false;
  readonly #done: Promise<void>;

  constructor(t: TestContext, url: string, rooms: readonly string[], { perBatch = 5, everyMs = 5 } = {}) {
    this.#url = url;
    this.#rooms = rooms;
    this.#perBatch = perBatch;
    this.#everyMs = everyMs;
    for (const room of rooms) this.last.set(room, 0);
    this.#done = this.#publishForever();
    t.after(() => {
      this.#isGivenUp = true;
      return this.stop();
    });
  }

  /** Resolves with the last number of each room, stored. */
  async stop(): Promise<ReadonlyMap<string, number>> {
    this.#running = false;
    await this.#done;
    this.#agent.destroy();
    return this.last;
  }

  /** Waits until so many more were stored in every room. */
  async more(count: number): Promise<void> {
    const target = Math.min(...this.last.values()) + count;
    const endMs = Date.now() + DEADLINE_MS;
    while (Math.min(...this.last.values()) < target) {
      if (Date.now() > endMs) assert.fail(`published ${Math.min(...this.last.values())} of ${target}`);
      await sleep(5);
    }
  }

  async #publishForever(): Promise<void> {
    while (this.#running) {
      const batch = this.#rooms.flatMap((room) => {
        const last = this.last.get(room) ?? 0;
        return Array.from({ length: this.#perBatch }, (_, i) => ({
          room,
          data: last + i + 1,
          id: `${room}-${last + i + 1}`,
        }));
      });
      await this.#store(batch);
      for (const room of this.#rooms) this.last.set(room, (this.last.get(room) ?? 0) + this.#perBatch);
      await sleep(this.#everyMs);
    }
  }

  /** Sends what is not stored yet until all of it is. In order: nothing behind a message that is not stored. */
  async #store(batch: readonly object[]): Promise<void> {
    const endMs = Date.now() + DEADLINE_MS;
    for (;;) {
      if ((await this.#post(batch)) || this.#isGivenUp) return;
      this.retries += 1;
      if (Date.now() > endMs) throw new Error("a batch could not be stored");
      await sleep(20);
    }
  }

  #post(batch: readonly object[]): Promise<boolean> {
    const body = JSON.stringify(batch);
    return new Promise((resolve) => {
      const req = request(`${this.#url}/v1/messages`, {
        agent: this.#agent,
        method: "POST",
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
        timeout: 5_000,
      });
      req.on("timeout", () => req.destroy());
      req.on("error", () => resolve(false));
      req.on("response", (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => {
          text += part;
        });
        response.on("error", () => resolve(false));
        response.on("close", () =>
          resolve(response.complete && response.statusCode === 200 && allStored(text)),
        );
      });
      req.end(body);
    });
  }
}

function allStored(text: string): boolean {
  const results: readonly { readonly offset?: number }[] = JSON.parse(text);
  return results.every(({ offset }) => offset !== undefined);
}
