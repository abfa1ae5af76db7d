import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { Client, type Subscription } from "../client/index.js";

const ROOM = "honest.all";
const EVERY_MS = 10;
const DEADLINE_MS = 30_000;

interface Neighbour {
  readonly client: Client;
  readonly subscription: Subscription<readonly [number, number]>;
  readonly numbers: number[];
  readonly resets: string[];
}

/** How late deliveries to honest clients were, in milliseconds from before the publish to the client's hands. */
export interface Lateness {
  readonly deliveries: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/**
 * Clients that do everything right while others do not: a publisher over HTTP, a hundred messages a second, and
 * subscribers that must get every message once and in order.
 */
export class Neighbours {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #all: Neighbour[] = [];
  #late: number[] = [];
  #published = 0;
  #running = true;
  #publishing: Promise<void> = Promise.resolve();

  private constructor(url: string) {
    this.#url = url;
  }

  static async open(url: string, count: number): Promise<Neighbours> {
    const neighbours = new Neighbours(url);
    for (let index = 0; index < count; index += 1) neighbours.#join();
    await neighbours.#until("live", () =>
      neighbours.#all.every(({ subscription }) => subscription.state.kind === "live"),
    );
    neighbours.#publishing = neighbours.#publish();
    await neighbours.caughtUp();
    return neighbours;
  }

  /** Waits until everybody has what was published by now, and asserts that it is all, in order, once. */
  async caughtUp(): Promise<Lateness> {
    const target = this.#published + 1;
    await this.#until(`at message ${target}`, () =>
      this.#all.every(({ numbers }) => (numbers.at(-1) ?? 0) >= target),
    );
    for (const { numbers, resets } of this.#all) {
      assert.deepEqual(resets, []);
      const at = numbers.findIndex((number, index) => number !== index + 1);
      assert.equal(at, -1, `message ${numbers[at]} came after ${numbers[at - 1]}`);
    }
    const late = this.#late.sort((a, b) => a - b);
    this.#late = [];
    const share = (part: number) =>
      Math.round(late[Math.min(late.length - 1, Math.floor(late.length * part))] ?? 0);
    return { deliveries: late.length, p50Ms: share(0.5), p99Ms: share(0.99), maxMs: share(1) };
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#publishing;
    for (const { client } of this.#all) client.close();
    this.#agent.destroy();
  }

  #join(): void {
    const client = new Client(`${this.#url.replace(/^http/, "ws")}/ws`, {
      WebSocket,
      backoffBaseMs: 50,
      backoffCapMs: 500,
    });
    const subscription = client.subscribe<readonly [number, number]>(ROOM);
    const neighbour: Neighbour = { client, subscription, numbers: [], resets: [] };
    subscription.on("message", ({ data: [number, atMs] }) => {
      neighbour.numbers.push(number);
      this.#late.push(Date.now() - atMs);
    });
    subscription.on("reset", ({ reason }) => neighbour.resets.push(reason));
    this.#all.push(neighbour);
  }

  async #publish(): Promise<void> {
    while (this.#running) {
      const number = this.#published + 1;
      const body = JSON.stringify([number, Date.now()]);
      // The same id until it is stored: once, however often it is sent.
      while (this.#running && !(await this.#post(body, `n${number}`))) await sleep(EVERY_MS);
      this.#published = number;
      await sleep(EVERY_MS);
    }
  }

  #post(body: string, id: string): Promise<boolean> {
    return new Promise((resolve) => {
      const sent = request(`${this.#url}/v1/rooms/${ROOM}/messages`, {
        agent: this.#agent,
        method: "POST",
        headers: { "content-type": "application/json", "content-length": body.length, "idempotency-key": id },
        timeout: 10_000,
      });
      sent.on("timeout", () => sent.destroy());
      sent.on("error", () => resolve(false));
      sent.on("response", (response) => {
        response.resume();
        response.on("error", () => resolve(false));
        response.on("close", () => resolve(response.statusCode === 200));
      });
      sent.end(body);
    });
  }

  async #until(what: string, isSo: () => boolean): Promise<void> {
    const endMs = Date.now() + DEADLINE_MS;
    while (!isSo()) {
      const states = this.#all
        .map(({ client, numbers }) => `${client.state.kind} ${numbers.at(-1)}`)
        .join(", ");
      assert.ok(Date.now() < endMs, `honest clients are not ${what}: ${states}`);
      await sleep(5);
    }
  }
}
