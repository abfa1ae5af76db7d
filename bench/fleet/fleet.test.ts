import assert from "node:assert/strict";
import { test } from "node:test";
import { Child } from "../support/child.js";
import { Fleet, shares } from "./fleet.js";
import { benchMessage, ScriptedServer } from "./scripted-server.testkit.js";

const DEADLINE_MS = 20_000;

test("several processes act as one: they share the work, and their counts are summed", {
  timeout: 60_000,
}, async () => {
  const server = await new ScriptedServer().listen();
  const fleet = new Fleet([new Child("fleet/agent.js"), new Child("fleet/agent.js")]);
  try {
    await fleet.connect({
      host: "127.0.0.1",
      port: server.port,
      connections: 7,
      rooms: { rooms: 3, roomsEach: 2, shared: true },
      pace: { perSecond: 1_000, inFlight: 10 },
      answerMs: 10_000,
      pingMs: 20_000,
    });
    const { states } = await fleet.until((status) => status.states.live === 7, DEADLINE_MS);
    assert.equal(states.live, 7);
    const asked = server.peers.map(({ subscribed }) => subscribed.map(({ room }) => room.slice(-1)).join(""));
    // By overall number: the first agent's three have rooms 1 2 1, the second's four 2 1 2 1.
    assert.deepEqual(asked.sort(), ["01", "01", "01", "01", "02", "02", "02"]);
    for (const { socket } of server.peers) socket.send(benchMessage(0, 1, 0));
    const heads = (): (number | null)[] => [1, null, null];
    const { behind } = await fleet.until((status) => status.behind === 0, DEADLINE_MS, { heads });
    assert.equal(behind, 0);
    const { all: tally, witnesses } = await fleet.phase();
    assert.equal(witnesses.counts.attempts, 0);
    assert.deepEqual([tally.counts.steady, tally.steadyMicros.total, tally.counts.welcomes], [7, 7, 7]);
    assert.equal(await fleet.cut(4), 4);
    await fleet.until(({ counts }) => counts.comebacks === 4, DEADLINE_MS);
    assert.equal((await fleet.phase()).all.comebackMicros.total, 4);
    await fleet.disconnect();
  } finally {
    await fleet.stop();
    server.close();
  }
});

test("shares are as even as whole numbers allow, and none is left out", () => {
  assert.deepEqual(
    shares(7, 3).map(({ count }) => count),
    [2, 2, 3],
  );
  assert.deepEqual(shares(2, 2), [
    { first: 0, count: 1 },
    { first: 1, count: 1 },
  ]);
  assert.deepEqual(
    shares(1, 3).map(({ count }) => count),
    [0, 0, 1],
  );
});
