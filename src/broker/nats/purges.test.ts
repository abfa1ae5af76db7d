import assert from "node:assert/strict";
import { test } from "node:test";
import { CodedError } from "../../protocol/errors.js";
import type { Versioned } from "./control.js";
import { ANY_ROOM, type Purge, parsePurges, purgesText, withPurges } from "./purge-record.js";
import { FRESH_MS, Purges } from "./purges.js";
import type { Stream, Streams } from "./streams.js";

const STREAM = { name: "FW_0", epoch: "e1", info: { firstSequence: 1 } } as Stream;
const PLACE = { stream: STREAM, filter: "fw.in.0.news~a" };

function purge(room: string, upTo: number, done = true, stream = "FW_0", epoch = "e1"): Purge {
  return { stream, epoch, room, upTo, done };
}

/** A record that is read when the test says so, and a clock that it sets. */
class Record {
  purges: readonly Purge[] = [];
  nowMs = 0;
  reads = 0;
  writes = 0;
  fails = false;
  readonly told: string[] = [];
  readonly #answers: (() => void)[] = [];
  isHeld = false;
  readonly known = new Purges({
    control: {
      readPurges: () => this.#read(),
      writePurges: async (purges) => {
        this.writes += 1;
        if (this.writes === 1) return false;
        this.purges = purges;
        return true;
      },
    },
    wait: turn,
    onTrouble: () => undefined,
    streams: { named: (name: string) => (name === STREAM.name ? STREAM : undefined) } as Streams,
    nowMs: () => this.nowMs,
    onPurged: (stream, room, upTo) => void this.told.push(`${stream.name} ${room} ${upTo}`),
  });

  /** Lets reads under way end. */
  answer(): void {
    for (const answer of this.#answers.splice(0)) answer();
  }

  async #read(): Promise<Versioned<readonly Purge[]>> {
    this.reads += 1;
    const value = this.purges;
    if (this.isHeld) await new Promise<void>((resolve) => this.#answers.push(resolve));
    if (this.fails) throw new CodedError("timeout", "no answer", 1);
    return { value, sequence: 1 };
  }
}

test("what is known is asked for again before a read is judged by it, unless it is fresh", async () => {
  const record = new Record();
  assert.equal(await record.known.upTo(PLACE), 0);
  record.purges = [purge("news~a", 7, false)];
  record.nowMs = FRESH_MS;
  assert.equal(
    await record.known.upTo(PLACE),
    0,
    "announced after what is known was asked for, so not purged yet",
  );
  assert.equal(record.reads, 1);
  record.nowMs = FRESH_MS + 1;
  assert.equal(await record.known.upTo(PLACE), 7);
  assert.equal(record.reads, 2);
});

test("all who ask at the same time share a read, but not one that was asked for too long before", async () => {
  const record = new Record();
  record.isHeld = true;
  const early = record.known.upTo(PLACE);
  const same = record.known.upTo(PLACE);
  record.purges = [purge("news~a", 7)];
  record.nowMs = FRESH_MS + 1;
  const late = record.known.upTo(PLACE);
  await turn();
  assert.equal(record.reads, 1);
  record.answer();
  assert.deepEqual(await Promise.all([early, same]), [0, 0]);
  await turn();
  assert.equal(record.reads, 2);
  record.answer();
  assert.equal(await late, 7);
});

test("where it cannot be asked nobody is told that nothing was purged", async () => {
  const record = new Record();
  record.fails = true;
  await assert.rejects(record.known.upTo(PLACE), CodedError);
  record.fails = false;
  assert.equal(await record.known.upTo(PLACE), 0);
});

test("open rooms are told once, when it is done, and not of what was before, another numbering or stream", async () => {
  const record = new Record();
  record.purges = [purge("old", 5)];
  await record.known.read();
  record.purges = [...record.purges, purge("news~a", 7, false)];
  await record.known.read();
  assert.deepEqual(record.told, []);
  record.purges = [
    purge("old", 5),
    purge("news~a", 7),
    purge("x", 9, true, "FW_0", "e0"),
    purge("y", 9, true, "FW_9"),
    purge(ANY_ROOM, 3),
  ];
  await record.known.read();
  await record.known.read();
  assert.deepEqual(record.told, ["FW_0 news~a 7"]);
  record.purges = [purge("news~a", 12)];
  await record.known.read();
  assert.deepEqual(record.told, ["FW_0 news~a 7", "FW_0 news~a 12"]);
});

test("what a node notices is written down once, though others write too, and open rooms are not told of it", async () => {
  const record = new Record();
  record.purges = [purge("a", 5), purge("b", 9)];
  await record.known.read();
  record.known.note(STREAM, "b", 9);
  for (const upTo of [7, 8]) record.known.note(STREAM, "a", upTo);
  while (record.writes < 2) await turn();
  await turn();
  const noticed = { ...purge("a", 8), noticed: true };
  assert.deepEqual(record.purges, [noticed, purge("b", 9)]);
  await record.known.read();
  assert.deepEqual(record.told, []);
  assert.equal(await record.known.upTo({ stream: STREAM, filter: "fw.in.0.a" }), 8);
  assert.deepEqual(
    withPurges([purge("a", 8)], [noticed], () => false),
    [purge("a", 8)],
  );
  assert.deepEqual(parsePurges(purgesText([noticed])), [noticed]);
});

test("the record keeps the highest of each room, leaves out what says nothing, and is bounded", () => {
  const known = [purge("a", 5), purge("b", 9), purge("c", 2), purge("d", 4, true, "FW_1")];
  const isMoot = ({ room }: Purge): boolean => room === "c";
  assert.deepEqual(withPurges(known, [purge("a", 7, false), purge("b", 3)], isMoot), [
    purge("a", 7, false),
    purge("b", 9),
    purge("d", 4, true, "FW_1"),
  ]);
  const many = Array.from({ length: 6 }, (_, index) => purge(`r${index}`, index));
  const bounded = withPurges(
    [...many, purge("d", 4, true, "FW_1")],
    [purge("new", 1, false)],
    () => false,
    4,
  );
  assert.deepEqual(bounded, [purge("d", 4, true, "FW_1"), purge("new", 1, false), purge(ANY_ROOM, 5)]);
});

test("rooms of a stream of which too many were purged are all taken for purged", async () => {
  const record = new Record();
  record.purges = [purge(ANY_ROOM, 5), purge("news~a", 3)];
  assert.equal(await record.known.upTo(PLACE), 5);
});

test("a record is what was written, and one of a version to come is refused, not ignored", () => {
  const purges = [purge("a", 5), purge("b", 9, false)];
  assert.deepEqual(parsePurges(purgesText(purges)), purges);
  for (const text of ['{"version":2,"purges":[]}', "", "[]", '{"version":1,"purges":[{}]}'])
    assert.throws(
      () => parsePurges(text),
      (cause) => cause instanceof CodedError && cause.code === "unavailable",
    );
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
