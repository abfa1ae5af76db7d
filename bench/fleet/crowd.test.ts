import assert from "node:assert/strict";
import { after, test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { delay } from "../support/clock.js";
import { benchRoom } from "../support/message-scan.js";
import type { AgentStatus, Assignment } from "./agent-protocol.js";
import { Crowd } from "./crowd.js";
import { benchMessage, type Script, ScriptedServer } from "./scripted-server.testkit.js";
import { Tally, troubles } from "./tally.js";
import { explainOverdue } from "./verdict.js";

const DEADLINE_MS = 15_000;
const ROOMS = { rooms: 2, roomsEach: 2, shared: false };

const opened: { disconnect?(): void; close?(): void }[] = [];
after(() => {
  for (const thing of opened) {
    thing.disconnect?.();
    thing.close?.();
  }
});

async function serve(script?: Script): Promise<ScriptedServer> {
  const server = await new ScriptedServer(script).listen();
  opened.push(server);
  return server;
}

function crowdAt({ port }: { port: number }, options: Partial<Assignment> = {}): Crowd {
  const crowd = new Crowd({
    host: "127.0.0.1",
    port,
    localAddresses: ["127.0.0.2", "127.0.0.3"],
    first: 0,
    connections: 1,
    rooms: ROOMS,
    pace: { perSecond: 10_000, inFlight: 100 },
    answerMs: 10_000,
    pingMs: 20_000,
    ...options,
  });
  opened.push(crowd);
  return crowd;
}

async function until(
  crowd: Crowd,
  what: string,
  isDone: (status: AgentStatus) => boolean,
): Promise<AgentStatus> {
  const endMs = performance.now() + DEADLINE_MS;
  for (;;) {
    const status = crowd.status();
    if (isDone(status)) return status;
    assert.ok(performance.now() < endMs, `${what}: ${JSON.stringify(status)}`);
    await delay(5);
  }
}

function phaseOf(crowd: Crowd): Tally {
  const tally = new Tally();
  tally.add(crowd.phase());
  return tally;
}

test("every attempt is counted by how it ended, and all come through in the end", async () => {
  const server = await serve({
    turn: (attempt) => {
      if (attempt === 0) return { kind: "refuse", status: 503, headers: "Retry-After: 0.1\r\n" };
      if (attempt === 1) return { kind: "refuse", status: 429, headers: "" };
      if (attempt === 2) return { kind: "reset" };
      if (attempt === 3) return { kind: "close" };
      return attempt === 4 ? { kind: "silence" } : { kind: "switch" };
    },
  });
  const crowd = crowdAt(server, { connections: 6, answerMs: 500 });
  const { overdue } = await until(crowd, "one is overdue", ({ states }) => states.overdue === 1);
  assert.ok(overdue[0]?.connected && overdue[0].receivedBytes === 0);
  const verdicts = [...explainOverdue(server.port, overdue)];
  assert.deepEqual(verdicts, [["accepted and read, 0 bytes answered, ESTABLISHED", 1]]);
  crowd.release();
  await until(crowd, "all are live", ({ states }) => states.live === 6);
  const { counts, reasons } = phaseOf(crowd);
  const { attempts, welcomes, refused, withoutRetry, cutShort, unanswered, connectFailed } = counts;
  assert.deepEqual(
    { attempts, welcomes, refused, withoutRetry, cutShort, unanswered, connectFailed },
    { attempts: 11, welcomes: 6, refused: 2, withoutRetry: 1, cutShort: 2, unanswered: 1, connectFailed: 0 },
  );
  assert.equal(reasons.get("refused with 503"), 1);
  assert.equal(counts.lost + counts.comebacks, 0, "who was never live lost nothing");
});

test("an answer after the deadline still counts, as a late one", async () => {
  let answer = (): void => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const server = await serve({ turn: () => ({ kind: "wait", until: answered }) });
  const crowd = crowdAt(server, { answerMs: 100 });
  await until(crowd, "it is overdue", ({ states }) => states.overdue === 1);
  answer();
  await until(crowd, "it is live", ({ states }) => states.live === 1);
  crowd.release();
  const { welcomes, late, unanswered } = phaseOf(crowd).counts;
  assert.deepEqual([welcomes, late, unanswered], [1, 1, 0]);
});

test("a refusal's time is honoured", async () => {
  const server = await serve({
    turn: (attempt) =>
      attempt === 0 ? { kind: "refuse", status: 503, headers: "Retry-After: 1\r\n" } : { kind: "switch" },
  });
  const crowd = crowdAt(server);
  await until(crowd, "it is live", ({ states }) => states.live === 1);
  const [first = 0, second = 0] = server.attemptsMs;
  assert.ok(second - first >= 995, `${second - first} ms`);
});

test("where nobody listens attempts fail, until somebody does", async () => {
  const { port } = await serve();
  const elsewhere = new ScriptedServer();
  opened.push(elsewhere);
  opened[opened.length - 2]?.close?.();
  const crowd = crowdAt({ port });
  await until(crowd, "an attempt failed", ({ counts }) => counts.connectFailed > 0);
  await elsewhere.listen(port);
  await until(crowd, "it is live", ({ states }) => states.live === 1);
  assert.ok(phaseOf(crowd).reasons.has("unconnected: ECONNREFUSED"));
});

test("a whole flow, packed or not, is counted, without trouble", async () => {
  const server = await serve();
  const crowd = crowdAt(server);
  await until(crowd, "it is live", ({ states }) => states.live === 1);
  crowd.phase();
  const [peer] = server.peers;
  peer?.socket.send(Buffer.concat([benchMessage(0, 1, 0), benchMessage(0, 9, 1), benchMessage(1, 1, 0)]));
  peer?.socket.send(benchMessage(0, 17, 9));
  await until(crowd, "four came", ({ counts }) => counts.steady === 4);
  assert.equal(crowd.status([17, 1]).behind, 0);
  assert.equal(crowd.status([17, 2]).behind, 1);
  assert.equal(crowd.status([null, 1]).behind, 0);
  const tally = phaseOf(crowd);
  assert.deepEqual([tally.counts.frames, troubles(tally)], [2, []]);
  assert.ok(tally.steadyMicros.max >= 2_000, `${tally.steadyMicros.max} µs`);
});

test("a hole, a duplicate, disorder, a foreign room and an error are each a failure", async () => {
  const flows: Record<string, Uint8Array[]> = {
    hole: [benchMessage(0, 1, 0), benchMessage(0, 3, 2)],
    duplicate: [benchMessage(0, 1, 0), benchMessage(0, 1, 0)],
    disorder: [benchMessage(0, 2, 0), benchMessage(0, 1, 0)],
    foreign: [benchMessage(7, 1, 0)],
    error: [encode([18, 0, "internal", "sorry"])],
  };
  const server = await serve();
  for (const [name, flow] of Object.entries(flows)) {
    const crowd = crowdAt(server);
    await until(crowd, "it is live", ({ states }) => states.live === 1);
    server.peers.at(-1)?.socket.send(Buffer.concat(flow));
    await until(crowd, name, ({ counts }) => counts.failures === 1);
    assert.equal(troubles(phaseOf(crowd)).length, 1);
  }
});

test("who is cut comes back after its last message; its latency is not the others'", async () => {
  const server = await serve({
    live: ({ socket, subscribed }) => {
      // The default `ok` and `live` are out: what follows is live, but late for who was away.
      if (subscribed.some(({ room, after }) => room === benchRoom(0) && after !== undefined))
        socket.send(benchMessage(0, 8, 5, 900));
    },
  });
  const crowd = crowdAt(server, { connections: 2 });
  await until(crowd, "both are live", ({ states }) => states.live === 2);
  for (const { socket } of server.peers) socket.send(benchMessage(0, 5, 0));
  await until(crowd, "both have the first", ({ counts }) => counts.steady === 2);
  crowd.phase();
  assert.equal(crowd.cut(1), 1);
  await until(crowd, "it is back and has the second", ({ counts }) => counts.returning === 1);
  const tally = phaseOf(crowd);
  const { cut, lost, comebacks, recovered, unrecovered, steady } = tally.counts;
  assert.deepEqual(
    { cut, lost, comebacks, recovered, unrecovered, steady },
    { cut: 1, lost: 0, comebacks: 1, recovered: 2, unrecovered: 0, steady: 0 },
  );
  assert.deepEqual(server.peers[2]?.subscribed.map(({ room, after }) => `${room} ${after}`).sort(), [
    `${benchRoom(0)} e,5`,
    `${benchRoom(1)} e,0`,
  ]);
  assert.equal(tally.comebackMicros.total, 1);
  assert.ok(tally.returningMicros.max >= 900_000);
  assert.deepEqual(troubles(tally), []);
  assert.equal(crowd.cut(9), 2, "no more than there are");
});

test("a resume that is not recovered, or goes on elsewhere, is told", async () => {
  for (const [begin, trouble] of [
    [{ epoch: "new", offset: 3, recovered: false }, /not recovered/],
    [{ epoch: "e", offset: 3, recovered: true }, /asked after e,0/],
  ] as const) {
    const server = await serve({
      begin: ({ after }) => (after === undefined ? { epoch: "e", offset: 0, recovered: false } : begin),
    });
    const crowd = crowdAt(server);
    await until(crowd, "it is live", ({ states }) => states.live === 1);
    crowd.cut(1);
    await until(crowd, "it is back", ({ counts }) => counts.comebacks === 1);
    assert.match(troubles(phaseOf(crowd)).join(), trouble);
  }
});

test("a lost connection is counted with its reason and comes back; lagged asks again on the same one", async () => {
  const server = await serve();
  const crowd = crowdAt(server);
  await until(crowd, "it is live", ({ states }) => states.live === 1);
  server.peers[0]?.socket.send(Buffer.concat([benchMessage(0, 4, 0), encode([21])]));
  await until(crowd, "it asked again", () => server.peers[0]?.subscribed.length === 4);
  assert.deepEqual(server.peers[0]?.subscribed[2]?.after, ["e", 4]);
  await until(crowd, "it is live again", ({ states }) => states.live === 1);
  server.peers[0]?.socket.close(1012, "restart");
  await until(crowd, "it is back", ({ counts }) => counts.comebacks === 1);
  const { counts, reasons } = phaseOf(crowd);
  assert.deepEqual([counts.lost, counts.lagged, counts.attempts], [1, 1, 2]);
  assert.equal(reasons.get("closed: close 1012 restart"), 1);
});

test("goaway moves a client once, also where the server closes before its time", async () => {
  const server = await serve();
  const crowd = crowdAt(server, { connections: 2 });
  await until(crowd, "both are live", ({ states }) => states.live === 2);
  for (const { socket } of server.peers) socket.send(encode([24, "bye", 300]));
  server.peers[0]?.socket.close(1001, "bye");
  await until(crowd, "both are back", ({ states, counts }) => counts.comebacks === 2 && states.live === 2);
  // A second move would come with the other appointment, 300 ms after goaway.
  await delay(400);
  const { counts } = phaseOf(crowd);
  assert.deepEqual([counts.goaways, counts.attempts, counts.comebacks], [2, 4, 2]);
});

test("a broker that is away is waited for", async () => {
  const server = await serve({
    live: ({ socket }) => {
      if (server.peers.length === 1) socket.send(encode([18, 1, "unavailable", "no hub", 50]));
    },
    begin: () => ({ epoch: "e", offset: 0, recovered: true }),
  });
  const crowd = crowdAt(server);
  await until(crowd, "it came back", ({ counts, states }) => counts.attempts === 2 && states.live === 1);
  assert.deepEqual(troubles(phaseOf(crowd)), []);
});

test("pings go out while live", async () => {
  const server = await serve();
  const crowd = crowdAt(server, { connections: 3, pingMs: 200 });
  await until(crowd, "each has pinged", ({ counts }) => counts.pings >= 6);
});
