import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { WebSocket } from "ws";
import type { Random } from "../core/simulation/scheduler.testkit.js";
import type { TestNode } from "./node.testkit.js";
import { askPresence, Tab, tokenOf } from "./presence.testkit.js";

/** One that only counts and one that lists its members; the hash puts them on both hubs of two. */
const HALL = "hall.a";
export const LOBBY = "lobby.a";
const ROOMS = [HALL, LOBBY];
/** Fewer than guests: some have many tabs. */
const SUBJECTS = 25;
const GUESTS_MAX = 60;
const STEP_MS = 15;
const DEADLINE_MS = 40_000;

/** A connection that is in rooms from when it was told so until it leaves, or its socket ends. */
class Guest {
  readonly sub: string;
  readonly rooms = new Set<string>();
  readonly #socket: WebSocket;
  #asked: readonly string[] = [];
  #ref = 0;

  constructor(t: TestContext, url: string, sub: string, token: string) {
    this.sub = sub;
    this.#socket = new WebSocket(`${url.replace("http", "ws")}/ws`, ["fanwire.v1.json", `token.${token}`]);
    t.after(() => this.#socket.terminate());
    // Its node is killed, on purpose.
    this.#socket.on("error", () => undefined);
    this.#socket.on("open", () => this.enter(ROOMS));
    this.#socket.on("message", (data) => {
      for (const line of String(data).split("\n")) if (line !== "") this.#take(JSON.parse(line));
    });
  }

  get isGone(): boolean {
    return this.#socket.readyState >= WebSocket.CLOSING;
  }

  /** Whether it is known what rooms it is in. */
  get isSettled(): boolean {
    return this.isGone || (this.#socket.readyState === WebSocket.OPEN && this.#asked.length === 0);
  }

  enter(rooms: readonly string[]): void {
    if (this.#socket.readyState !== WebSocket.OPEN || this.#asked.length > 0) return;
    this.#asked = rooms;
    // All tabs of a member say the same of it.
    for (const room of rooms) this.#send(1, room, room === LOBBY ? [{ info: `of ${this.sub}` }] : []);
  }

  leave(room: string): void {
    if (!this.rooms.delete(room) || this.isGone) return;
    this.#send(2, room);
  }

  close(): void {
    this.#socket.terminate();
  }

  #send(code: number, room: string, more: readonly unknown[] = []): void {
    // The answer says no room: the number does.
    this.#ref += 1;
    const ref = this.#ref * ROOMS.length + ROOMS.indexOf(room);
    this.#socket.send(JSON.stringify([code, ref, room, ...more]));
  }

  #take([code, ref, result, , , of]: [number, number, unknown, unknown, unknown, string?]): void {
    const room = ref === 0 ? of : ROOMS[ref % ROOMS.length];
    if (room === undefined || (code !== 17 && code !== 18)) return;
    // A refusal ends the subscription, or there is none: it may come back later, as somebody new.
    if (code === 18) this.rooms.delete(room);
    else if (typeof result === "object" && result !== null && "recovered" in result) this.rooms.add(room);
    this.#asked = this.#asked.filter((one) => one !== room);
  }
}

/** What there is to be seen of a room. */
interface Truth {
  readonly hall: number;
  /** What each member says of itself. */
  readonly lobby: Readonly<Record<string, unknown>>;
}

/** Guests that come and go at random on several nodes, and one who watches on each. */
export class Crowd {
  readonly #t: TestContext;
  readonly #random: Random;
  readonly #tokens = new Map<string, string>();
  #guests: Guest[] = [];
  #watchers = new Map<TestNode, Tab>();

  constructor(t: TestContext, random: Random) {
    this.#t = t;
    this.#random = random;
  }

  get size(): number {
    return this.#guests.length;
  }

  /** So many comings and goings, one after the other, on nodes that are there. */
  async churn(nodes: readonly TestNode[], steps: number): Promise<void> {
    for (let step = 0; step < steps; step += 1) {
      await this.#change(nodes);
      await new Promise((resolve) => setTimeout(resolve, this.#random.below(2 * STEP_MS)));
    }
  }

  /**
   * Waits until those who watch on these nodes, and the HTTP API of each, tell what is so.
   * @returns the milliseconds that it took
   */
  async converge(nodes: readonly TestNode[], what: string): Promise<number> {
    const startMs = performance.now();
    const seen = (): string =>
      JSON.stringify({ truth: this.#truth(nodes), seen: nodes.map((n) => this.#seen(n)) });
    for (const node of nodes) await this.#watch(node);
    while (!this.#isTrue(nodes)) {
      assert.ok(performance.now() - startMs < DEADLINE_MS, `${what} did not come to the truth: ${seen()}`);
      // Who watches on a process that was killed comes back, as any client.
      for (const node of nodes) await this.#watch(node);
      await new Promise((resolve) => setTimeout(resolve, STEP_MS));
    }
    const tookMs = performance.now() - startMs;
    const truth = this.#truth(nodes);
    for (const { url } of nodes) {
      const { body } = await askPresence(url, HALL);
      assert.deepEqual(body, { count: truth.hall }, `${what}: ${url}`);
    }
    return tookMs;
  }

  async #change(nodes: readonly TestNode[]): Promise<void> {
    this.#guests = this.#guests.filter((guest) => !guest.isGone);
    if (this.#guests.length === 0 || (this.#guests.length < GUESTS_MAX && this.#random.chance(0.5))) {
      const sub = `guest-${this.#random.below(SUBJECTS)}`;
      const token = this.#tokens.get(sub) ?? (await tokenOf(sub));
      this.#tokens.set(sub, token);
      this.#guests.push(new Guest(this.#t, this.#random.pick(nodes).url, sub, token));
      return;
    }
    const guest = this.#random.pick(this.#guests);
    if (this.#random.chance(0.4)) guest.close();
    else if (this.#random.chance(0.3)) guest.leave(this.#random.pick(ROOMS));
    else guest.enter(ROOMS.filter((room) => !guest.rooms.has(room)));
  }

  async #watch(node: TestNode): Promise<void> {
    const watcher = this.#watchers.get(node);
    if (watcher !== undefined && watcher.socket.readyState <= WebSocket.OPEN) return;
    const fresh = await Tab.open(this.#t, node.url, "watcher").catch(() => undefined);
    if (fresh === undefined) return;
    this.#watchers.set(node, fresh);
    for (const room of ROOMS) fresh.subscribe(room, { members: true });
  }

  #truth(nodes: readonly TestNode[]): Truth {
    this.#guests = this.#guests.filter((guest) => !guest.isGone);
    const watchers = nodes.filter((node) => this.#watchers.get(node)?.socket.readyState === WebSocket.OPEN);
    const members = this.#guests.filter(({ rooms }) => rooms.has(LOBBY));
    return {
      hall: this.#guests.filter(({ rooms }) => rooms.has(HALL)).length + watchers.length,
      lobby: Object.fromEntries([
        ...members.map(({ sub }) => [sub, `of ${sub}`]),
        ...(watchers.length > 0 ? [["watcher", null]] : []),
      ]),
    };
  }

  #seen(node: TestNode): Truth {
    const watcher = this.#watchers.get(node);
    return {
      hall: watcher?.counts.get(HALL) ?? -1,
      lobby: Object.fromEntries(watcher?.lists.get(LOBBY) ?? []),
    };
  }

  #isTrue(nodes: readonly TestNode[]): boolean {
    if (!this.#guests.every(({ isSettled }) => isSettled)) return false;
    const truth = this.#truth(nodes);
    return nodes.every((node) => isDeepStrictEqual(this.#seen(node), truth));
  }
}
