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
  /** Noticed by the simulation of patterns. */
  readonly ofPatterns?: true;
}

const MUTANTS: readonly Mutant[] = [
  {
    name: "no lagged: a socket that lost frames is never told",
    file: "core/session.js",
    find: 'this.sendControl({ type: "lagged" });',
    replace: "",
  },
  {
    name: "join early: the topic is joined when the replay begins, not at the head",
    file: "core/subscriptions.js",
    find: "subscription.begin(start, answer);",
    replace: "subscription.begin(start, answer); subscription.room.enter(this.#owner, true);",
  },
  {
    name: "lag one room only: a client that was told re-subscribes just one",
    file: "core/simulation/client.testkit.js",
    find: "this.lags += 1;\n                this.#subscribeAll();",
    replace: "this.lags += 1;\n                this.#subscribe([...this.rooms.values()][0]);",
  },
  {
    name: "lag one room only: the server leaves the others on their topics",
    file: "core/subscriptions.js",
    find: "this.detach(subscription);\n            subscription.state = LAGGED;",
    replace: "this.detach(subscription);\n            subscription.state = LAGGED; break;",
  },
  {
    name: "ignore prev: the client takes whatever comes next",
    file: "core/simulation/client.testkit.js",
    find: "if (prev > state.position.offset) {",
    replace: "if (prev < 0) {",
  },
  {
    name: "a replay does not notice that its room was reset",
    file: "core/subscription.js",
    find: "replay.lost !== undefined || replay.resets !== room.resets",
    replace: "replay.lost !== undefined",
  },
  {
    name: "a history read that failed is not tried again",
    file: "core/subscriptions.js",
    find: "this.#replaying ??= new Set();\n            this.#replaying.add(subscription);\n            this.#owner.wantRetry();",
    replace: "this.#owner.wantRetry();",
  },
  {
    name: "live members lose a reset",
    file: "core/delivery.js",
    find: 'return [{ type: "reset", room, ...position, reason: reset }];',
    replace: "return NOTHING;",
  },
  {
    name: "a replay joins at the room's head, not where its lane's topic stands",
    file: "core/subscription.js",
    find: "room.find(rate)?.sentTo(lane) ?? ",
    replace: "",
  },
  {
    name: "a replay joins a lane that has still to send a reset",
    file: "core/subscription.js",
    find: "sent.resets !== room.resets",
    replace: "false",
  },
  {
    name: "what a lane has still to send is let go when the others have sent it",
    file: "core/flow.js",
    find: "this.#first.holders === 0 && ",
    replace: "",
  },
  {
    name: "a lane that is behind skips to the end",
    file: "core/room-lane.js",
    find: "this.#sent = goal;",
    replace: "this.#sent = flow.last;",
  },
  {
    name: "a lane goes on behind a reset in the same tick, and leaves topics that it has just published to",
    file: "core/room-lane.js",
    find: "this.lane.queue(this);",
    replace: "this.flush(fanout, packer);",
  },
  {
    name: "a lane that everybody left gives up its place in the room twice",
    file: "core/room-lane.js",
    find: "if (this.isIdle)\n            return;\n        const",
    replace: "const",
  },
  {
    name: "a room is not queued at a lane where nobody is live, though somebody waits",
    file: "core/delivery.js",
    find: "lanes.queue(lane, part);",
    replace: "if (part.members > 0) lanes.queue(lane, part);",
  },
  {
    name: "who waits for its lane is not woken",
    file: "core/room-lane.js",
    find: "wake();",
    replace: ";",
  },
  {
    name: "no tick is asked for lanes that wait",
    file: "core/engine.js",
    find: "this.lanes.isWaiting || ",
    replace: "",
  },
  {
    name: "a lane that does not fit into the tick loses its turn",
    file: "core/lanes.js",
    find: "turns.slice(done).concat(this.#waiting)",
    replace: "this.#waiting",
  },
  {
    name: "who was alone in its lane is not put on the topic when a second comes",
    file: "core/room-lane.js",
    find: "this.#alone?.join(this.topic(this.#alone.wire));",
    replace: "",
  },
  {
    name: "who came first is taken for alone when the second has come",
    file: "core/room-lane.js",
    find: "this.#alone = undefined;\n            member.join(",
    replace: "member.join(",
  },
  {
    name: "who gets no echo is sent the others' messages after a reset that follows them",
    file: "core/room-lane.js",
    find: "this.lane.send(member, this.framesFor(member, messages), packer);",
    replace: "for (const frame of this.framesFor(member, messages)) this.lane.post(member, frame);",
  },
  {
    name: "what does not fit into the first chunk for a socket that is alone is left out",
    file: "core/lane.js",
    find: "this.#sendChunk(to, packer);\n            packer.add(frame);",
    replace: "this.#sendChunk(to, packer);",
  },
  {
    name: "one tick flushes every lane",
    file: "core/lanes.js",
    find: "done > 0 && sockets > this.#socketsMax",
    replace: "false",
  },
  {
    name: "a conflated class sends messages with the prev that they have in the room",
    file: "core/room-class.js",
    find: "messages.push(withPrev(message, prev));",
    replace: "messages.push(message);",
  },
  {
    name: "a conflated class chains its messages to nothing",
    file: "core/room-class.js",
    find: "messages.push(withPrev(message, prev));",
    replace: "messages.push(withPrev(message, 0));",
  },
  {
    name: "a conflated class keeps the first message of a key, not the latest",
    file: "core/room-class.js",
    find: "this.#waiting.set(key, message);",
    replace: "this.#waiting.set(key, before ?? message);",
  },
  {
    name: "a conflated class keeps values for two windows",
    file: "core/room-class.js",
    find: "this.#dueMs = dueAt(nowMs, this.#sentMs, this.#windowMs);",
    replace: "this.#dueMs = nowMs + 2 * this.#windowMs;",
  },
  {
    name: "a conflated class sends what comes at once, whatever its window says",
    file: "core/room-class.js",
    find: "nowMs - this.#sentMs >= this.#windowMs",
    replace: "true",
  },
  {
    name: "a conflated class is flushed when half of its window is over",
    file: "core/room-class.js",
    find: "Math.max(cameMs, sentMs + windowMs);",
    replace: "Math.max(cameMs, sentMs + windowMs / 2);",
  },
  {
    name: "a conflated class is not told of resets",
    file: "core/room.js",
    find: "one.reset(head, reason, lanes, nowMs);",
    replace: ";",
  },
  {
    name: "what waits in a conflated class is not sent when its window is over",
    file: "core/paces.js",
    find: "this.#fanout.wakeAt(next);\n                return;",
    replace: "return;",
  },
  {
    name: "a class that everybody left and that has come again begins before the room's head",
    file: "core/room-class.js",
    find: "super(room.counters, room.head, room.resets);",
    replace: "super(room.counters, { epoch: room.head.epoch, offset: 0 }, 0);",
  },
  {
    name: "a client whose subscription was moved to a slower class is not told",
    file: "core/subscription.js",
    find: "replay.untold = true;",
    replace: "",
  },
  {
    name: "a subscription that is moved goes on from the room's head, not from what its lane was sent",
    file: "core/subscription.js",
    find: "createReplay(rate, position.offset, position.offset, resets, undefined);",
    replace: "createReplay(rate, room.head.offset, room.head.offset, room.resets, undefined);",
  },
  {
    name: "a subscription that is moved stays on its topic",
    file: "core/subscription.js",
    find: "delivery.leave(member);",
    replace: "",
  },
  {
    name: "a conflated replay skips what has a later message of another key",
    file: "core/newest.js",
    find: "keyAt(index) === key",
    replace: "keyAt(index) !== key",
  },
  {
    name: "changes read from history are the first of each key",
    file: "core/newest.js",
    find: "latest.delete(message.key);\n        latest.set(message.key, message);",
    replace: "if (!latest.has(message.key)) latest.set(message.key, message);",
  },
  {
    name: "a pattern brings a room too that its session has by name",
    file: "core/pattern-flow.js",
    find: " || this.excluded.has(message.room)",
    replace: "",
    ofPatterns: true,
  },
  {
    name: "sessions change flows though their lane has still to send",
    file: "core/pattern-subscriptions.js",
    find: "return !this.#owner.lane.hasQueued;",
    replace: "return true;",
    ofPatterns: true,
  },
  {
    name: "what a broker lost is not told to patterns",
    file: "core/pattern-flow.js",
    find: "this.#lost = { reason, messages: [] };",
    replace: ";",
    ofPatterns: true,
  },
  {
    name: "a room that was just opened comes by name before patterns have brought what was before",
    file: "core/patterns.js",
    find: "if (this.isWaiting)\n            this.#justOpened.add(room);",
    replace: "",
    ofPatterns: true,
  },
  {
    name: "what a room's subscription had not sent when it ended is not told to patterns",
    file: "core/pattern-subscriptions.js",
    find: "group.isTold ||= !isComplete || !this.isSettled;",
    replace: "",
    ofPatterns: true,
  },
];

const SEEDS_MAX = 2_000;
const dist = fileURLToPath(new URL("../../", import.meta.url));

for (const mutant of MUTANTS) {
  test(`the simulation catches: ${mutant.name}`, async (t) => {
    const home = `${dist}mutants/${MUTANTS.indexOf(mutant)}-${process.pid}/`;
    t.after(() => rmSync(home, { recursive: true, force: true }));
    for (const folder of ["core", "protocol"])
      cpSync(`${dist}${folder}`, `${home}${folder}`, { recursive: true });
    const file = `${home}${mutant.file}`;
    const source = readFileSync(file, "utf8");
    assert.equal(source.split(mutant.find).length, 2, `${mutant.file} holds the place to break exactly once`);
    writeFileSync(file, source.replace(mutant.find, mutant.replace));
    const simulate = await simulationOf(`${home}core/simulation/`, mutant);
    for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
      const { faults } = await simulate(seed);
      if (faults.length === 0) continue;
      t.diagnostic(`seed ${seed}: ${faults[0]?.slice(0, 200)}`);
      return;
    }
    assert.fail(`no seed of ${SEEDS_MAX} noticed`);
  });
}

async function simulationOf(
  folder: string,
  { ofPatterns }: Mutant,
): Promise<(seed: number) => Promise<{ readonly faults: readonly string[] }>> {
  if (ofPatterns === undefined) {
    const world: typeof import("./world.testkit.js") = await import(`${folder}world.testkit.js`);
    return world.simulate;
  }
  const world: typeof import("./pattern-world.testkit.js") = await import(
    `${folder}pattern-world.testkit.js`
  );
  return world.simulatePatterns;
}
