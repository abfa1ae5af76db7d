import { after, before, describe, test } from "node:test";
import { CodedError } from "../../protocol/errors.js";
import { FaultRig } from "./fault-rig.testkit.js";
import type { Ledger } from "./ledger.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { NatsServer, pause } from "./nats-server.testkit.js";
import type { Reader } from "./reader.testkit.js";

let server: NatsServer;

before(async () => {
  server = await NatsServer.start();
});

after(() => server.dispose());

/** Two nodes that publish and follow, and a third on which every room is opened and closed all the time. */
describe("who opens a room gets everything from there on until it closes it", () => {
  test("while messages come, and while the node is cut off and the server dies", async (t) => {
    const rig = await FaultRig.start(t, server);
    const node = await rig.startNode();
    const churn = new Churn(rig, node);
    rig.publish();
    await rig.books.publishedMore(200);
    rig.way(2, "closed");
    rig.whisper();
    await rig.books.publishedMore(30);
    rig.way(2, "open");
    await rig.noticed(2);
    await rig.books.publishedMore(50);
    rig.whisper();
    await server.kill();
    await server.start();
    await rig.allAvailable();
    rig.whisper();
    await rig.books.publishedMore(100);
    await churn.stop();
    await rig.finish(t);
    t.diagnostic(`${churn.opened} times opened, ${churn.refused} refused`);
  });
});

/** Opens and closes rooms on one node, each again and again for a random while. */
class Churn {
  opened = 0;
  refused = 0;
  #running = true;
  readonly #lanes: Promise<void>[];
  readonly #rig: FaultRig;
  readonly #node: NatsBroker;

  constructor(rig: FaultRig, node: NatsBroker) {
    this.#rig = rig;
    this.#node = node;
    this.#lanes = rig.books.ledgers.map((ledger) => this.#churn(ledger));
  }

  /** Rooms that are open stay so. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#lanes);
  }

  async #churn(ledger: Ledger): Promise<void> {
    for (let turn = 0; this.#running; turn += 1) {
      const reader = await this.#open(ledger, turn);
      await pause(Math.random() * OPEN_MS_MAX);
      if (reader === undefined || !this.#running) continue;
      this.#node.close(ledger.room);
      reader.close();
    }
  }

  async #open(ledger: Ledger, turn: number): Promise<Reader | undefined> {
    try {
      const reader = await this.#rig.books.open(`churn ${turn}`, this.#node, ledger);
      this.opened += 1;
      return reader;
    } catch (cause) {
      if (!(cause instanceof CodedError) || cause.code !== "unavailable") throw cause;
      this.refused += 1;
      return undefined;
    }
  }
}

const OPEN_MS_MAX = 60;
