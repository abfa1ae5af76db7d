import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { WebSocket } from "ws";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { Client } from "../client/index.js";
import { eventually } from "../server/gateway-rig.testkit.js";
import { TestNode } from "./node.testkit.js";

const pathOf = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const ROOT = pathOf("");
const run = promisify(execFile);
const DEADLINE_MS = 60_000;

interface Addresses {
  readonly port: number;
  readonly nats: string;
}

/** How a line of each row is run, by a word of its first cell. */
const RUNNERS: Readonly<Record<string, (line: string, addresses: Addresses) => Promise<unknown>>> = {
  curl: (line, { port }) =>
    run("bash", ["-c", `${line.replace("localhost:9001", `127.0.0.1:${port}`)} --fail`]),
  shell: (line, { port }) =>
    run("bash", ["-c", line.replace("npx fanwire", `${process.execPath} ${pathOf("dist/cli/main.js")}`)], {
      env: { ...process.env, FANWIRE_URL: `http://127.0.0.1:${port}` },
    }),
  browser: (line, { port }) =>
    javascript(`
      import { Client } from "fanwire/client";
      import { WebSocket } from "ws";
      const client = new Client("ws://127.0.0.1:${port}/ws", { WebSocket });
      ${line};
      client.close();`),
  Python: (line, { port }) =>
    run("/usr/bin/python3", ["-B", "-c", PYTHON.replace("LINE", line), `ws://127.0.0.1:${port}/ws`], {
      cwd: pathOf("src/python"),
    }),
  NATS: (line, { nats }) =>
    javascript(`
      import { connect } from "@nats-io/transport-node";
      const nats = await connect({ servers: ${JSON.stringify(nats)} });
      ${line};
      await nats.close();`),
};

/** As in scripts/nats-accounts.conf. */
const MAPPINGS = 'mappings: { "fw.pub.*": "fw.in.{{partition(64,1)}}.{{wildcard(1)}}" }';

const PYTHON = `
import asyncio, sys
from fanwire import Client
async def main():
    async with Client(sys.argv[1]) as client:
        LINE
asyncio.run(main())
`;

function javascript(text: string): Promise<unknown> {
  return run(process.execPath, ["--input-type=module", "-e", text], { cwd: ROOT });
}

test("every line of README's table publishes", { timeout: 4 * DEADLINE_MS }, async (t) => {
  const [, table = ""] = readFileSync(pathOf("README.md"), "utf8").split("### Publishing from anywhere");
  const rows = [...table.slice(0, table.indexOf("## Presence")).matchAll(/^\| ([^|]+) \| `(.+)` \|$/gm)];
  assert.equal(rows.length, Object.keys(RUNNERS).length);
  const server = await NatsServer.start({ bare: true, config: MAPPINGS });
  t.after(() => server.dispose());
  const env = {
    FANWIRE_NAMESPACES: '{"chat":{"publish":"client"}}',
    FANWIRE_LIMITS_HANDSHAKE_LAG_MS: "60000",
  };
  const node = await TestNode.start(t, { args: ["--workers", "1", "--broker", server.url], env });
  const client = new Client(`ws://127.0.0.1:${node.port}/ws`, { WebSocket });
  t.after(() => client.close());
  const from: string[] = [];
  const room = client.subscribe<{ readonly from: string }>("chat.hello", {
    onMessage: ({ data }) => from.push(data.from),
  });
  await eventually(() => room.state.kind === "live", "live", DEADLINE_MS);
  for (const [, cell = "", line = ""] of rows) {
    const [, runner] = Object.entries(RUNNERS).find(([word]) => cell.includes(word)) ?? [];
    assert.ok(runner !== undefined, `no way to run: ${cell}`);
    await runner(line, { port: node.port, nats: server.url });
  }
  const expected = ["curl", "fanwire pub", "JavaScript", "Python", "NATS"];
  await eventually(() => from.length >= expected.length, "all messages", DEADLINE_MS);
  assert.deepEqual(from, expected);
});
