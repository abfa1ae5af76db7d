import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { Client, type Subscription } from "../client/index.js";
import type { RoomName } from "../protocol/room-name.js";
import { matchesRoom, type RoomPattern } from "../protocol/room-pattern.js";

const DEADLINE_MS = 30_000;

/** How far back a room may go where it was told that something is missing. */
type Back = (room: RoomName) => number;

/** The numbers 1, 2, 3… of one room as they come to somebody: each once, in order, none missing unless that is told before. */
class Book {
  readonly faults: string[] = [];
  last = 0;
  readonly #room: RoomName;
  readonly #what: string;
  readonly #back: Back;
  #isTold = false;

  constructor(room: RoomName, what: string, back: Back) {
    this.#room = room;
    this.#what = what;
    this.#back = back;
  }

  take(number: number): void {
    const least = this.#isTold ? this.last - this.#back(this.#room) + 1 : this.last + 1;
    if (number < least || (number > least && !this.#isTold))
      this.faults.push(
        `${this.#what}: ${this.#room} ${number} after ${this.last}${this.#isTold ? ", told" : ""}`,
      );
    this.#isTold = false;
    this.last = number;
  }

  tell(): void {
    this.#isTold = true;
  }
}

/** What one subscription told of its continuity, with its books. */
class Followed {
  readonly subscription: Subscription;
  readonly books: ReadonlyMap<string, Book>;
  readonly resets: string[] = [];

  constructor(subscription: Subscription, books: ReadonlyMap<string, Book>, strays: string[]) {
    this.subscription = subscription;
    this.books = books;
    subscription.on("reset", ({ reason }) => {
      this.resets.push(reason);
      for (const book of books.values()) book.tell();
    });
    subscription.on("message", ({ room, data }) => {
      const book = books.get(room);
      if (book === undefined) strays.push(`${subscription.room}: ${room} ${data}`);
      else book.take(Number(data));
    });
  }
}

/** One client, and how often it lost its connection. */
class Listener {
  readonly client: Client;
  readonly followed: Followed[] = [];
  cuts = 0;

  constructor(url: string) {
    this.client = new Client(`${url}/ws`, { WebSocket, backoffBaseMs: 20, backoffCapMs: 500 });
    this.client.on("state", ({ kind }) => {
      if (kind === "waiting") this.cuts += 1;
    });
  }

  get patterns(): Followed[] {
    return this.followed.filter(({ subscription }) => /[*>]/.test(subscription.room));
  }

  get rooms(): Followed[] {
    return this.followed.filter(({ subscription }) => !/[*>]/.test(subscription.room));
  }
}

export interface PatternAudienceOptions {
  /** Listeners that have all of `patterns`, and `named` by their names, all the time. */
  readonly steady: number;
  /** Listeners that have the first pattern, and take those of `changed` by their names and leave them again, all the time. */
  readonly changing: number;
  readonly patterns: readonly RoomPattern[];
  readonly named: readonly RoomName[];
  readonly changed: readonly RoomName[];
  /** Rooms that nobody ever has by their names. */
  readonly unnamed: readonly RoomName[];
}

/** Clients of patterns and of rooms that these mean, who keep books of everything that comes. */
export class PatternAudience {
  readonly steady: Listener[] = [];
  readonly changing: Listener[] = [];
  /** What came that should have come by another subscription, or not at all. */
  readonly strays: string[] = [];
  /** Above 0 while rooms may begin anew: a publisher then stores again what it has no answer for. */
  back: Back = () => 0;
  changes = 0;
  #isChanging = true;
  readonly #options: PatternAudienceOptions;
  readonly #changing: Promise<void>[] = [];

  private constructor(options: PatternAudienceOptions) {
    this.#options = options;
  }

  /** Connects all, and waits until they are live. */
  static async open(t: TestContext, url: string, options: PatternAudienceOptions): Promise<PatternAudience> {
    const audience = new PatternAudience(options);
    t.after(async () => {
      const closing = audience.rest();
      for (const { client } of audience.all) client.close();
      await closing;
    });
    for (let index = 0; index < options.steady; index += 1) audience.#addSteady(url);
    for (let index = 0; index < options.changing; index += 1) audience.#addChanging(url);
    await audience.until("live", isLive);
    return audience;
  }

  get all(): readonly Listener[] {
    return [...this.steady, ...this.changing];
  }

  /** Ends the changes: from here on all of `changed` comes by patterns. */
  async rest(): Promise<void> {
    this.#isChanging = false;
    await Promise.all(this.#changing);
  }

  /** Waits until it is so for everybody. */
  async until(what: string, isSo: (listener: Listener) => boolean, of = this.all): Promise<void> {
    const endMs = performance.now() + DEADLINE_MS;
    for (;;) {
      const late = of.find((listener) => !isSo(listener));
      if (late === undefined) return;
      if (performance.now() > endMs) assert.fail(`not ${what}: ${describe(late)}`);
      await sleep(10);
    }
  }

  /** Waits until everybody is as far in each room, by whatever brings it. */
  async hasAll(last: ReadonlyMap<string, number>): Promise<void> {
    const hasLast = (listener: Listener): boolean =>
      [...last].every(([room, number]) => {
        const books = listener.followed.flatMap(({ books: some }) => some.get(room) ?? []);
        return books.every((book) => book.last >= number);
      });
    await this.until(`up to ${[...last].flat()}`, hasLast);
  }

  /** Everything that was against the rules. */
  get faults(): string[] {
    const books = new Set(
      this.all.flatMap(({ followed }) => followed.flatMap(({ books: b }) => [...b.values()])),
    );
    return [...this.strays, ...[...books].flatMap(({ faults }) => faults)];
  }

  #addSteady(url: string): void {
    const listener = new Listener(url);
    this.steady.push(listener);
    const { patterns, changed, unnamed, named } = this.#options;
    for (const pattern of patterns) {
      const rooms = [...changed, ...unnamed].filter((room) => matchesRoom(pattern, room));
      listener.followed.push(this.#follow(listener, pattern, this.#books(rooms, pattern)));
    }
    for (const room of named)
      listener.followed.push(this.#follow(listener, room, this.#books([room], "by name")));
  }

  /** A room goes on in one book, whether it comes by the pattern or by its name. */
  #addChanging(url: string): void {
    const listener = new Listener(url);
    this.changing.push(listener);
    const { patterns, changed, unnamed, named } = this.#options;
    const [pattern = assert.fail("no pattern")] = patterns;
    const rooms = [...changed, ...unnamed, ...named].filter((room) => matchesRoom(pattern, room));
    const books = this.#books(rooms, "by either");
    listener.followed.push(this.#follow(listener, pattern, books));
    // Which of its subscriptions goes on first on a new connection nobody says.
    listener.client.on("state", ({ kind }) => {
      if (kind === "waiting") for (const book of books.values()) book.tell();
    });
    this.#changing.push(this.#change(listener, books));
  }

  async #change({ client }: Listener, books: ReadonlyMap<string, Book>): Promise<void> {
    const { changed } = this.#options;
    for (let turn = 0; this.#isChanging; turn += 1) {
      const room = changed[turn % changed.length] ?? assert.fail();
      const book = books.get(room) ?? assert.fail();
      const subscription = client.subscribe(room);
      const followed = new Followed(subscription, new Map([[room, book]]), this.strays);
      // Some are left before they are taken.
      const patienceMs = turn % 3 === 0 ? 3 : DEADLINE_MS;
      const endMs = performance.now() + patienceMs;
      const before = book.last;
      while (this.#isChanging && performance.now() < endMs) {
        if (followed.subscription.state.kind === "live" && book.last > before + 3) break;
        await sleep(2);
      }
      this.changes += 1;
      subscription.unsubscribe();
      // What still comes by its name before the server has heard of it is nobody's.
      book.tell();
      await sleep(5);
    }
    // From the answer on the server has heard of it.
    await client.ping().catch(() => undefined);
  }

  #follow(listener: Listener, topic: string, books: ReadonlyMap<string, Book>): Followed {
    return new Followed(listener.client.subscribe(topic), books, this.strays);
  }

  #books(rooms: readonly RoomName[], what: string): Map<string, Book> {
    return new Map(rooms.map((room) => [room, new Book(room, what, (name) => this.back(name))]));
  }
}

/** All that it has for good is live. */
export function isLive({ client, followed }: Listener): boolean {
  return (
    client.state.kind === "open" && followed.every(({ subscription }) => subscription.state.kind === "live")
  );
}

function describe({ client, followed }: Listener): string {
  const states = followed.map(({ subscription, books, resets }) => {
    const lasts = [...books].map(([room, { last }]) => `${room} ${last}`).join(", ");
    return `${subscription.room} ${subscription.state.kind} [${resets}] ${lasts}`;
  });
  return `connection ${client.state.kind}\n${states.join("\n")}`;
}
