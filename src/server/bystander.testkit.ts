import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CODE } from "../protocol/frames.js";
import { type ConfigInput, createConfig } from "./config.js";
import { RawSocket } from "./raw-socket.testkit.js";
import { type RunningServer, startServer } from "./server.js";
import { WireClient } from "./wire-client.testkit.js";

const ROOM = "bystander.all";

/** A server on a free port, gone when the test is over. */
export async function startTestServer(t: TestContext, input: ConfigInput = {}): Promise<RunningServer> {
  // A busy machine makes any loop late, and handshakes refused for it are no test's matter.
  const limits = { handshakeLagMs: 60_000, ...input.limits };
  const server = await startServer(createConfig({ port: 0, log: { level: "silent" }, ...input, limits }));
  t.after(() => server.stop(200));
  return server;
}

/**
 * Somebody who does everything right while others do not: one publisher over HTTP, a few hundred messages a second, and
 * one subscriber, who must see every message in order.
 */
export class Bystander {
  readonly #client: WireClient;
  #published = 0;
  #slowestMs = 0;
  #running = true;
  readonly #done: Promise<void>;

  private constructor(client: WireClient, publisher: RawSocket) {
    this.#client = client;
    this.#done = this.#publish(publisher);
  }

  static async start(server: RunningServer): Promise<Bystander> {
    const client = await WireClient.open(server.port);
    await client.subscribe(ROOM);
    return new Bystander(client, await RawSocket.connect(server.port));
  }

  /** Ends, and checks. Nobody was served so late that they would have noticed. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
    const messages = await this.#client.arrived(ROOM, this.#published);
    assert.ok(this.#published > 0);
    assert.deepEqual(
      messages.map(({ data }) => data),
      Array.from({ length: this.#published }, (_, index) => index + 1),
    );
    assert.equal(this.#client.gaps + this.#client.duplicates, 0);
    assert.ok(this.#slowestMs < 1_000, `a publish took ${this.#slowestMs} ms`);
    this.#client.destroy();
  }

  async #publish(publisher: RawSocket): Promise<void> {
    while (this.#running) {
      this.#published += 1;
      const body = String(this.#published);
      const startMs = performance.now();
      publisher.write(
        `POST /v1/rooms/${ROOM}/messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      const { status } = await publisher.answer();
      assert.equal(status, 200);
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startMs);
      // What the server sends counts for nothing: who listens only must ping.
      if (this.#published % 100 === 0) this.#client.send([CODE.ping, 0]);
      await sleep(2);
    }
    publisher.destroy();
  }
}
