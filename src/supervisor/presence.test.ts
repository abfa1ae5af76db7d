import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { Client } from "../client/index.js";
import { kill, TestNode } from "./node.testkit.js";
import { askPresence, PRESENCE_ENV, Tab, tokenOf } from "./presence.testkit.js";

const GUESTS = 12;

test("presence over workers and hubs: tabs are one member, and a worker or a hub that is killed leaves the truth behind", async (t) => {
  const node = await TestNode.start(t, {
    args: ["--workers", "2", "--hubs", "2"],
    env: PRESENCE_ENV,
  });
  const watchers = await Promise.all([1, 2, 3, 4].map((n) => Tab.open(t, node.url, `watcher-${n % 2}`)));
  for (const watcher of watchers)
    for (const room of ["lobby.a", "hall.a"]) watcher.subscribe(room, { members: true });
  // By the kernel's hash they are spread over both workers.
  const guests = await Promise.all(
    Array.from({ length: GUESTS }, (_, n) => Tab.open(t, node.url, `guest-${n % 6}`)),
  );
  for (const [n, guest] of guests.entries()) {
    guest.subscribe("lobby.a", { info: { n: n % 6 } });
    guest.subscribe("hall.a");
  }
  for (const watcher of watchers) {
    await watcher.untilCount("lobby.a", 2 + 6);
    await watcher.untilCount("hall.a", 4 + GUESTS);
  }
  const list = Object.fromEntries([
    ...[0, 1, 2, 3, 4, 5].map((n) => [`guest-${n}`, { n }]),
    ...[0, 1].map((n) => [`watcher-${n}`, null]),
  ]);
  for (const watcher of watchers) assert.deepEqual(watcher.members("lobby.a"), list);
  assert.deepEqual(await askPresence(node.url, "hall.a"), { status: 200, body: { count: 4 + GUESTS } });
  assert.deepEqual(await askPresence(node.url, "lobby.a", "?limit=2&after=guest-1"), {
    status: 200,
    body: {
      count: 8,
      members: [
        ["guest-2", { n: 2 }],
        ["guest-3", { n: 3 }],
      ],
      more: true,
    },
  });
  assert.deepEqual((await askPresence(node.url, "hall.nobody")).body, { count: 0 });
  assert.equal((await askPresence(node.url, "chat.a")).status, 400);

  const client = new Client(`${node.url}/ws`, { WebSocket, token: await tokenOf("client") });
  t.after(() => client.close());
  const lobby = client.subscribe("lobby.a", { members: true, info: "hello" });
  while (lobby.presence?.members?.get("client") !== "hello")
    await new Promise((resolve) => lobby.on("members", resolve));
  assert.deepEqual(
    [...(lobby.presence.members?.keys() ?? [])].sort(),
    ["client", ...Object.keys(list)].sort(),
  );
  assert.deepEqual(await client.presence("hall.a"), { count: 4 + GUESTS, members: undefined, more: false });
  client.close();

  const [worker, other] = await node.workerPids();
  const all = [...watchers, ...guests];
  kill(worker ?? 0, "SIGKILL");
  const killedMs = performance.now();
  await node.until("replaced", ({ ready, workers }) => ready && workers[0]?.pid !== worker);
  const isOpen = ({ socket }: Tab): boolean => socket.readyState === socket.OPEN;
  const left = all.filter(isOpen).length;
  const [survivor] = watchers.filter(isOpen);
  if (survivor !== undefined) {
    await survivor.untilCount("hall.a", left);
    t.diagnostic(
      `a killed worker's ${all.length - left} of ${all.length} were gone after ${Math.round(performance.now() - killedMs)} ms`,
    );
  }
  assert.ok((await node.workerPids()).includes(other ?? 0));

  const late = await Tab.open(t, node.url, "late");
  for (const room of ["lobby.a", "hall.a"]) late.subscribe(room, { members: true });
  await late.untilCount("hall.a", left + 1);
  const { hubs } = await node.status();
  for (const { pid } of hubs) kill(pid ?? 0, "SIGKILL");
  const startMs = performance.now();
  await node.until(
    "hubs replaced",
    ({ ready, hubs: now }) => ready && now.every(({ pid }, i) => pid !== hubs[i]?.pid),
  );
  const newcomer = await Tab.open(t, node.url, "newcomer");
  newcomer.subscribe("hall.a");
  await late.untilCount("hall.a", left + 2);
  t.diagnostic(`killed hubs knew everything again after ${Math.round(performance.now() - startMs)} ms`);
  assert.deepEqual((await askPresence(node.url, "hall.a")).body, { count: left + 2 });
});
