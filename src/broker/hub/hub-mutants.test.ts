import assert from "node:assert/strict";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

/** A way to break the promise, as a change of compiled code; `find` stands there exactly once. */
interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const MUTANTS: readonly Mutant[] = [
  {
    name: "attach early: a member goes live before its replay has reached the head",
    file: "hub-room.js",
    find: "if (member.cursor < this.#offset)",
    replace: "if (member.cursor < 0)",
  },
  {
    name: "attach late: a member goes live some turns after its replay has reached the head",
    file: "hub-room.js",
    find: "this.#live.push(member);",
    replace: "setImmediate(() => this.#live.push(member));",
  },
  {
    name: "no lagged: a worker whose flow was cut is never told",
    file: "hub-peer.js",
    find: 'this.#write({ type: "lagged" });',
    replace: "",
  },
  {
    name: "no replay: a room that is opened again goes on at the head",
    file: "hub-room.js",
    find: "peer.replay(member);",
    replace: "this.#goLive(member);",
  },
  {
    name: "a worker that does not read loses single messages, not its flow",
    file: "hub-peer.js",
    find: "this.#cut();\n",
    replace: "",
  },
  {
    name: "lag one room only: the others are not opened again",
    file: "link-rooms.js",
    find: "this.#ask(room);\n    }\n    opened(",
    replace: "{ this.#ask(room); break; }\n    }\n    opened(",
  },
  {
    name: "a lost link: rooms are opened again at the head, not after their position",
    file: "link-rooms.js",
    find: "after: { epoch, offset }",
    replace: "after: undefined",
  },
  {
    name: "a new epoch is not told",
    file: "hub-room.js",
    find: 'peer.opened(member, this.head, "epoch");',
    replace: "peer.opened(member, this.head, undefined);",
  },
  {
    name: "history that is gone is not told",
    file: "hub-room.js",
    find: "member.peer.reset(member, this.head, reason);\n        this.#goLive(member);",
    replace: "this.#goLive(member);",
  },
  {
    name: "a closed room's flow goes on",
    file: "link-rooms.js",
    find: "this.#unmap(room);\n        this.#rooms.delete(room.name);",
    replace: "this.#rooms.delete(room.name);",
  },
  {
    name: "requests of a lost link are not given up",
    file: "link-requests.js",
    find: "publish.reject(publishes);",
    replace: "void publishes;",
  },
  {
    name: "the last worker's leaving does not close the room",
    file: "hub.js",
    find: "if (room.isEmpty && room.isOpen)",
    replace: "if (room.isEmpty && !room.isOpen)",
  },
  {
    name: "patterns that are watched again after a lost link do not tell what they missed",
    file: "link-watch.js",
    find: 'this.#recovery = NONE;\n            this.lost("all");\n            return;',
    replace: "this.#recovery = NONE;\n            return;",
  },
  {
    name: "patterns are not told that a worker's flow was cut",
    file: "link-watch.js",
    find: 'if (this.#patterns.size > 0)\n            this.lost("all");',
    replace: "",
  },
];

const SEEDS_MAX = 60;
const STEPS = 250;
/** What has not come by then is taken for lost. */
const DEADLINE_MS = 1_500;
const dist = fileURLToPath(new URL("../../", import.meta.url));

// What they do most is waiting for what a mutant has lost.
describe("the model notices", { concurrency: 4 }, () => {
  for (const mutant of MUTANTS) {
    test(mutant.name, { timeout: 120_000 }, async (t) => {
      const home = `${dist}mutants/hub-${MUTANTS.indexOf(mutant)}-${process.pid}/`;
      t.after(() => rmSync(home, { recursive: true, force: true }));
      for (const folder of ["broker", "core", "protocol"])
        cpSync(`${dist}${folder}`, `${home}${folder}`, { recursive: true });
      const file = `${home}broker/hub/${mutant.file}`;
      const source = readFileSync(file, "utf8");
      assert.equal(
        source.split(mutant.find).length,
        2,
        `${mutant.file} holds the place to break exactly once`,
      );
      writeFileSync(file, source.replace(mutant.find, mutant.replace));
      const { World }: typeof import("./hub-world.testkit.js") = await import(
        `${home}broker/hub/hub-world.testkit.js`
      );
      for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
        const fault = await new World(seed, DEADLINE_MS).run(STEPS).then(
          () => undefined,
          (cause: unknown) => String(cause),
        );
        if (fault === undefined) continue;
        t.diagnostic(`seed ${seed}: ${fault.slice(0, 200)}`);
        return;
      }
      assert.fail(`no seed of ${SEEDS_MAX} noticed`);
    });
  }
});
