import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { KeyAge } from "../broker/key-age.js";
import { MemoryBroker } from "../broker/memory.js";
import { freshPrefix, startTestBroker } from "../broker/nats/nats-broker.testkit.js";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import type { Broker } from "../core/ports.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings, type SettingsOf } from "../core/settings.js";
import type { Rate } from "../protocol/frames.js";
import { eventually, type Rig, startRig } from "../server/gateway-rig.testkit.js";
import { Client, type Message, type StateMap } from "./index.js";

const SYMBOLS = 5_000;
const BOARD = "board.fx";
/** A room of keys that are forgotten after a second. */
const AGING = "board.aging";
const FEED_MS = 1;
const DEADLINE_MS = 30_000;

const SETTINGS: RoomSettings = {
  ...DEFAULT_ROOM_SETTINGS,
  state: true,
  history: { messages: 10_000, seconds: 3_600 },
};
const settingsOf: SettingsOf = (room) => ({ ...SETTINGS, stateSeconds: room === AGING ? 1 : 0 });

const BROKERS: readonly (readonly [name: string, start: (t: TestContext) => Promise<Broker>])[] = [
  ["the memory broker", async () => new MemoryBroker({ settingsOf })],
  [
    "NATS",
    async (t) => {
      const server = await NatsServer.start();
      t.after(() => server.dispose());
      const settings = { defaults: DEFAULT_ROOM_SETTINGS, byName: { board: SETTINGS } };
      const nats = await startTestBroker(server.url, { prefix: freshPrefix(), partitions: 1, settings });
      return new KeyAge(nats, settingsOf);
    },
  ],
];

/** Publishes numbers that go up, under keys, and knows the latest of each that is stored. */
class Feed {
  readonly latest = new Map<string, number>();
  readonly #rig: Rig;
  #number = 0;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  async put(key: string): Promise<void> {
    this.#number += 1;
    const number = this.#number;
    await this.#rig.publish(BOARD, number, key);
    this.latest.set(key, number);
  }

  async remove(key: string): Promise<void> {
    await this.#rig.publish(BOARD, null, key);
    this.latest.delete(key);
  }

  /** Goes on in the background, over all keys, until it is stopped; returns what stops it. */
  start(t: TestContext): () => Promise<void> {
    let isOn = true;
    const stop = async (): Promise<void> => {
      isOn = false;
      await over;
    };
    const over = (async () => {
      for (let count = 0; isOn; count += 1) {
        await Promise.all(
          Array.from({ length: 5 }, (_, each) => this.put(`S${(count * 617 + each * 1_013) % SYMBOLS}`)),
        );
        await new Promise((resolve) => setTimeout(resolve, FEED_MS));
      }
    })();
    // One that fails has no broker any more, and the test has ended for another reason.
    over.catch(() => undefined);
    t.after(stop);
    return stop;
  }
}

function connect(t: TestContext, rig: Rig): Client {
  const client = new Client(`ws://127.0.0.1:${rig.port}/ws`, { WebSocket });
  t.after(() => client.close());
  return client;
}

interface Opened {
  readonly map: StateMap<number>;
  /** What came before the first `live`, in order. */
  readonly first: readonly Message<number>[];
}

/** Opens a board and resolves in the turn of its first `live`, with what a page would draw then. */
async function open(client: Client, rate: Rate, room = BOARD): Promise<Opened> {
  const map = client.stateMap<number>(room, { rate });
  const first: Message<number>[] = [];
  const off = map.subscription.on("message", (message) => first.push(message));
  await new Promise<void>((resolve, reject) => {
    map.subscription.on("live", () => resolve());
    map.subscription.on("error", reject);
  });
  off();
  return { map, first };
}

const values = (map: StateMap<number>) => [...map].map(([key, { data }]) => [key, data] as const).sort();

for (const [name, start] of BROKERS)
  test(`a board of ${SYMBOLS} symbols is right from its first frame, and so is what it resumes to: ${name}`, async (t) => {
    const broker = await start(t);
    t.after(() => broker.stop(200));
    // So few that a resume has to read history.
    const rig = await startRig(t, { broker, namespaces: { board: SETTINGS }, limits: { ringMessages: 8 } });
    await rig.publish(AGING, 1, "old");
    const agingMs = performance.now();
    const feed = new Feed(rig);
    for (let from = 0; from < SYMBOLS; from += 500)
      await Promise.all(Array.from({ length: 500 }, (_, each) => feed.put(`S${from + each}`)));

    // It is opened while quotes come, at every class.
    const stop = feed.start(t);
    const boards: Opened[] = [];
    for (const rate of ["all", 10, 1] as const) {
      const stored = new Map(feed.latest);
      const board = await open(connect(t, rig), rate);
      assert.equal(board.map.size, SYMBOLS, `${rate}: every symbol is there`);
      for (const [key, { data }] of board.map)
        assert.ok(
          data >= (stored.get(key) ?? Number.NaN),
          `${rate}: ${key} is ${data}, ${stored.get(key)} was stored`,
        );
      assert.ok(board.first.length < 1.5 * SYMBOLS, `${rate}: ${board.first.length} messages`);
      boards.push(board);
    }
    await stop();
    await feed.put("S0");
    await eventually(
      () => boards.every(({ map }) => map.get("S0")?.data === feed.latest.get("S0")),
      "all have the last quote",
      DEADLINE_MS,
    );
    for (const { map } of boards) assert.deepEqual(values(map), [...feed.latest].sort());

    // While one is away some keys change, often, and one is taken out.
    const away = boards[1]?.map.subscription ?? assert.fail();
    const { position } = away;
    away.unsubscribe();
    for (let count = 0; count < 20; count += 1) await feed.put(`S${7 * (count % 3)}`);
    await feed.remove("S1");
    const resumed: Message<number | null>[] = [];
    const client = connect(t, rig);
    const back = client.subscribe<number | null>(BOARD, {
      after: position,
      rate: 10,
      onMessage: (message) => resumed.push(message),
    });
    await new Promise((resolve) => back.on("live", resolve));
    assert.deepEqual(
      resumed.map(({ key, data }) => [key, data]),
      [...["S14", "S0", "S7"].map((key) => [key, feed.latest.get(key)]), ["S1", null]],
    );
    const [everything] = boards;
    await eventually(() => everything?.map.has("S1") === false, "the key is gone from a board that is open");
    const fresh = await open(connect(t, rig), 10);
    assert.deepEqual(values(fresh.map), [...feed.latest].sort());
    assert.equal(fresh.first.length, SYMBOLS - 1);

    // By now a second has passed since the one key was published.
    await eventually(() => performance.now() - agingMs > 1_100, "a key to be too old");
    await rig.publish(AGING, 2, "fresh");
    assert.deepEqual(values((await open(client, 10, AGING)).map), [["fresh", 2]]);
  });
