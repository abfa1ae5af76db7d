import assert from "node:assert/strict";
import { after, before, describe, type TestContext, test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { headers } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import { parseRoom } from "../../protocol/room-name.js";
import { FaultRig, type RigOptions } from "./fault-rig.testkit.js";
import type { Ledger } from "./ledger.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { NatsServer, pause, until } from "./nats-server.testkit.js";

let server: NatsServer;

before(async () => {
  server = await NatsServer.start();
});

after(() => server.dispose());

const isAnswer = (subject: string): boolean => subject.startsWith("_INBOX_");

/** Two nodes on one server; what was acknowledged is stored, once, and what is not says so. */
describe("a publish that is acknowledged is stored once where", () => {
  test("acknowledgements are lost: the node sends it again, and gives up at its deadline, and the publisher tries again", async (t) => {
    const limits = { ackMs: 200, publishMs: 700 };
    const rig = await publishing(t, { broker: { limits } });
    for (let turn = 0; turn < 2; turn += 1) {
      const { retriedPublishes, refusedPublishes } = nodeOf(rig, 0).counters;
      rig.ways[0]?.[0]?.lose(isAnswer);
      await until("publishes to be sent again and given up", () => {
        const { counters } = nodeOf(rig, 0);
        return counters.retriedPublishes > retriedPublishes && counters.refusedPublishes > refusedPublishes;
      });
      rig.ways[0]?.[0]?.lose(undefined);
      await rig.books.publishedMore(100);
    }
    assert.ok(rig.books.rejected > 0);
    await rig.finish(t);
  });

  test("NATS is away: some wait for it, the others are refused at once", async (t) => {
    const rig = await publishing(t, { broker: { limits: { awayMs: 4_000, outboxMessages: 40 } } });
    const node = nodeOf(rig, 1);
    const ledger = ledgerOf(rig);
    rig.way(1, "closed");
    await until("the node to notice", () => !node.available);
    let refused = 0;
    const outcomes = Array.from({ length: 200 }, async (_, index) => {
      const outcome = await store(node, ledger, `early ${index}`);
      if (outcome.position === undefined) refused += 1;
      return outcome;
    });
    await until("all above the bound to be refused", () => refused >= 160);
    let reason: string | undefined;
    for (let tries = 0; reason !== "not stored: NATS is away"; tries += 1) {
      ({ reason } = await store(node, ledger, `late ${tries}`));
      await pause(50);
    }
    assert.equal(node.available, false);
    rig.way(1, "open");
    await rig.noticed(1);
    const stored = (await Promise.all(outcomes)).filter(({ position }) => position !== undefined);
    assert.ok(stored.length > 0 && stored.length <= 40, `${stored.length} waited`);
    await rig.books.publishedMore(50);
    await rig.finish(t);
  });

  test("the server has no room left for more: nothing is acknowledged until it has", async (t) => {
    await server.configure({ jetstream: "max_file_store: 20KB" });
    await server.restart();
    t.after(async () => {
      await server.configure({});
      await server.restart();
    });
    const rig = await publishing(t, { broker: { limits: { publishMs: 500, ackMs: 300 } } });
    const { rejected } = rig.books;
    await until("publishes to be refused", () => rig.books.rejected > rejected + 5, 60_000);
    await server.configure({});
    await server.restart();
    await rig.allAvailable();
    await rig.books.publishedMore(100);
    await rig.finish(t);
  });

  test("it is tried again under the same id: once within the window, and a second time beyond it", async (t) => {
    const rig = await FaultRig.start(t, server, { busy: ["log.a"], quiet: [] });
    await rig.admin.reconfigure(rig.stream("plain"), { duplicate_window: 2e9 });
    const ledger = ledgerOf(rig);
    const first = await store(nodeOf(rig, 0), ledger, "once");
    const again = await store(nodeOf(rig, 1), ledger, "once");
    assert.deepEqual(again, first, "the same position, through another node");
    await forgets(rig);
    const beyond = await store(nodeOf(rig, 1), ledger, "once");
    assert.ok(offsetOf(beyond) > offsetOf(first), "the server has forgotten the id");
    const end = await store(nodeOf(rig, 0), ledger, "end");
    for (const { told } of rig.books.readers) {
      await until("the end", () => told.some((one) => one.kind === "message" && one.value === "end"));
      const offsets = told.map((one) => (one.kind === "message" ? one.offset : one.reason));
      assert.deepEqual(
        offsets.filter((one) => one === offsetOf(first) || one === offsetOf(beyond) || one === offsetOf(end)),
        [offsetOf(first), offsetOf(beyond), offsetOf(end)],
      );
    }
  });

  async function publishing(t: TestContext, options: RigOptions = {}): Promise<FaultRig> {
    const rig = await FaultRig.start(t, server, options);
    rig.publish();
    rig.whisper();
    await rig.books.publishedMore(100);
    return rig;
  }
});

interface Outcome {
  readonly position?: Position;
  readonly reason?: string;
}

function nodeOf(rig: FaultRig, index: number): NatsBroker {
  const node = rig.nodes[index];
  if (node === undefined) throw new Error(`there is no node ${index}`);
  return node;
}

function ledgerOf({ books }: FaultRig): Ledger {
  const [ledger] = books.busy;
  if (ledger === undefined) throw new Error("there is no room");
  return ledger;
}

/** Resolves when the server has forgotten all ids that it knows by now. */
async function forgets(rig: FaultRig): Promise<void> {
  const probe = headers();
  probe.set("Nats-Msg-Id", "probe");
  const isKnown = async (): Promise<boolean> => {
    const options = { headers: probe, timeout: 2_000 };
    const answer = await rig.admin.connection.request(rig.subject(parseRoom("log.probe")), "1", options);
    return answer.json<{ duplicate?: boolean }>().duplicate === true;
  };
  await isKnown();
  await until("the server to forget", async () => !(await isKnown()));
}

function offsetOf({ position, reason }: Outcome): number {
  if (position === undefined) throw new Error(`not stored: ${reason}`);
  return position.offset;
}

/** One try, entered into the books. */
async function store(node: NatsBroker, ledger: Ledger, value: string): Promise<Outcome> {
  const entry = ledger.entries.get(value) ?? { value, position: undefined };
  ledger.entries.set(value, entry);
  try {
    const position = await node.publish({ room: ledger.room, data: encode(value), id: value });
    entry.position = position;
    return { position };
  } catch (cause) {
    assert.ok(cause instanceof CodedError && cause.code === "unavailable", String(cause));
    assert.ok((cause.retryMs ?? 0) > 0, "it says when to try again");
    return { reason: cause.message };
  }
}
