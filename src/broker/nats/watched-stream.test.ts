import assert from "node:assert/strict";
import { test } from "node:test";
import { HistoryBudget } from "../../core/history-budget.js";
import type { Sink } from "../../core/ports.js";
import { parseRoom } from "../../protocol/room-name.js";
import type { WholePartition } from "./flow/whole-partition.js";
import { DEFAULT_NATS_LIMITS } from "./limits.js";
import { createNatsCounters } from "./nats-counters.js";
import { type Delivery, OpenRoom } from "./open-room.js";
import type { StoredMessage } from "./stored-message.js";
import type { Stream } from "./streams.js";
import { WatchedStream } from "./watched-stream.js";

const ROOM = parseRoom("a.b");
const TOKEN = "a~b";

/** One room of a stream that has only its messages: the watch and the room's own flow each come along at their own pace. */
class World {
  /** How far the stream, the watch and the room's own flow have come. */
  stored = 0;
  readonly partition = { reached: 0, epoch: "e" };
  /** What has come, in its order, wherever to. */
  readonly come: number[] = [];
  readonly lost: number[] = [];
  readonly watched: WatchedStream;
  readonly #stream: Stream;
  readonly #delivery: Delivery = {
    limits: DEFAULT_NATS_LIMITS,
    counters: createNatsCounters(),
    nowMs: () => 1_000_000,
    tailBudget: new HistoryBudget(1_000_000),
    onSinkError: (cause) => assert.fail(String(cause)),
  };
  open: OpenRoom | undefined;
  #settle: ((room: OpenRoom) => void) | undefined;
  #opening: Promise<unknown> | undefined;

  constructor() {
    const position = (offset: number): unknown => ({ epoch: "e", offset });
    this.#stream = { epoch: "e", position } as unknown as Stream;
    const partition = this.partition as unknown as WholePartition<StoredMessage>;
    this.watched = new WatchedStream(this.#stream, partition, {
      hand: (_room, { sequence }) => this.come.push(sequence),
      lose: () => this.lost.push(this.come.at(-1) ?? 0),
      openRoom: () => this.open,
      blame: (cause) => assert.fail(String(cause)),
      expect: () => undefined,
    });
    this.watched.activate();
    this.watched.begun([]);
  }

  watch(): void {
    if (this.partition.reached >= this.stored) return;
    this.partition.reached += 1;
    this.watched.take(ROOM, message(this.partition.reached));
  }

  flow(): void {
    const { open } = this;
    if (open?.start !== undefined && open.last < this.stored) open.deliver(message(open.last + 1));
  }

  begin(): void {
    const sink: Sink = {
      message: ({ offset }) => this.come.push(offset),
      reset: () => assert.fail("a reset"),
    };
    const opens = (given: Sink): Promise<OpenRoom> => {
      const history = { messages: 8, seconds: 60 };
      const settings = [ROOM, TOKEN, this.#stream, history, given, this.#delivery] as const;
      const room = new OpenRoom(...settings, () => undefined);
      this.open = room;
      return new Promise((resolve) => {
        this.#settle = resolve;
      });
    };
    this.#opening = this.watched.open(ROOM, TOKEN, sink, opens, () => 0).catch(() => undefined);
  }

  /** The room's own flow begins at the stream's end. */
  async opened(): Promise<void> {
    const [open, settle] = [this.open, this.#settle];
    if (open === undefined || settle === undefined) return;
    this.#settle = undefined;
    open.opened({ epoch: "e", offset: this.stored });
    settle(open);
    await turns();
  }

  async close(): Promise<void> {
    const { open } = this;
    if (open === undefined) return;
    this.open = undefined;
    const settle = this.#settle;
    this.#settle = undefined;
    open.close();
    this.watched.close(TOKEN, open);
    settle?.(open);
    await turns();
  }

  async end(): Promise<void> {
    await this.opened();
    await this.close();
    while (this.partition.reached < this.stored) this.watch();
    await this.#opening;
  }
}

function message(sequence: number): StoredMessage {
  const headers = "NATS/1.0\r\nFw: 1;;\r\n\r\n";
  return { sequence, storedMs: 1, headers, data: Uint8Array.of(1), roomToken: TOKEN, keyToken: undefined };
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
}

test("whichever of watch and room is ahead, each message comes to one place, in order, and nothing is told as lost", async () => {
  let skipped = 0;
  for (let seed = 1; seed <= 400; seed += 1) {
    const world = new World();
    let state = seed;
    const below = (count: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      return (state >>> 8) % count;
    };
    // Which of the two is faster.
    const [watching, flowing] = [1 + below(4), 1 + below(4)];
    for (let step = 0; step < 200; step += 1) {
      const choice = below(8 + watching + flowing);
      if (choice < 4) world.stored += 1;
      else if (choice === 4 && world.open === undefined) world.begin();
      else if (choice === 5) await world.opened();
      else if (choice === 6 && below(2) === 0) {
        if ((world.open?.last ?? 0) > world.partition.reached) skipped += 1;
        await world.close();
      } else if (choice === 7) world.watched.tick(0);
      else if (choice < 8 + watching) world.watch();
      else world.flow();
    }
    await world.end();
    const expected = Array.from({ length: world.stored }, (_, index) => index + 1);
    assert.deepEqual(world.come, expected, `seed ${seed}`);
    assert.deepEqual(world.lost, [], `seed ${seed}`);
  }
  assert.ok(skipped > 100, `${skipped} closed while the watch was behind`);
});
