import assert from "node:assert/strict";
import { test } from "node:test";
import { hostMicros } from "./clock.js";
import { messagesPerRoom, planShots, runShots } from "./schedule.js";

test("shots are evenly spaced and rooms take turns", () => {
  const plan = { rooms: 2, rate: 20, burst: 4, seconds: 1, bytes: 100 };
  const shots = planShots(plan, 1_000);
  assert.equal(shots.length * plan.burst, messagesPerRoom(plan) * plan.rooms);
  assert.deepEqual(shots.slice(0, 4), [
    { dueMicros: 1_000, room: 0 },
    { dueMicros: 101_000, room: 1 },
    { dueMicros: 201_000, room: 0 },
    { dueMicros: 301_000, room: 1 },
  ]);
});

test("a shot is never early, and a blocked loop catches up without moving the due times", async () => {
  const plan = { rooms: 1, rate: 200, burst: 1, seconds: 0.1, bytes: 100 };
  const shots = planShots(plan, hostMicros());
  const fired: { due: number; at: number }[] = [];
  await runShots(shots, (shot) => {
    fired.push({ due: shot.dueMicros, at: hostMicros() });
    // Blocks longer than the interval once: the next ones must follow at once, as if nothing had been.
    const until = fired.length === 5 ? hostMicros() + 20_000 : 0;
    while (hostMicros() < until);
  });
  assert.deepEqual(
    fired.map(({ due }) => due),
    shots.map(({ dueMicros }) => dueMicros),
  );
  for (const { due, at } of fired) assert.ok(at >= due);
  const sixth = fired[5];
  assert.ok(
    sixth !== undefined && sixth.at - sixth.due >= 14_000,
    "the sixth was due while the loop was blocked",
  );
});

test("what a shot throws ends the run", async () => {
  const shots = planShots({ rooms: 1, rate: 1_000, burst: 1, seconds: 0.01, bytes: 100 }, hostMicros());
  await assert.rejects(
    runShots(shots, () => {
      throw new Error("no server");
    }),
    /no server/,
  );
});
