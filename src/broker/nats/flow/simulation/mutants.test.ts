import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/** A way to break the promise, as a change of compiled code; `find` stands there exactly once. */
interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** In the same file. */
  readonly also?: { readonly find: string; readonly replace: string };
}

const MUTANTS: readonly Mutant[] = [
  {
    name: "no sweep",
    file: "partition.js",
    find: "if (this.#round === undefined && due) {",
    replace: "if (false) {",
  },
  {
    name: "no sweep of quiet rooms, only of all after a gap",
    file: "chained-partition.js",
    find: "full || isUnsure(room) || room.checkedMs < since",
    replace: "full",
  },
  {
    name: "a room that was opened is not looked at again where its subscription is late",
    file: "partition.js",
    find: "if (this.spec.spread)",
    replace: "if (false)",
  },
  {
    name: "no baseline read: a room begins at whatever comes first",
    file: "partition.js",
    find: "room.begin(head ?? facts.upTo,",
    replace: "room.begin(room.held ? room.held.message.sequence - 1 : (head ?? facts.upTo),",
  },
  {
    name: "previous ignored: whatever comes later is next",
    file: "chain.js",
    find: "if (previous > head)",
    replace: "if (false)",
  },
  {
    name: "live before backfill: what comes while a room is read is delivered at once",
    file: "chained-partition.js",
    find: "room.hold(message, previous);\n        this.#repair(room, previous);",
    replace: "room.deliver(message, nowMs);\n        this.#repair(room, previous);",
  },
  {
    name: "a disconnect is no gap",
    file: "live-flow.js",
    find: "partition.gap();\n            this.#sweepNow(partition, nowMs);",
    replace: "",
    also: {
      find: "for (const partition of this.#partitions)\n            partition.gap();",
      replace: "",
    },
  },
  {
    name: "a change of leaders is no gap",
    file: "live-flow.js",
    find: "partition.gap();\n        this.#sweepNow(partition, nowMs);",
    replace: "",
  },
  {
    name: "a message whose predecessor is gone is delivered without a word",
    file: "chain.js",
    find: 'return previous === head ? "next" : "cut";',
    replace: 'return "next";',
  },
  {
    name: "a read that shows loss is not told",
    file: "chain.js",
    find: "if (anchored && found)",
    replace: "if (true)",
  },
  {
    name: "a room that was pushed out is not told",
    file: "chain.js",
    find: "if (shown.newer >= keeps.messages)",
    replace: "if (false)",
  },
  {
    name: "what came and went unseen before a first message is not told",
    file: "partition.js",
    find: "first - 1 <= unproven",
    replace: "true",
  },
  {
    name: "a loss is told from one read alone, which does not show how much is lost",
    file: "chained-partition.js",
    find: "if (next === undefined && (!known || upTo < room.askedEnd))",
    replace: "if (false)",
  },
  {
    name: "answers from behind are believed",
    file: "partition.js",
    find: "if (answer.upTo < asked.end) {",
    replace: "if (false) {",
  },
  {
    name: "an older store is not recognised",
    file: "shown-stream.js",
    find: "mark !== this.#markOf(message)",
    replace: "false",
  },
  {
    name: "checkpoints come from after the gap",
    file: "partition.js",
    find: "this.#shown.gap();",
    replace: "",
  },
  {
    name: "what was held of the epoch before is delivered in the new one",
    file: "chained-partition.js",
    find: "if (rereads)\n            room.dropHeld();",
    replace: "",
  },
  {
    name: "another epoch goes unnoticed",
    file: "partition.js",
    find: "if (epoch === this.#epoch)",
    replace: "if (this.#epoch !== undefined)",
  },
  {
    name: "a live message is kept as a view",
    file: "flow-room.js",
    find: "message: port.keep(message)",
    replace: "message",
  },
  {
    name: "a quiet room is told to have had nothing beyond what was looked at",
    file: "flow-room.js",
    find: "this.sink.checkpoint(this.verified);",
    replace: "this.sink.checkpoint(this.verified + 3);",
  },
  {
    name: "whole: a hole in the sequence is not seen",
    file: "whole-partition.js",
    find: "if (message.sequence === this.#reached + 1)",
    replace: "if (message.sequence > this.#reached)",
  },
  {
    name: "whole: a read with holes is not told",
    file: "whole-partition.js",
    find: "room.reset(head, reason);",
    replace: "room.head = head;",
  },
  {
    name: "whole: a quiet stream is not swept",
    file: "whole-partition.js",
    find: 'if (this.#state === "live" && upTo > this.#reached)',
    replace: "if (false)",
  },
  {
    name: "whole: a room opens with a last message that is behind the stream",
    file: "partition.js",
    find: "if (facts.upTo < room.needsUpTo)",
    replace: "if (false)",
  },
];

const SEEDS_MAX = 3_000;
const dist = fileURLToPath(new URL("../../../../", import.meta.url));

for (const [index, mutant] of MUTANTS.entries()) {
  test(`the simulation catches: ${mutant.name}`, async (t) => {
    const home = `${dist}mutants/nats-${index}-${process.pid}/`;
    t.after(() => rmSync(home, { recursive: true, force: true }));
    for (const part of ["core", "protocol", "broker/nats/flow"])
      cpSync(`${dist}${part}`, `${home}${part}`, { recursive: true });
    const file = `${home}broker/nats/flow/${mutant.file}`;
    let source = readFileSync(file, "utf8");
    for (const { find, replace } of [mutant, ...(mutant.also === undefined ? [] : [mutant.also])]) {
      assert.equal(source.split(find).length, 2, `${mutant.file} holds the place to break exactly once`);
      source = source.replace(find, () => replace);
    }
    writeFileSync(file, source);
    const world: typeof import("./world.testkit.js") = await import(
      `${home}broker/nats/flow/simulation/world.testkit.js`
    );
    for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
      const { faults } = world.simulate(seed);
      if (faults.length === 0) continue;
      t.diagnostic(`seed ${seed}: ${faults[0]?.slice(0, 200)}`);
      return;
    }
    assert.fail(`no seed of ${SEEDS_MAX} noticed`);
  });
}
