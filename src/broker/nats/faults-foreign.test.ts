import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, describe, type TestContext, test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import { parseRoom } from "../../protocol/room-name.js";
import { FaultRig, type RigOptions } from "./fault-rig.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";

let server: NatsServer;

before(async () => {
  server = await NatsServer.start();
});

after(() => server.dispose());

describe("nobody is given anything wrong where a foreign client", () => {
  test("forges live messages, which it may not", async (t) => {
    const rig = await publishing(t);
    const foreigner = await RawClient.connect(t, server, "publisher:publisher-secret");
    for (const { room } of rig.books.busy) {
      const live = rig.subject(room).replace(".in.", ".live.").replace(".key.", ".livekey.");
      const subject = room.startsWith("keyed") ? `${live}.k1` : live;
      for (const [sequence, last] of [
        [1, 0],
        [1_000_000, 999_999],
        [2 ** 53, 5],
      ])
        foreigner.publish(subject, headersOf(subject, sequence ?? 0, last ?? 0), "forged");
    }
    await until("all to be refused", () => foreigner.received.split("Permissions Violation").length > 15);
    await rig.books.publishedMore(60);
    await rig.finish(t);
  });

  test("forges live messages with every right: what is of another room is left out, what fits is found out and told", async (t) => {
    const rig = await publishing(t);
    const foreigner = await RawClient.connect(t, server, "admin:admin");
    const plain = rig.books.readers.filter(({ ledger }) => !ledger.room.startsWith("keyed"));
    const misplaced = (): number =>
      rig.nodes.reduce((sum, { counters }) => sum + counters.misplacedMessages, 0);
    for (const { room } of rig.books.busy) {
      const live = rig.subject(room).replace(".in.", ".live.").replace(".key.", ".livekey.");
      const subject = room.startsWith("keyed") ? `${live}.k1` : live;
      foreigner.publish(subject, headersOf(rig.subject(parseRoom("log.other")), 1_000_000, 5), '"forged"');
    }
    await until("those of another room to be left out", () => misplaced() >= 2 * rig.books.busy.length);
    await rig.books.publishedMore(60);
    await rig.books.silence();
    await rig.books.balance();
    // Each room's head is known to who may read all: these continue it.
    for (const { room } of rig.books.busy) {
      if (room.startsWith("keyed")) continue;
      const last = rig.books.readers.find(({ ledger }) => ledger.room === room)?.last;
      assert.ok(last?.kind === "message");
      const live = rig.subject(room).replace(".in.", ".live.");
      foreigner.publish(live, headersOf(rig.subject(room), last.offset + 500, last.offset), '"forged"');
    }
    await until("them to be delivered, as nothing tells them from true ones", () =>
      plain.some(({ told }) => told.some((one) => one.kind === "message" && one.value === "forged")),
    );
    rig.publish();
    rig.whisper();
    const late = (): string[] =>
      plain.filter(({ ledger }) => !ledger.quiet).flatMap((reader) => reader.faultsSinceReset());
    await rig.books.publishedMore(100);
    await rig.books.silence();
    await until("all to be told, and to have everything since", () => late().length === 0, 60_000).catch(
      () => undefined,
    );
    assert.deepEqual(late(), []);
    const told = new Set(plain.flatMap(({ resets }) => resets));
    t.diagnostic(`${rig.books.summary()}; told: ${[...told].join()}`);
    for (const node of rig.nodes) assert.equal(node.counters.sinkErrors, 0);
  });

  test("stores messages with headers that are the server's to write", async (t) => {
    const rig = await publishing(t);
    const foreigner = await RawClient.connect(t, server, "publisher:publisher-secret");
    let forged = 0;
    for (const ledger of rig.books.ledgers) {
      const subject = ledger.room.startsWith("keyed")
        ? `${rig.subject(ledger.room)}.k1`
        : rig.subject(ledger.room);
      for (const [sequence, last] of [
        [1, 0],
        [1_000_000, 999_999],
        [2 ** 53, -1],
      ]) {
        forged += 1;
        ledger.entries.set(`forged ${forged}`, { value: `forged ${forged}`, position: undefined });
        foreigner.publish(
          subject,
          headersOf(subject, sequence ?? 0, last ?? 0),
          JSON.stringify(`forged ${forged}`),
        );
      }
    }
    await rig.books.publishedMore(60);
    await rig.books.silence();
    const isThere = ({ messages }: { messages: number }): boolean => messages > 0;
    assert.ok(rig.books.readers.every(isThere), "quiet rooms got what the foreigner stored");
    await rig.finish(t);
  });

  test("publishes to subjects that are wildcards, have empty tokens or line breaks, or are of no room", async (t) => {
    const rig = await publishing(t);
    const foreigner = await RawClient.connect(t, server, "admin:admin");
    for (const kind of ["in", "live", "key", "livekey", "eph"])
      for (const rest of TOKENS) foreigner.publish(`${rig.prefix}.${kind}.0.${rest}`, undefined, '"stray"');
    for (const rest of TOKENS) foreigner.publish(`${rig.prefix}.${rest}`, undefined, '"stray"');
    await foreigner.flush();
    rig.whisper();
    await rig.books.publishedMore(60);
    // The keyed stream's numbers go on, whatever was stored in between.
    await rig.finish(t);
  });

  async function publishing(t: TestContext, options: RigOptions = {}): Promise<FaultRig> {
    const rig = await FaultRig.start(t, server, options);
    rig.publish();
    await rig.books.publishedMore(60);
    return rig;
  }
});

describe("names that mean something to NATS", () => {
  test("are refused as rooms", () => {
    for (const name of [
      "a*",
      "a.>",
      "a..b",
      ".a",
      "a.",
      "",
      "a b",
      "a\r\nPUB x 0\r\n",
      "a\u0000",
      "a~b",
      "a.*.b",
    ])
      assert.throws(
        () => parseRoom(name),
        (error) => error instanceof CodedError && error.code === "room_invalid",
        JSON.stringify(name),
      );
  });

  test("are keys, ids and origins like any other", async (t) => {
    const rig = await FaultRig.start(t, server, { busy: [], quiet: ["keyed.a", "log.a"] });
    const [one, other] = rig.nodes;
    assert.ok(one !== undefined && other !== undefined);
    const names = [
      "*",
      ">",
      "a.b",
      "a..b",
      ".",
      "",
      " ",
      "a\r\nPUB x 0\r\n\r\n",
      "\u0000",
      "~",
      "%",
      "%%",
      "ü*€",
      "\r\nNats-Sequence: 7",
    ];
    for (const ledger of rig.books.ledgers)
      for (const name of names) {
        const value = `${ledger.room} ${JSON.stringify(name)}`;
        const entry = { value, position: undefined };
        ledger.entries.set(value, entry);
        const outgoing = { room: ledger.room, data: encode(value), key: name, origin: name, id: name };
        const position: Position = await one.publish(outgoing);
        ledger.entries.set(value, { value, position });
        assert.deepEqual(await other.publish(outgoing), position, "the id is the same on every node");
        const page = await other.history(ledger.room, { last: 1 }, 1);
        assert.ok(page.kind === "page");
        assert.deepEqual(
          [page.messages[0]?.key, page.messages[0]?.origin],
          [name, name === "" ? undefined : name],
        );
      }
    const [keyed] = rig.books.ledgers;
    const { messages } = await other.state(keyed?.room ?? parseRoom("none"));
    assert.deepEqual(
      messages.map(({ key }) => key),
      names,
    );
    await rig.finish(t);
  });
});

const TOKENS = [
  "*.>",
  "*",
  ">",
  "a.*",
  "",
  ".",
  "a..b",
  "a.b.c.d",
  "~",
  "~~",
  "a~",
  "log~a.",
  "log~a*",
  "log~a\u0000",
  "ü",
  `${"x".repeat(300)}`,
];

/** As the server writes them, and a second time as it would if the first were believed. */
function headersOf(subject: string, sequence: number, last: number): string {
  return `NATS/1.0\r\nNats-Stream: X\r\nNats-Subject: ${subject}\r\nNats-Sequence: ${sequence}\r\nNats-Last-Sequence: ${last}\r\n\r\n`;
}

/** A client that writes what it likes. */
class RawClient {
  readonly #socket: Socket;
  received = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1").on("data", (text: string) => {
      this.received += text;
    });
    socket.on("error", () => undefined);
  }

  static async connect(t: TestContext, { port }: NatsServer, user: string): Promise<RawClient> {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    const client = new RawClient(socket);
    await once(socket, "connect");
    const [name, pass] = user.split(":");
    socket.write(
      `CONNECT ${JSON.stringify({ user: name, pass, verbose: false, pedantic: false, headers: true, protocol: 1 })}\r\n`,
    );
    await client.flush();
    return client;
  }

  /** Not checked, here or by the client library. */
  publish(subject: string, headers: string | undefined, data: string): void {
    const head = Buffer.from(headers ?? "", "latin1");
    const body = Buffer.from(data);
    const sizes = headers === undefined ? `${body.length}` : `${head.length} ${head.length + body.length}`;
    this.#socket.write(`${headers === undefined ? "PUB" : "HPUB"} ${subject} ${sizes}\r\n`);
    this.#socket.write(Buffer.concat([head, body, Buffer.from("\r\n")]));
  }

  /** Resolves when the server has taken everything. */
  async flush(): Promise<void> {
    const pongs = (): number => this.received.split("PONG\r\n").length;
    const before = pongs();
    this.#socket.write("PING\r\n");
    await until("the server's answer", () => pongs() > before || this.#socket.destroyed);
  }
}
