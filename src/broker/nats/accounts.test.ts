import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, type TestContext, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, headers, type NatsConnection, PermissionViolationError } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import { dataOf, type Message } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { Collector } from "../conformance-rig.testkit.js";
import { ACCOUNTS_FILE, type AccountUser, accessAs } from "./nats-accounts.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { CONFORMANCE_NAMESPACES } from "./nats-broker.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";
import { DEFAULT_REVOCATIONS, prepareProvisioning } from "./provision.js";
import { startNatsBroker } from "./start.js";
import { encodeRoom, Subjects } from "./subjects.js";

const FILE = readFileSync(ACCOUNTS_FILE, "utf8");
const PARTITIONS = 64;
const DEADLINE_MS = 15_000;

describe("the documented accounts, as they are", () => {
  let server: NatsServer;
  let node: NatsBroker;

  before(async () => {
    server = await NatsServer.start({ bare: true, config: FILE });
    await provision(server, "fw");
    node = await startNode(server);
  });

  after(async () => {
    await node.stop(0);
    await server.dispose();
  });

  test("a publisher leaves the partition to the server, and nodes deliver it", async (t) => {
    const publisher = await as(t, "publisher", server);
    const log = parseRoom("log.orders");
    const keyed = parseRoom("keyed.fx");
    const eph = parseRoom("eph.cursor");
    const sink = new Collector(DEADLINE_MS);
    for (const room of [log, keyed, eph]) await node.open(room, sink);
    const answer = await publisher.request("fw.pub.log~orders", '{"qty": 7}');
    assert.equal(answer.json<{ seq: number }>().seq, 1);
    await publisher.request("fw.pubkey.keyed~fx.EUR", '{"bid": 1.08}');
    publisher.publish("fw.pubeph.eph~cursor", "[3, 4]");
    const messages = await sink.until(3);
    assert.deepEqual(byRoom(messages), {
      "log.orders": { qty: 7 },
      "keyed.fx": { bid: 1.08 },
      "eph.cursor": [3, 4],
    });
    assert.equal(messages.find(({ room }) => room === "keyed.fx")?.key, "EUR");
  });

  test("a reader gets what nodes and publishers send, live and stored, by plain subscriptions and direct reads", async (t) => {
    const reader = await as(t, "reader", server);
    const publisher = await as(t, "publisher", server);
    const seen: string[] = [];
    for (const subject of ["fw.live.*.read~a", "fw.livekey.*.keyed~read.*", "fw.eph.*.eph~read"])
      reader.subscribe(subject, { callback: (_, { subject }) => void seen.push(subject) });
    await reader.flush();
    const position = await publish(node, "log.other", 1);
    await publisher.request("fw.pub.read~a", "1");
    await publish(node, "keyed.read", 2, "k");
    await publish(node, "eph.read", 3);
    publisher.publish("fw.pubeph.eph~read", "4");
    await until("all live messages", () => seen.length === 4);
    assert.deepEqual(seen.map((subject) => subject.replace(/\d+/, "p")).sort(), [
      "fw.eph.p.eph~read",
      "fw.eph.p.eph~read",
      "fw.live.p.read~a",
      "fw.livekey.p.keyed~read.k",
    ]);
    const manager = await jetstreamManager(reader, { domain: "fanwire", checkAPI: false });
    const partition = new Subjects("fw", PARTITIONS).partitionOf(encodeRoom(parseRoom("log.other")));
    const subject = `fw.in.${partition}.log~other`;
    const last = await manager.direct.getMessage(`FW_${partition}`, { last_by_subj: subject });
    const next = await manager.direct.getMessage(`FW_${partition}`, { seq: 1, next_by_subj: subject });
    assert.deepEqual([last?.seq, next?.seq], [position.offset, position.offset]);
    assert.equal((await manager.streams.info(`FW_${partition}`)).state.last_seq, position.offset);
  });

  test("nobody may forge live messages, read others' answers, purge, delete, or write records that are not its own", async (t) => {
    const everybody: AccountUser[] = ["engine", "provisioner", "publisher", "reader"];
    const nobody = [
      ...["fw.live.0.log~a", "fw.livekey.0.keyed~a.k", "fw.livectl.plan", "fw.ctl.other", "other.in.0.a"],
      ...["fw.liverevoked.a", "fw.revoked.a.b"],
      ...["STREAM.DELETE.FW_0", "STREAM.MSG.DELETE.FW_0", "STREAM.DELETE.FW_CTL"].map(api),
      ...["STREAM.PURGE.FW_REVOKED", "STREAM.PURGE.FW_CTL"].map(api),
      ...["STREAM.RESTORE.FW_0", "STREAM.SNAPSHOT.FW_0", "STREAM.LEADER.STEPDOWN.FW_0", "STREAM.NAMES"].map(
        api,
      ),
      ...["CONSUMER.DURABLE.CREATE.FW_0.x", "CONSUMER.CREATE.FW_0"].map(api),
      ...["$JS.EVENT.ADVISORY.STREAM.CREATED.FW_0", "$SYS.REQ.SERVER.PING", "$KV.a.b"],
    ];
    const publishes: Record<AccountUser, string[]> = {
      engine: [
        "fw.ctl.plan",
        "_INBOX_publisher.a",
        api("STREAM.PURGE.FW_0"),
        api("STREAM.CREATE.X"),
        api("STREAM.UPDATE.FW_0"),
        api("INFO"),
      ],
      provisioner: [
        ...["fw.in.0.a", "fw.eph.0.a", "fw.ctl.epochs", "fw.revoked.a", "fw.presence", "_INBOX_engine.a"],
        api("DIRECT.GET.FW_0"),
      ],
      publisher: [
        "fw.revoked.a",
        "fw.presence",
        "fw.ctl.plan",
        "fw.ctl.epochs",
        "_INBOX_engine.a",
        api("STREAM.PURGE.FW_0"),
        api("STREAM.INFO.FW_0"),
        api("DIRECT.GET.FW_0"),
      ],
      reader: [
        "fw.in.0.a",
        "fw.key.0.a.k",
        "fw.eph.0.a",
        "fw.ctl.plan",
        api("STREAM.PURGE.FW_0"),
        "fw.revoked.a",
        "fw.presence",
        api("CONSUMER.CREATE.FW_0.x.fw.in.0.a"),
      ],
    };
    const subscriptions: Record<AccountUser, string[]> = {
      engine: ["_INBOX_provisioner.>", "_INBOX.>", "fw.in.*.*", "$JS.API.>"],
      provisioner: ["_INBOX_engine.>", "fw.presence", "fw.live.*.*", "$JS.ACK.>"],
      publisher: ["_INBOX_engine.>", "fw.presence", "_INBOX.>", "fw.live.*.*", "fw.in.*.*", "fw.eph.*.*"],
      reader: [
        "_INBOX_engine.>",
        "fw.presence",
        "_INBOX_publisher.>",
        "fw.in.*.*",
        "fw.ctl.*",
        "fw.livectl.*",
        "fw.liverevoked.*",
      ],
    };
    for (const user of everybody) {
      const connection = await as(t, user, server);
      const complaints = complaintsOf(connection);
      const violation = async (operation: Operation, subject: string, stream?: string) => {
        complaints.splice(0);
        await attempt(connection, operation, subject, stream);
        return complaints.find((complaint) => complaint.operation === operation)?.subject;
      };
      for (const subject of [...nobody, ...publishes[user]])
        assert.equal(await violation("publish", subject), subject, `${user} publishes to ${subject}`);
      for (const subject of [...subscriptions[user], ">", "_INBOX_*.>", "fw.>"])
        assert.equal(await violation("subscription", subject), subject, `${user} hears ${subject}`);
      // And what it may, it may.
      const own = {
        engine: "fw.ctl.epochs",
        provisioner: "fw.ctl.plan",
        publisher: "fw.eph.0.~",
        reader: "",
      }[user];
      assert.equal(await violation("subscription", `_INBOX_${user}.x`), undefined);
      if (own !== "") assert.equal(await violation("publish", own, "none"), undefined, own);
    }
  });

  test("revocations are for nodes: readers, who read any stream directly, do not read those", async (t) => {
    await node.revoke("sub eve", '{"sub":"eve"}');
    const reader = await as(t, "reader", server);
    const asked = (stream: string) =>
      reader.request(`$JS.fanwire.API.DIRECT.GET.${stream}`, '{"seq":1}', { timeout: 1_000 });
    await asked("FW_CTL");
    await assert.rejects(asked("FW_REVOKED"));
  });

  test("an answer cannot be sent where its asker may not publish: no purge, record or live message by way of a reply", async (t) => {
    const [publisher, reader, engine] = await Promise.all([
      as(t, "publisher", server),
      as(t, "reader", server),
      as(t, "engine", server),
    ]);
    await publisher.request("fw.in.0.kept", "1");
    const strays: string[] = [];
    for (const subject of ["fw.live.*.victim", "fw.livectl.*", "_INBOX_engine.victim"])
      engine.subscribe(subject, { callback: (_, { subject }) => void strays.push(subject) });
    await engine.flush();
    const before = await states(engine);
    const targets = [api("STREAM.PURGE.FW_0"), "fw.ctl.plan", "fw.ctl.epochs", "fw.live.0.victim"];
    for (const reply of [...targets, "_INBOX_engine.victim"]) {
      publisher.publish("fw.in.0.kept", "1", { reply });
      reader.publish("$JS.fanwire.API.DIRECT.GET.FW_0", '{"last_by_subj":"fw.in.0.kept"}', { reply });
    }
    await Promise.all([publisher.flush(), reader.flush()]);
    // Five messages more are stored, in order, and with the last of them all answers are given.
    await publisher.request("fw.in.0.kept", "1");
    const after = await states(engine);
    assert.deepEqual(after, { rooms: before.rooms + 6, records: before.records });
    assert.equal(strays.length, 0, strays.join());
    // Within the account it works, so that this test would see it, and nobody who is not trusted may be in there.
    engine.publish("fw.in.0.kept", "1", { reply: "fw.live.0.victim" });
    await until("the answer that was sent elsewhere", () => strays.length > 0);
  });

  test("rights that are taken away while a node runs stop it, which says which, and given back it goes on", async (t) => {
    const other = await NatsServer.start({ bare: true, config: FILE });
    t.after(() => other.dispose());
    await provision(other, "fw");
    const errors: string[] = [];
    const running = await startNode(other, {
      onNotice: ({ level, text }) => level === "error" && errors.push(text),
    });
    t.after(() => running.stop(0));
    await other.configure({
      bare: true,
      config: FILE.replace('"fw.key.*.*.*", "fw.eph.*.*", ', '"fw.eph.*.*", '),
    });
    await other.restart();
    await until("the node to refuse", () => running.available === false && errors.length > 0);
    assert.match(errors.join(), /NATS does not let this user publish to "fw\.key\.0\.~\.~"/);
    await assert.rejects(publish(running, "log.a", 1), /does not let this user publish to "fw\.key/);
    await other.configure({ bare: true, config: FILE });
    await other.restart();
    await until("the node to serve again", () => running.available);
    await publish(running, "keyed.a", 1);
  });
});

describe("a node that lacks a right does not start, and says which", () => {
  test("each of those in the file is needed", async (t) => {
    const begin = FILE.indexOf("{\n        user: engine");
    const block = FILE.slice(begin, FILE.indexOf("{\n        user: provisioner"));
    const needed = [...block.matchAll(/"([^"]+)"/g)].map(([, right = ""]) => right);
    assert.ok(needed.length >= 15);
    const users = needed.map((right, index) =>
      block.replace("user: engine", `user: without${index}`).replace(`"${right}"`, '"none"'),
    );
    const server = await NatsServer.start({
      bare: true,
      config: FILE.replace(block, block + users.join("\n")),
    });
    t.after(() => server.dispose());
    await provision(server, "fw");
    for (const [index, right] of needed.entries()) {
      const error = await refusal(startNode(server, { user: `without${index}` }));
      assert.equal(error.code, "forbidden", error.message);
      const named = /(?:publish|subscribe) to "([^"]+)"/.exec(error.message)?.[1] ?? "";
      assert.ok(covers(right, named), `${right} is missing, and it says: ${error.message}`);
      assert.match(error.message, /scripts\/nats-accounts\.conf/);
    }
  });

  test("another inbox prefix than the user's is named as what to change", async (t) => {
    const server = await NatsServer.start({ bare: true, config: FILE });
    t.after(() => server.dispose());
    const error = await refusal(startNode(server, { inboxPrefix: "_INBOX" }));
    assert.equal(error.code, "forbidden");
    assert.match(error.message, /subscribe to "_INBOX\.\w+\.\*".*nats\.inboxPrefix/);
  });

  test("nothing is provisioned: it is told who may do that; another prefix is as easy as the file says", async (t) => {
    const shop = FILE.replaceAll('"fw.', '"shop.').replaceAll(".FW_", ".SHOP_");
    const server = await NatsServer.start({ bare: true, config: shop });
    t.after(() => server.dispose());
    const other = await refusal(startNode(server));
    assert.match(other.message, /publish to "fw\.ctl\.epochs"/);
    const early = await refusal(startNode(server, { prefix: "shop", provision: true }));
    assert.equal(early.code, "forbidden");
    assert.match(
      early.message,
      /run "fanwire nats provision" as a user who may.*publish to "\$JS\.API\.INFO"/,
    );
    await provision(server, "shop");
    const node = await startNode(server, { prefix: "shop" });
    t.after(() => node.stop(0));
    assert.equal((await publish(node, "keyed.a", 1, "k")).offset, 1);
  });
});

interface NodeChoice {
  readonly user?: string;
  readonly inboxPrefix?: string;
  readonly prefix?: string;
  readonly provision?: boolean;
  readonly onNotice?: (notice: { readonly level: string; readonly text: string }) => void;
}

function startNode(server: NatsServer, choice: NodeChoice = {}): Promise<NatsBroker> {
  const {
    user = "engine",
    inboxPrefix = "_INBOX_engine",
    prefix = "fw",
    provision = false,
    onNotice,
  } = choice;
  return startNatsBroker({
    access: { ...accessAs("engine", server.url), user, inboxPrefix },
    settings: CONFORMANCE_NAMESPACES,
    ...{ prefix, partitions: PARTITIONS, provision, startMs: 30_000 },
    revoked: { bounds: DEFAULT_REVOCATIONS, onRevoked: () => undefined },
    gossips: true,
    ...(onNotice === undefined ? {} : { onNotice }),
  });
}

async function provision(server: NatsServer, prefix: string): Promise<void> {
  const provisioning = await prepareProvisioning({
    access: accessAs("provisioner", server.url),
    settings: CONFORMANCE_NAMESPACES,
    ...{ prefix, partitions: PARTITIONS, maxBytes: -1, dataBytes: 15_360 },
  });
  await provisioning.apply(false);
  await provisioning.close();
}

async function as(t: TestContext, user: AccountUser, server: NatsServer): Promise<NatsConnection> {
  const { servers, password = "", inboxPrefix = "" } = accessAs(user, server.url);
  const connection = await connect({ servers: [...servers], user, pass: password, inboxPrefix });
  t.after(() => connection.close());
  return connection;
}

type Operation = PermissionViolationError["operation"];

/** What the server does not allow, as it says so. */
function complaintsOf(connection: NatsConnection): PermissionViolationError[] {
  const complaints: PermissionViolationError[] = [];
  void (async () => {
    for await (const status of connection.status())
      if (status.type === "error" && status.error instanceof PermissionViolationError)
        complaints.push(status.error);
  })();
  return complaints;
}

/** Resolves when the server has said whether it allows that. */
async function attempt(
  connection: NatsConnection,
  operation: Operation,
  subject: string,
  stream?: string,
): Promise<void> {
  if (operation === "subscription") {
    const subscription = connection.subscribe(subject, { callback: () => undefined });
    await connection.flush();
    if (!subscription.isClosed()) subscription.unsubscribe();
  } else {
    // Asked for a stream that is none, what is allowed is not stored all the same.
    const options = { headers: headers() };
    if (stream !== undefined) options.headers.set("Nats-Expected-Stream", stream);
    connection.publish(subject, "", options);
    await connection.flush();
  }
  // Complaints come by way of an iterator, some turns later.
  await new Promise((resolve) => setImmediate(resolve));
}

async function states(engine: NatsConnection): Promise<{ rooms: number; records: number }> {
  const messages = async (stream: string): Promise<number> => {
    const reply = await engine.request(api(`STREAM.INFO.${stream}`), "", { timeout: 5_000 });
    return reply.json<{ state: { messages: number } }>().state.messages;
  };
  return { rooms: await messages("FW_0"), records: await messages("FW_CTL") };
}

async function refusal(starting: Promise<NatsBroker>): Promise<CodedError> {
  const outcome = await starting.catch((cause: unknown) => cause);
  if (outcome instanceof CodedError) return outcome;
  throw new Error(`it was not refused: ${String(outcome)}`);
}

/** Whether a right with wildcards covers a subject. */
function covers(right: string, subject: string): boolean {
  const pattern = right.replaceAll(/[.$]/g, String.raw`\$&`).replaceAll("*", "[^.]+").replace(/>$/, ".+");
  return new RegExp(`^${pattern}$`).test(subject);
}

function api(call: string): string {
  return `$JS.API.${call}`;
}

function publish(node: NatsBroker, room: string, value: number, key?: string) {
  return node.publish({ room: parseRoom(room), data: encode(value), key });
}

function byRoom(messages: readonly Message[]): Record<string, unknown> {
  return Object.fromEntries(messages.map((message) => [message.room, decode(dataOf(message))]));
}
