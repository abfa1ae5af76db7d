import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { SECRET, tokenOf } from "../server/auth/tokens.testkit.js";
import { kill, TestNode } from "./node.testkit.js";

const ROOM = "cursors.a";
const NAMESPACES = JSON.stringify({ cursors: { ephemeral: true, publish: "client", key: "sender" } });
const CODE = { subscribe: 1, publish: 3, welcome: 16, ok: 17, message: 19 };
const DEADLINE_MS = 30_000;
/** The kernel chooses the worker; one of two is missed so often with a chance of one in a million million. */
const TRIES_MAX = 40;

/** A connection that speaks JSON, and what it was told of the room. */
class Visitor {
  readonly #socket: WebSocket;
  readonly #waiting: (() => void)[] = [];
  readonly #answers: unknown[] = [];
  /** Keys and what they came to, in order. */
  readonly told: (readonly [string, unknown])[] = [];
  worker = "";

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("error", () => undefined);
    socket.on("message", (text) => {
      for (const line of String(text).split("\n")) {
        if (line === "") continue;
        const value = JSON.parse(line);
        if (value[0] === CODE.welcome) this.worker = String(value[1].node);
        if (value[0] === CODE.message) this.told.push([String(value[6]), value[5]]);
        if (value[0] === CODE.ok) this.#answers.push(value[1]);
      }
      for (const look of this.#waiting) look();
    });
  }

  static async open(t: TestContext, port: number, sub: string): Promise<Visitor> {
    const token = await tokenOf({ sub, rooms: [["cursors.>", "sp"]] });
    const headers = { Authorization: `Bearer ${token}` };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, "fanwire.v1.json", { headers });
    t.after(() => socket.terminate());
    const visitor = new Visitor(socket);
    await visitor.until("welcome", () => visitor.worker !== "");
    return visitor;
  }

  /** One whose connection a certain worker has. */
  static async at(t: TestContext, port: number, sub: string, worker: number): Promise<Visitor> {
    const seen = new Set<string>();
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const visitor = await Visitor.open(t, port, sub);
      seen.add(visitor.worker);
      if (visitor.worker.endsWith(`.${worker}`)) return visitor;
      await visitor.leave();
    }
    return assert.fail(`no connection to worker ${worker}: ${[...seen]}`);
  }

  async subscribe(): Promise<void> {
    this.#socket.send(JSON.stringify([CODE.subscribe, 1, ROOM]));
    await this.until("subscribed", () => this.#answers.includes(1));
  }

  async move(data: unknown): Promise<void> {
    this.#socket.send(JSON.stringify([CODE.publish, 2, ROOM, data]));
    await this.until("published", () => this.#answers.includes(2));
    this.#answers.splice(this.#answers.indexOf(2), 1);
  }

  async leave(): Promise<void> {
    const closed = once(this.#socket, "close");
    this.#socket.close();
    await closed;
  }

  /** Waits until it was told so of somebody. */
  hears(key: string, data: unknown): Promise<void> {
    return this.until(`${key}: ${data}`, () => this.told.some(([of, what]) => of === key && what === data));
  }

  until(what: string, isSo: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      // The sockets keep the process until they are closed, with the test.
      const late = setTimeout(
        () => reject(new Error(`not ${what}: ${JSON.stringify(this.told)}`)),
        DEADLINE_MS,
      ).unref();
      const look = (): void => {
        if (!isSo()) return;
        clearTimeout(late);
        resolve();
      };
      this.#waiting.push(look);
      look();
    });
  }

  of(key: string): unknown[] {
    return this.told.filter(([of]) => of === key).map(([, data]) => data);
  }
}

test("keys of a killed worker's clients go, and a user's key goes with the last worker that has him", async (t) => {
  const node = await TestNode.start(t, {
    args: ["--workers", "2"],
    env: { FANWIRE_AUTH_SECRET: SECRET, FANWIRE_NAMESPACES: NAMESPACES },
  });
  const at = (sub: string, worker: number): Promise<Visitor> => Visitor.at(t, node.port, sub, worker);
  const watcher = await at("watcher", 1);
  await watcher.subscribe();
  const [eve, ada0, ada1] = [await at("eve", 0), await at("ada", 0), await at("ada", 1)];
  const [bob0, bob1] = [await at("bob", 0), await at("bob", 1)];
  for (const [index, visitor] of [eve, ada0, ada1, bob0, bob1].entries()) await visitor.move(index);
  await watcher.hears("bob", 4);
  // One connection of two leaves by itself; the next to leave in the same worker shows that this one was dealt with.
  await bob0.leave();
  const last = await at("last", 0);
  await last.move("here");
  await last.leave();
  await watcher.hears("last", null);
  assert.deepEqual(watcher.of("bob"), [3, 4], "still there by the other worker");
  kill((await node.workerPids())[0] ?? 0, "SIGKILL");
  await watcher.hears("eve", null);
  await ada1.move("again");
  await watcher.hears("ada", "again");
  assert.deepEqual(watcher.of("ada"), [1, 2, "again"], "still there by the other worker");
  await Promise.all([ada1.leave(), bob1.leave()]);
  await watcher.hears("ada", null);
  await watcher.hears("bob", null);
  assert.deepEqual(watcher.of("eve"), [0, null], "once");
});
