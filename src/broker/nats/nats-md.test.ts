import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { decode } from "@msgpack/msgpack";
import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import { dataOf } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { Collector } from "../conformance-rig.testkit.js";
import { ACCOUNT_PASSWORDS, ACCOUNTS_FILE, accessAs } from "./nats-accounts.testkit.js";
import { NatsServer } from "./nats-server.testkit.js";
import { prepareProvisioning } from "./provision.js";
import { startNatsBroker } from "./start.js";
import { encodeRoom, Subjects } from "./subjects.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const TEXT = readFileSync(join(ROOT, "src/broker/nats/NATS.md"), "utf8");
const SETTINGS = {
  defaults: DEFAULT_ROOM_SETTINGS,
  byName: { market: { ...DEFAULT_ROOM_SETTINGS, state: true } },
};

test("the programs of NATS.md publish and read, with the documented accounts", async (t) => {
  const server = await NatsServer.start({ bare: true, config: readFileSync(ACCOUNTS_FILE, "utf8") });
  t.after(() => server.dispose());
  const where = { settings: SETTINGS, prefix: "fw", partitions: 64 };
  const access = accessAs("provisioner", server.url);
  const provisioning = await prepareProvisioning({ ...where, access, maxBytes: -1, dataBytes: 15_360 });
  await provisioning.apply(false);
  await provisioning.close();
  const node = await startNatsBroker({ ...where, access: accessAs("engine", server.url), provision: false });
  t.after(() => node.stop(0));
  const sink = new Collector(15_000);
  for (const room of ["news.sports", "market.fx"]) await node.open(parseRoom(room), sink);
  const [publish = "", read = ""] = [...TEXT.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code);
  // Below the project's root, so that it finds the packages.
  const dir = await mkdtemp(join(ROOT, "dist/nats-md-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const run = async (code: string): Promise<string> => {
    const file = join(dir, "program.mjs");
    await writeFile(file, code);
    const env = { PATH: process.env.PATH, NATS_URL: server.url, ...ACCOUNT_PASSWORDS };
    return (await promisify(execFile)(process.execPath, [file], { env, timeout: 60_000 })).stdout;
  };
  assert.equal(await run(publish), "offset 1\n");
  // In no order: they are in different partitions.
  const messages = [...(await sink.until(2))].sort((one, other) => (one.room < other.room ? -1 : 1));
  assert.deepEqual(
    messages.map((message) => [message.room, message.key, decode(dataOf(message))]),
    [
      ["market.fx", "EUR/USD", { bid: 1.0841 }],
      ["news.sports", undefined, { title: "3:1" }],
    ],
  );
  assert.equal(await run(read), '1 {"title":"3:1"}\n');
});

test("what NATS.md says of names is so", () => {
  const room = parseRoom("news.sports");
  assert.ok(
    TEXT.includes(`fw.in.${new Subjects("fw", 64).partitionOf(encodeRoom(room))}.${encodeRoom(room)}`),
  );
  const accounts = readFileSync(ACCOUNTS_FILE, "utf8");
  for (const subject of ["fw.pub.*", "fw.pubkey.*.*", "fw.pubeph.*"])
    assert.ok(accounts.includes(`"${subject}"`));
  for (const name of ["_INBOX_engine", "_INBOX_provisioner", "_INBOX_publisher", "_INBOX_reader"])
    assert.ok(TEXT.includes(name) && accounts.includes(`"${name}.>"`), name);
});
