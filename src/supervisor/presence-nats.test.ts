import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { kill, TestNode } from "./node.testkit.js";
import { askPresence, PRESENCE_ENV, Tab } from "./presence.testkit.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const PARTITIONS = ["--nats.partitions", "2"];
const LISTED = "lobby.a";
const COUNTED = "hall.a";
/** On a machine that does much else; the promise is 10 seconds. */
const GONE_MS_MAX = 20_000;

test("presence over nodes: a broker that restarts, and a node that is killed, leave the truth behind", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const provision = [MAIN, "nats", "provision", ...flagsAs("provisioner", server.url), ...PARTITIONS];
  await promisify(execFile)(process.execPath, provision, { env: { ...process.env, ...PRESENCE_ENV } });
  const engine = [...flagsAs("engine", server.url), ...PARTITIONS];
  const [here, there] = await Promise.all([
    TestNode.start(t, { args: ["--workers", "2", ...engine], env: PRESENCE_ENV }),
    TestNode.start(t, { args: ["--workers", "1", ...engine], env: PRESENCE_ENV }),
  ]);
  const watcher = await Tab.open(t, here.url, "watcher");
  const both = await Promise.all([here, there].map(({ url }) => Tab.open(t, url, "both")));
  const guest = await Tab.open(t, there.url, "guest");
  for (const room of [LISTED, COUNTED]) {
    watcher.subscribe(room, { members: true });
    for (const tab of both) tab.subscribe(room);
    guest.subscribe(room, room === LISTED ? { info: "from there" } : {});
  }
  const startMs = performance.now();
  await watcher.untilCount(COUNTED, 4);
  await watcher.untilCount(LISTED, 3);
  t.diagnostic(`another node's were known after ${Math.round(performance.now() - startMs)} ms`);
  assert.deepEqual(watcher.members(LISTED), { both: null, guest: "from there", watcher: null });
  assert.deepEqual((await askPresence(there.url, COUNTED)).body, { count: 4 });

  await server.kill();
  await here.until("not ready", ({ ready }) => !ready);
  guest.socket.close();
  await server.restart();
  const backMs = performance.now();
  await watcher.untilCount(COUNTED, 3);
  await watcher.until("the guest is gone", () => watcher.lists.get(LISTED)?.size === 2);
  t.diagnostic(
    `who went while NATS was away was gone ${Math.round(performance.now() - backMs)} ms after it was back`,
  );
  assert.deepEqual(watcher.members(LISTED), { both: null, watcher: null });

  const { workers } = await there.status();
  for (const pid of [there.process.pid, ...workers.map(({ pid }) => pid)]) kill(pid ?? 0, "SIGKILL");
  const killedMs = performance.now();
  await watcher.untilCount(COUNTED, 2);
  const goneMs = performance.now() - killedMs;
  t.diagnostic(`a killed node's were gone after ${Math.round(goneMs)} ms`);
  assert.ok(goneMs < GONE_MS_MAX, `${goneMs} ms`);
  // Its other tab is still there.
  assert.deepEqual(watcher.members(LISTED), { both: null, watcher: null });
});
