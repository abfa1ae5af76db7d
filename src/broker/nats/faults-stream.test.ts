import assert from "node:assert/strict";
import { after, before, describe, type TestContext, test } from "node:test";
import type { ResetReason } from "../../protocol/frames.js";
import { parseServers } from "./connection.js";
import { FaultRig, type RigOptions } from "./fault-rig.testkit.js";
import { FAULT_NAMESPACES } from "./fault-settings.testkit.js";
import { accessAs } from "./nats-accounts.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";
import { prepareProvisioning } from "./provision.js";
import { preparePurge } from "./purge.js";
import type { Reader } from "./reader.testkit.js";

let server: NatsServer;

before(async () => {
  server = await NatsServer.start();
});

after(() => server.dispose());

/** Two nodes on one server, whose streams are tampered with while both publish. */
describe("nobody misses anything without being told, and nobody is told without reason, where", {
  concurrency: 3,
}, () => {
  test("streams are purged whole while nothing comes", async (t) => {
    const rig = await publishing(t);
    rig.whisper();
    await settled(rig);
    for (const kind of KINDS) await purge(rig, kind);
    rig.publish();
    rig.whisper();
    await rig.books.publishedMore(100);
    const plain = rig.books.readers.filter(({ ledger }) => isOf(ledger.room, "plain"));
    await told(plain, "purged");
    await rig.finish(t, () => ["purged"]);
  });

  test("the messages of one room are purged", async (t) => {
    const rig = await FaultRig.start(t, server);
    // The stream's first message stays, so that of other rooms nothing can be gone.
    for (const ledger of rig.books.busy)
      if (ledger.room === "log.b") await rig.books.put(rig.member(0), ledger);
    rig.publish();
    rig.whisper();
    await rig.books.publishedMore(100);
    await settled(rig);
    const rooms = ["log.a", "log.quiet0"];
    const isPurged = ({ ledger }: Reader): boolean => rooms.includes(ledger.room);
    for (const ledger of rig.books.ledgers.filter(({ room }) => rooms.includes(room))) {
      const upTo = (await rig.admin.stream(rig.stream("plain"))).state.last_seq;
      await rig.admin.insist(`STREAM.PURGE.${rig.stream("plain")}`, { filter: rig.subject(ledger.room) });
      ledger.purged(upTo);
    }
    rig.publish();
    rig.whisper();
    await rig.books.publishedMore(100);
    await told(rig.books.readers.filter(isPurged), "purged");
    // Those who had such a room open have written it down for those who had not, and come back.
    const isWritten = async (): Promise<boolean> => {
      const request = { last_by_subj: `${rig.prefix}.ctl.purges` };
      const control = `STREAM.MSG.GET.${rig.prefix.toUpperCase()}_CTL`;
      const answer = await rig.admin
        .api<{ message: { data: string } }>(control, request)
        .catch(() => undefined);
      const record = Buffer.from(answer?.message.data ?? "", "base64").toString();
      return rooms.every((room) => record.includes(`"${room.replaceAll(".", "~")}"`));
    };
    await until("it to be written down", isWritten);
    await rig.finish(t, (reader) => (isPurged(reader) ? ["purged"] : []));
  });

  test("rooms are purged by fanwire's command while messages come and a node is cut off", async (t) => {
    const rig = await FaultRig.start(t, server);
    // The streams' first messages stay, so that their numbers show nothing.
    for (const ledger of rig.books.busy)
      if (/\.b$/.test(ledger.room)) await rig.books.put(rig.member(0), ledger);
    rig.publish();
    rig.whisper();
    await rig.books.publishedMore(100);
    const names = ["log.a", "log.quiet0", "keyed.a", "keyed.quiet0"];
    const isPurged = ({ ledger }: Reader): boolean => names.includes(ledger.room);
    rig.way(1, "closed");
    await until("the node to notice", () => rig.nodes[1]?.available === false);
    const purging = await preparePurge({
      access: accessAs("provisioner", server.url),
      settings: FAULT_NAMESPACES,
      prefix: rig.prefix,
      partitions: 1,
      rooms: rig.books.ledgers.map(({ room }) => room).filter((room) => names.includes(room)),
    });
    t.after(() => purging.close());
    for (const { room, upTo } of purging.rooms)
      for (const ledger of rig.books.ledgers) if (ledger.room === room) ledger.purged(upTo);
    assert.ok((await purging.apply()).every((count) => count > 0));
    rig.way(1, "open");
    await rig.noticed(1);
    await rig.books.publishedMore(100);
    await told(rig.books.readers.filter(isPurged), "purged");
    // Where a stream is followed whole, nobody knows of which of its rooms what is gone from its midst was.
    await rig.finish(t, (reader) =>
      isPurged(reader) || (reader.name === "node 1" && isOf(reader.ledger.room, "keyed")) ? ["purged"] : [],
    );
  });

  test("streams are purged while messages come and a node is cut off", async (t) => {
    const rig = await publishing(t);
    rig.way(1, "closed");
    await until("the node to notice", () => rig.nodes[1]?.available === false);
    await rig.books.publishedMore(100);
    rig.whisper();
    for (const kind of KINDS) await purge(rig, kind);
    rig.way(1, "open");
    await rig.noticed(1);
    await rig.books.publishedMore(100);
    const late = rig.books.readers.filter(({ name, ledger }) => name === "node 1" && !ledger.quiet);
    await until("those that were cut off to be told", () => late.every(({ resets }) => resets.length > 0));
    await rig.finish(t, () => ["purged", "expired"]);
  });

  test("messages expire before a node that is cut off can read them", async (t) => {
    const rig = await seeded(t, { quiet: [], busy: ["log.a", "log.b", "keyed.a"] });
    await rig.admin.reconfigure(rig.stream("plain"), { max_age: 4e9, duplicate_window: 4e9 });
    const publish = (): void => {
      const [node] = rig.nodes;
      if (node !== undefined) rig.books.publish(node, { lanes: 3, pauseMs: 3 });
    };
    publish();
    await rig.books.publishedMore(100);
    rig.way(1, "closed");
    await until("the node to notice", () => rig.nodes[1]?.available === false);
    const goal = (await rig.admin.stream(rig.stream("plain"))).state.last_seq + 50;
    await until(
      "what it missed to expire",
      async () => (await rig.admin.stream(rig.stream("plain"))).state.first_seq > goal,
    );
    rig.way(1, "open");
    await rig.noticed(1);
    await rig.books.publishedMore(100);
    const isLate = ({ name, ledger }: Reader): boolean => name === "node 1" && ledger.room.startsWith("log");
    await rig.books.silence();
    await told(rig.books.readers.filter(isLate), "expired");
    await rig.books.balance((reader) => (isLate(reader) ? ["expired"] : []));
    t.diagnostic(rig.books.summary());
  });

  test("the stream's bound on bytes takes what a node that is cut off has not read", async (t) => {
    const rig = await seeded(t, { quiet: ["log.quiet0"], busy: ["log.a", "keyed.a"] });
    await rig.admin.reconfigure(rig.stream("plain"), { max_bytes: 10_000 });
    for (const node of rig.nodes) rig.books.publish(node, { lanes: 6, pauseMs: 3 });
    rig.whisper();
    await rig.books.publishedMore(100);
    rig.way(1, "closed");
    await until("the node to notice", () => rig.nodes[1]?.available === false);
    const goal = (await rig.admin.stream(rig.stream("plain"))).state.last_seq + 50;
    await until(
      "what it missed to be discarded",
      async () => (await rig.admin.stream(rig.stream("plain"))).state.first_seq > goal,
    );
    rig.way(1, "open");
    await rig.noticed(1);
    await rig.books.publishedMore(100);
    const isLate = ({ name, ledger }: Reader): boolean => name === "node 1" && ledger.room === "log.a";
    await rig.books.silence();
    await told(rig.books.readers.filter(isLate), "expired");
    // Of a quiet room's last message nobody knows whether it was the last.
    await rig.finish(t, (reader) =>
      isLate(reader) ? ["expired"] : reader.ledger.quiet ? ["purged", "expired"] : [],
    );
  });

  test("streams are deleted and created anew", async (t) => {
    const rig = await publishing(t);
    const before = new Set(rig.books.readers.map(({ start }) => start?.epoch));
    for (const kind of KINDS) await rig.admin.deleteStream(rig.stream(kind));
    rig.whisper();
    await provision(rig);
    await told(rig.books.readers, "epoch");
    await rig.books.publishedMore(100);
    await rig.finish(t, () => ["epoch"]);
    for (const { told, ledger } of rig.books.readers)
      for (const one of told)
        if (one.kind === "reset") assert.ok(!before.has(one.head.epoch), `${ledger.room}: a new epoch`);
  });

  /** Two nodes that open rooms with a message in each: of new ones nobody can know whether something came and went. */
  async function seeded(t: TestContext, options: RigOptions): Promise<FaultRig> {
    const rig = await FaultRig.start(t, server, { ...options, nodes: 0 });
    const node = await rig.startNode();
    for (const ledger of rig.books.ledgers) await rig.books.put(node, ledger);
    await rig.add("node 0", node);
    await rig.addNode();
    return rig;
  }
});

// Alone, as it stops the server.
test("nobody misses anything without being told where an older store is put back: numbers are given out again", async (t) => {
  const rig = await publishing(t);
  await rig.books.silence();
  await server.stop();
  const restore = await server.saveStore();
  await server.start();
  await rig.allAvailable();
  rig.publish();
  rig.whisper();
  await rig.books.publishedMore(100);
  await rig.books.silence();
  await rig.books.balance();
  const before = new Set(rig.books.readers.map(({ start }) => start?.epoch));
  await server.stop();
  await restore();
  await server.start();
  rig.publish();
  await told(rig.books.readers, "epoch");
  await rig.books.publishedMore(100);
  await rig.books.silence();
  await rig.readStreams();
  // What was stored with old numbers before anybody noticed has no epoch that is true. From there on all is as ever.
  const late = (): string[] => rig.books.readers.flatMap((reader) => reader.faultsSinceReset());
  await until("everybody to have all of the new numbering", () => late().length === 0).catch(() => undefined);
  assert.deepEqual(late(), []);
  t.diagnostic(rig.books.summary());
  for (const { room } of rig.books.ledgers) {
    const pages = await Promise.all(rig.nodes.map((node) => node.history(room, { last: 1 }, 1)));
    const epochs = new Set(pages.map(({ head }) => head.epoch));
    assert.equal(epochs.size, 1, "all nodes have the same epoch");
    for (const epoch of epochs) assert.ok(!before.has(epoch), "a new one");
  }
});

const KINDS = ["plain", "keyed"] as const;

async function publishing(t: TestContext, options: RigOptions = {}): Promise<FaultRig> {
  const rig = await FaultRig.start(t, server, options);
  rig.publish();
  await rig.books.publishedMore(100);
  return rig;
}

/** Removes everything that a stream has. */
async function purge(rig: FaultRig, kind: "plain" | "keyed"): Promise<void> {
  await rig.admin.insist(`STREAM.PURGE.${rig.stream(kind)}`);
  const { first_seq } = (await rig.admin.stream(rig.stream(kind))).state;
  for (const ledger of rig.books.ledgers) if (isOf(ledger.room, kind)) ledger.purged(first_seq - 1);
}

/** Silence, and everybody has everything. */
async function settled(rig: FaultRig): Promise<void> {
  await rig.books.silence();
  await rig.books.balance();
}

async function told(readers: readonly Reader[], reason: ResetReason): Promise<void> {
  const late = (): Reader[] => readers.filter(({ resets }) => !resets.includes(reason));
  await until(`everybody to be told ${reason}`, () => late().length === 0, 45_000).catch((cause: unknown) => {
    const names = late().map(({ name, ledger }) => `${name} ${ledger.room}`);
    throw new Error(`${String(cause)}, but not told were ${names.join(", ")}`);
  });
}

function isOf(room: string, kind: "plain" | "keyed"): boolean {
  return room.startsWith("keyed") === (kind === "keyed");
}

async function provision(rig: FaultRig): Promise<void> {
  const provisioning = await prepareProvisioning({
    access: parseServers(server.url),
    settings: FAULT_NAMESPACES,
    prefix: rig.prefix,
    partitions: 1,
    maxBytes: -1,
    dataBytes: 15_360,
  });
  await provisioning.apply(false);
  await provisioning.close();
}
