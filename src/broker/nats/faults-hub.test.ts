import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, describe, type TestContext, test } from "node:test";
import type { ResetReason } from "../../protocol/frames.js";
import { DEADLINE_MS, SocketFolder } from "../hub/hub.testkit.js";
import { DEFAULT_HUB_LIMITS } from "../hub/hub-limits.js";
import { connectHub, type HubLink } from "../hub/hub-link.js";
import { Program } from "../hub/program.testkit.js";
import { FaultRig } from "./fault-rig.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import type { NatsHubReport } from "./nats-hub-program.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";
import type { Reader } from "./reader.testkit.js";

/** Keeps less for a client that does not read than servers do by default. */
const IMPATIENT = "max_pending: 4MB";
('ping_interval: "500ms"\nping_max: 1\nwrite_deadline: "300ms"\nmax_payload: 100000\nmax_pending: 300000');

let server: NatsServer;

before(async () => {
  server = await NatsServer.start({ config: IMPATIENT });
});

after(() => server.dispose());

/** One node in this process, and a hub in its own behind a link, as a worker has it. */
describe("who follows rooms through a hub misses nothing where", () => {
  test("the hub's loop stands still until the server cuts the hub off", async (t) => {
    const { rig, node, box } = await start(t);
    const release = box.block();
    rig.books.whisper([node]);
    await burstUntilCut(rig, node);
    await release();
    await box.cutAndBack();
    await rig.books.publishedMore(50);
    await rig.finish(t, toldOf("bare"));
  });

  test("the hub is stopped until the server cuts it off, and goes on", async (t) => {
    const { rig, node, box } = await start(t);
    box.hub.signal("SIGSTOP");
    rig.books.whisper([node]);
    await burstUntilCut(rig, node);
    box.hub.signal("SIGCONT");
    await box.cutAndBack();
    await rig.books.publishedMore(50);
    await rig.finish(t, toldOf("bare"));
  });

  test("the hub is killed and another one takes its place, twice", async (t) => {
    const { rig, node, box } = await start(t);
    for (let turn = 0; turn < 2; turn += 1) {
      await box.hub.kill();
      await until("the link to notice", () => !box.link.linked);
      rig.books.whisper([node]);
      await rig.books.publishedMore(50);
      await box.startHub();
      await box.link.ready(DEADLINE_MS);
      await rig.books.publishedMore(50);
    }
    await rig.finish(t, toldOf("bare"));
  });

  async function start(t: TestContext): Promise<{ rig: FaultRig; node: NatsBroker; box: Box }> {
    const rig = await FaultRig.start(t, server, { nodes: 1 });
    const [node] = rig.nodes;
    assert.ok(node !== undefined);
    const box = await Box.start(t, rig.prefix);
    await rig.add("worker", box.link);
    rig.publish();
    await rig.books.publishedMore(50);
    return { rig, node, box };
  }
});

/** Who was away for longer than memory reaches is told, where a namespace keeps no history. */
function toldOf(namespace: string): (reader: Reader) => readonly ResetReason[] {
  return ({ ledger, name }) =>
    name === "worker" && ledger.room.startsWith(`${namespace}.`) ? ["expired"] : [];
}

/** Publishes far more than the server keeps for a client, until it cuts one that does not read. */
async function burstUntilCut({ books }: FaultRig, node: NatsBroker): Promise<void> {
  const cuts = async (): Promise<number> => (await server.log()).split("Slow Consumer").length;
  const before = await cuts();
  for (let turn = 0; (await cuts()) === before; turn += 1) {
    assert.ok(turn < BURSTS_MAX, "the server did not cut the hub off");
    await books.burst(node, 200, 14_000);
  }
}

const BURSTS_MAX = 40;

/** A hub's process and a worker's link to it. */
class Box {
  readonly link: HubLink;
  hub: Program<NatsHubReport>;
  readonly #args: readonly string[];

  readonly #folder: SocketFolder;

  private constructor(
    folder: SocketFolder,
    hub: Program<NatsHubReport>,
    link: HubLink,
    args: readonly string[],
  ) {
    this.#folder = folder;
    this.hub = hub;
    this.link = link;
    this.#args = args;
  }

  static async start(t: TestContext, prefix: string): Promise<Box> {
    const folder = new SocketFolder();
    const socketPath = folder.at("hub.sock");
    const args = [socketPath, prefix, server.url];
    const hub = await Program.start<NatsHubReport>(PROGRAM, args);
    const link = connectHub({ socketPath, worker: "test", limits: DEFAULT_HUB_LIMITS });
    const box = new Box(folder, hub, link, args);
    t.after(async () => {
      await link.stop(0);
      box.hub.signal("SIGCONT");
      await box.hub.kill();
      folder.dispose();
    });
    await link.ready(DEADLINE_MS);
    return box;
  }

  /** The hub's event loop stands still until it is released. */
  block(): () => Promise<void> {
    const file = this.#folder.at("released");
    const blocked = this.hub.report({ blockUntil: file });
    return async () => {
      await writeFile(file, "");
      await blocked;
    };
  }

  /** Resolves when the hub has lost its connection to NATS and has one again. */
  async cutAndBack(): Promise<void> {
    await this.hub.until(
      ({ available, counters }) => available && counters.disconnects > 0,
      "cut off and back",
    );
  }

  async startHub(): Promise<void> {
    this.hub = await Program.start<NatsHubReport>(PROGRAM, this.#args);
  }
}

const PROGRAM = "../nats/nats-hub-program.testkit.js";
