import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { TcpProxy } from "../client/tcp-proxy.testkit.js";
import { eventually } from "../server/gateway-rig.testkit.js";
import { TestNode } from "../supervisor/node.testkit.js";

const PYTHON = "/usr/bin/python3";
const CLIENT = fileURLToPath(new URL("../../src/python/fanwire.py", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../src/python/print_events.py", import.meta.url));
const CODE_LINES_MAX = 199;
const DEADLINE_MS = 60_000;

const CONFIG = JSON.stringify({
  board: { state: true, publish: "client" },
  cursors: { ephemeral: true },
});

/** Publishes where that is allowed, and where it is not. */
const PUBLISHER = `
import asyncio, sys
from fanwire import Client, Failed
async def main():
    async with Client(sys.argv[1]) as client:
        print((await client.publish("board.a", "from Python", "k1"))["offset"])
        try: await client.publish("other.a", 1)
        except Failed as failed: print(failed.args[0])
asyncio.run(main())
`;

interface Event {
  readonly event: string;
  readonly offset?: number;
  readonly data?: unknown;
  readonly key?: string | null;
  readonly reason?: string;
}

/** What the example prints of a room, as it comes. */
class Follower {
  readonly events: Event[] = [];
  stderr = "";

  constructor(t: TestContext, port: number, room: string, options: object = {}) {
    const args = ["-B", PROGRAM, `ws://127.0.0.1:${port}/ws`, room, JSON.stringify(options)];
    const child = spawn(PYTHON, args, { stdio: ["ignore", "pipe", "pipe"] });
    t.after(() => child.kill("SIGKILL"));
    createInterface(child.stdout).on("line", (line) => this.events.push(JSON.parse(line)));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
  }

  get messages(): readonly Event[] {
    return this.events.filter(({ event }) => event === "Message");
  }

  async until(isSo: () => boolean, what: string): Promise<void> {
    await eventually(isSo, what, DEADLINE_MS).catch((cause: unknown) => {
      throw new Error(`${this.events.length} events, ${this.stderr}`, { cause });
    });
  }
}

async function publish(node: TestNode, room: string, data: unknown, key?: string): Promise<void> {
  const response = await fetch(`${node.url}/v1/rooms/${room}/messages`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key === undefined ? {} : { "fanwire-key": key }) },
    body: JSON.stringify(data),
  });
  assert.equal(response.status, 200, await response.text());
}

test("the Python example is as short as it claims", () => {
  const lines = readFileSync(CLIENT, "utf8").split("\n");
  assert.ok(lines.filter((line) => line.trim() !== "").length <= CODE_LINES_MAX);
});

test("the Python example follows rooms over cuts, and is told what it cannot have", {
  timeout: 4 * DEADLINE_MS,
}, async (t) => {
  const env = { FANWIRE_NAMESPACES: CONFIG, FANWIRE_LIMITS_HANDSHAKE_LAG_MS: "60000" };
  const node = await TestNode.start(t, { args: ["--workers", "2"], env });
  const proxy = await TcpProxy.start(t, node.port);
  for (let number = 1; number <= 6; number += 1) await publish(node, "board.a", number, `k${number % 3}`);

  const all = new Follower(t, proxy.port, "board.a", { last: 4 });
  const state = new Follower(t, node.port, "board.a", { state: true });
  const cursors = new Follower(t, node.port, "cursors.a");
  const refused = new Follower(t, node.port, "board.a", { rate: 0.123 });
  for (const follower of [all, state, cursors]) {
    const isLive = () => follower.events.some(({ event }) => event === "Live");
    await follower.until(isLive, "to be live");
  }
  await refused.until(() => refused.stderr.includes("bad_request"), "the refusal");
  assert.deepEqual(
    state.messages.map(({ key, data }) => [key, data]),
    [
      ["k1", 4],
      ["k2", 5],
      ["k0", 6],
    ],
  );

  for (let number = 7; number <= 306; number += 1) {
    // In the middle of a frame, and between frames.
    if (number === 100) proxy.cutAfter(37);
    if (number === 200) {
      const isBack = () => Number(all.messages.at(-1)?.data) >= 100;
      await all.until(isBack, "to be back after the first cut");
      proxy.cut();
    }
    await publish(node, "board.a", number, `k${number % 3}`);
  }
  await publish(node, "cursors.a", { x: 1 });
  await all.until(() => all.messages.at(-1)?.data === 306, "everything");
  const expected = Array.from({ length: 304 }, (_, index) => index + 3);
  assert.deepEqual(
    all.messages.map(({ data }) => data),
    expected,
  );
  assert.equal(proxy.connections, 3);
  assert.deepEqual(
    all.events.filter(({ event }) => event === "Lost"),
    [],
  );
  await cursors.until(() => cursors.messages.length === 1, "the cursor");
  assert.deepEqual([cursors.messages[0]?.offset, cursors.messages[0]?.data], [0, { x: 1 }]);

  const said = await promisify(execFile)(PYTHON, ["-B", "-c", PUBLISHER, `ws://127.0.0.1:${node.port}/ws`], {
    cwd: dirname(CLIENT),
  });
  assert.deepEqual(said.stdout.trim().split("\n"), ["307", "forbidden"]);
  await all.until(() => all.messages.at(-1)?.data === "from Python", "what Python published");

  const { hubs } = await node.status();
  const hub = hubs[0]?.pid ?? assert.fail("no hub");
  process.kill(hub, "SIGKILL");
  await all.until(() => all.events.at(-1)?.event === "Lost", "to be told of the new epoch");
  assert.equal(all.events.at(-1)?.reason, "epoch");
  await node.until("ready", ({ ready }) => ready);
  await publish(node, "board.a", "after", "k1");
  await all.until(() => all.messages.at(-1)?.data === "after", "what came after it");
});
