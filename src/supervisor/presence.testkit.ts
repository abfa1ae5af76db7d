import assert from "node:assert/strict";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { SignJWT } from "jose";
import { WebSocket } from "ws";

const DEADLINE_MS = 30_000;
const SECRET = "presence-tests-presence-tests-presence";

/** A node's configuration: tokens, and namespaces with presence. */
export const PRESENCE_ENV = {
  FANWIRE_AUTH_SECRET: SECRET,
  FANWIRE_AUTH_ROOMS: '[[">","sm"]]',
  // A machine that is late is no reason to send anybody away here.
  FANWIRE_LIMITS_HANDSHAKE_LAG_MS: "10000",
  FANWIRE_NAMESPACES: '{"lobby":{"presence":"members"},"hall":{"presence":"count"}}',
};

export function tokenOf(sub: string): Promise<string> {
  return new SignJWT({ sub })
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime("1h")
    .sign(new TextEncoder().encode(SECRET));
}

/** One tab of somebody's browser, that follows who is in its rooms as PROTOCOL.md says. */
export class Tab {
  readonly socket: WebSocket;
  readonly counts = new Map<string, number>();
  readonly lists = new Map<string, Map<string, unknown>>();
  events = 0;
  readonly #asked = new Map<number, unknown>();
  #refs = 0;
  #wake: (() => void)[] = [];

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data) => {
      for (const line of String(data).split("\n")) {
        if (line === "") continue;
        const frame = JSON.parse(line);
        this.#retry(frame);
        this.#take(frame);
      }
      const wake = this.#wake;
      this.#wake = [];
      for (const each of wake) each();
    });
    // Its server is killed, on purpose.
    socket.on("error", () => {});
  }

  static async open(t: TestContext, url: string, sub: string): Promise<Tab> {
    const socket = new WebSocket(`${url.replace("http", "ws")}/ws`, [
      "fanwire.v1.json",
      `token.${await tokenOf(sub)}`,
    ]);
    t.after(() => socket.terminate());
    const tab = new Tab(socket);
    await once(socket, "open");
    return tab;
  }

  /** Again for as long as it cannot be now: a worker may not have its new hub yet. */
  subscribe(room: string, options: object = {}): void {
    this.#refs += 1;
    this.#asked.set(this.#refs, [1, this.#refs, room, options]);
    this.send(this.#asked.get(this.#refs));
  }

  send(value: unknown): void {
    this.socket.send(JSON.stringify(value));
  }

  /** Waits until it knows it so; resolves with the milliseconds that it took. */
  async until(what: string, isSo: () => boolean): Promise<number> {
    const startMs = performance.now();
    while (!isSo()) {
      const leftMs = startMs + DEADLINE_MS - performance.now();
      if (leftMs <= 0) assert.fail(`not so: ${what}; ${JSON.stringify([...this.counts])}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return performance.now() - startMs;
  }

  untilCount(room: string, count: number): Promise<number> {
    return this.until(`${room} has ${count}`, () => this.counts.get(room) === count);
  }

  members(room: string): unknown {
    return Object.fromEntries([...(this.lists.get(room) ?? [])].sort());
  }

  #retry([code, ref, error, , retryMs]: [number, number, string, string, number?]): void {
    const asked = this.#asked.get(ref);
    if (code !== 18 || asked === undefined || error !== "unavailable" || retryMs === undefined) return;
    setTimeout(() => {
      if (this.socket.readyState === this.socket.OPEN) this.send(asked);
    }, retryMs).unref();
  }

  #take([code, room, count, joined, left, list]: [
    number,
    string,
    number,
    unknown[],
    string[],
    boolean?,
  ]): void {
    if (code !== 23) return;
    this.events += 1;
    this.counts.set(room, count);
    if (list === true) this.lists.set(room, new Map());
    if (list === false) this.lists.delete(room);
    const known = this.lists.get(room);
    for (const member of joined) {
      const [id, info] = Array.isArray(member) ? member : [member, undefined];
      known?.set(String(id), info ?? null);
    }
    for (const id of left) known?.delete(id);
  }
}

/** Who is in a room, as the HTTP API says. */
export async function askPresence(
  url: string,
  room: string,
  query = "",
): Promise<{ status: number; body: unknown }> {
  const headers = { authorization: `Bearer ${await tokenOf("asker")}` };
  const response = await fetch(`${url}/v1/rooms/${room}/presence${query}`, { headers });
  return { status: response.status, body: await response.json() };
}
