import assert from "node:assert/strict";
import { test } from "node:test";
import { Child } from "../support/child.js";
import type { AgentReply, AgentRequest } from "./agent-protocol.js";
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

test("witnesses have an agent of their own, are never cut, and leave where their server is to die", {
  timeout: 60_000,
}, async () => {
  const server = await new ScriptedServer().listen();
  const agents = [
    new Child<AgentRequest, AgentReply>("fleet/agent.js"),
    new Child<AgentRequest, AgentReply>("fleet/agent.js"),
  ];
  const fleet = new Fleet(agents, { witnesses: 2 });
  try {
    await fleet.connect({
      host: "127.0.0.1",
      port: server.port,
      connections: 5,
      rooms: { rooms: 5, roomsEach: 2, shared: true },
      pace: { perSecond: 1_000, inFlight: 10 },
      answerMs: 10_000,
      pingMs: 20_000,
    });
    await fleet.until(({ states }) => states.live === 5, DEADLINE_MS);
    const second = server.peers.map(({ subscribed }) => subscribed[1]?.room.slice(-1)).sort();
    assert.deepEqual(second, ["1", "1", "2", "3", "4"], "numbers go on behind the witnesses'");
    await fleet.phase();
    assert.equal(await fleet.cut(5), 3);
    await fleet.until(({ counts }) => counts.comebacks === 3, DEADLINE_MS);
    const { all, witnesses } = await fleet.phase();
    assert.deepEqual([all.counts.cut, witnesses.counts.cut], [3, 0]);
    assert.equal(await fleet.dismissWitnesses(["another"]), 0);
    assert.equal(await fleet.dismissWitnesses(["n"]), 2);
    const { states, behind } = await fleet.status([7]);
    assert.deepEqual([states.live, states.dismissed, behind], [3, 2, 3]);
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
