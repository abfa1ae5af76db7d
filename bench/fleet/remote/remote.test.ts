import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadConfig } from "../../../server/config.js";
import { runQuietly } from "../../run-bench.testkit.js";
import { parseResult } from "../../support/result.js";
import { ServedNode } from "../../support/served-node.js";
import { AgentServer } from "./agent-server.js";
import { RemoteAgent } from "./remote-agent.js";
import { type FromAgent, STRANGER_BYTES_MAX, sendFrame } from "./wire.js";

const SECRET = "0123456789abcdef-of-a-test";
const MAIN = fileURLToPath(new URL("../../main.js", import.meta.url));

interface AgentProcess {
  readonly address: string;
  readonly port: number;
  /** As if the machine were gone. */
  readonly kill: () => Promise<void>;
}

/** An agent as users start it, in a process of its own. */
async function startAgent(t: TestContext, host: string): Promise<AgentProcess> {
  const child = spawn(process.execPath, [MAIN, "agent", `--listen=${host}:0`, "--processes=2"], {
    env: { ...process.env, FANWIRE_BENCH_SECRET: SECRET },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const gone = once(child, "close");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await gone;
  };
  t.after(kill);
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /^listening on \S+:(\d+),/.exec(line)?.[1];
    if (port !== undefined) return { address: `${host}:${port}`, port: Number(port), kill };
  }
  throw new Error("the agent ended");
}

/** Runs a bench in a process of its own; what is to happen happens when it says that. */
async function runUntil(
  t: TestContext,
  args: readonly string[],
  line: string,
  happen: () => Promise<void>,
): Promise<{ code: unknown; out: string }> {
  const bench = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => bench.kill("SIGKILL"));
  let out = "";
  bench.stdout.on("data", (text) => {
    out += text;
  });
  const ended = once(bench, "close");
  for await (const said of createInterface({ input: bench.stderr })) if (said.startsWith(line)) break;
  bench.stderr.resume();
  await happen();
  const [code] = await ended;
  return { code, out };
}

function files(t: TestContext): { secret: string; json: string } {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-fleet-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const secret = join(folder, "secret");
  writeFileSync(secret, `${SECRET}\n`);
  return { secret, json: join(folder, "result.json") };
}

test("clients of agents in other processes count every delivery; an agent that dies leaves what was measured", {
  timeout: 120_000,
}, async (t) => {
  const { secret, json } = files(t);
  const agents = [await startAgent(t, "127.0.0.11"), await startAgent(t, "127.0.0.12")];
  const fleet = [`--fleet=${agents.map(({ address }) => address).join(",")}`, `--secret-file=${secret}`];
  const small = ["--servers=engine", "--subscribers=11", "--rate=20", "--seconds=0.3"];
  const whole = await runQuietly("fanout", ...small, ...fleet, "--repetitions=1");
  assert.equal(whole.code, 0, whole.err);
  assert.match(whole.out, /^- 66 deliveries in 1 windows of 6 messages a room; none missing/m);

  const lost = agents[1]?.kill ?? assert.fail();
  const args = ["fanout", ...small, ...fleet, "--repetitions=200", `--json=${json}`];
  const { code, out } = await runUntil(t, args, "2/200 engine", lost);
  assert.equal(code, 1, out);
  assert.match(out, new RegExp(`INCOMPLETE: fleet_lost: the agent at ${agents[1]?.address} went away`));
  const result = parseResult(JSON.parse(readFileSync(json, "utf8")));
  assert.equal(result.status, "partial");
  assert.equal(result.problems.length, 1, "told once, however many tables it is missing from");
  assert.match(result.tables[0]?.notes[0] ?? "", /deliveries in \d+ windows/);
});

test("connections of agents to an engine that runs; of an agent that dies while they are held, how they came is kept", {
  timeout: 120_000,
}, async (t) => {
  const { secret, json } = files(t);
  const node = await ServedNode.start({ workers: 1 });
  t.after(() => node.stop());
  const agent = await startAgent(t, "127.0.0.16");
  const args = ["connections", `--url=http://127.0.0.1:${node.port}`, `--fleet=${agent.address}`];
  const small = ["--connections=30", "--witnesses=5", "--rooms=5", "--warm-up=0", "--settle-seconds=0"];
  const quick = ["--hold-seconds=0.1", "--broadcasts=1", "--broadcast-seconds=0", "--quiet-seconds=0.2"];
  const whole = await runQuietly(...args, ...small, ...quick, `--secret-file=${secret}`);
  assert.equal(whole.code, 0, whole.err);
  assert.match(whole.out, /1 broadcasts, deliveries +\| +30 \|/);
  assert.match(whole.out, /No connection lost, every message delivered/);
  const held = [...args, ...small, "--hold-seconds=60", `--secret-file=${secret}`, `--json=${json}`];
  const { code, out } = await runUntil(t, held, "holding", agent.kill);
  assert.equal(code, 1, out);
  assert.match(out, /INCOMPLETE: fleet_lost/);
  const { status, tables } = parseResult(JSON.parse(readFileSync(json, "utf8")));
  assert.equal(status, "partial");
  assert.match(tables[0]?.rows[0]?.[1] ?? "", /^30 in /);
});

test("who does not know the secret gets nothing, an agent bounds its processes, and what is wrong has a code", {
  timeout: 60_000,
}, async (t) => {
  const told: string[] = [];
  const options = { host: "127.0.0.13", port: 0, secret: SECRET, processes: 1 };
  const agents = await AgentServer.listen({ ...options, tell: (text) => told.push(text) });
  t.after(() => agents.stop());
  const address = { host: options.host, port: agents.port };
  await assert.rejects(RemoteAgent.connect(address, "another-secret-0123"), { code: "fleet_secret" });

  const first = await RemoteAgent.connect(address, SECRET);
  t.after(() => first.stop());
  assert.ok(first.openFilesMax > 0 && first.clockMicros < 1e6);
  await assert.rejects(first.ask({ kind: "phase" }, 10_000), { code: "fleet_failed" });
  await assert.rejects(RemoteAgent.connect(address, SECRET), { code: "fleet_full" });
  await first.stop();

  // What strangers say is bounded, and nothing is done for them.
  for (const bytes of [
    frameHead(STRANGER_BYTES_MAX + 1),
    jsonFrame('{"kind":"clock"}'),
    jsonFrame("7"),
    jsonFrame("{"),
  ]) {
    const socket = connect(address.port, address.host);
    t.after(() => socket.destroy());
    socket.on("error", () => {});
    socket.resume();
    socket.write(bytes);
    await once(socket, "close");
  }
  assert.ok(
    told.some((line) => line.includes("before it had shown that it knows the secret")),
    told.join("\n"),
  );
  assert.ok(
    told.some((line) => line.includes(`${STRANGER_BYTES_MAX} are allowed`)),
    told.join("\n"),
  );
});

test("nobody, another program, another version and an impostor are told apart", {
  timeout: 60_000,
}, async (t) => {
  let greet: (socket: Socket) => void = (socket) => socket.end("SSH-2.0-none\r\n\r\n");
  const other = createServer((socket) => {
    socket.on("error", () => {});
    greet(socket);
  }).listen(0, "127.0.0.14");
  t.after(() => other.close());
  await once(other, "listening");
  const address = other.address();
  assert.ok(address !== null && typeof address === "object");
  const fleet = `127.0.0.14:${address.port}`;
  const { secret } = files(t);
  const bench = (list = fleet): ReturnType<typeof runQuietly> =>
    runQuietly("fanout", "--servers=engine", `--fleet=${list}`, `--secret-file=${secret}`);
  assert.match((await bench()).err, /fleet_unreachable: 127\.0\.0\.14:\d+ is no agent/);
  const say = (value: FromAgent) => (socket: Socket) => sendFrame(socket, value);
  greet = say({ kind: "hello", version: "0.0.1", nonce: "x" });
  assert.match((await bench()).err, /fleet_version: .* is version 0\.0\.1, this bench is/);
  const { version } = JSON.parse(readFileSync(new URL("../../../../package.json", import.meta.url), "utf8"));
  greet = (socket) => {
    say({ kind: "hello", version, nonce: "x" })(socket);
    say({ kind: "welcome", proof: "0".repeat(64), openFilesMax: 1, host: "here" })(socket);
  };
  assert.match((await bench()).err, /fleet_secret: .* did not show that it knows the secret/);
  other.close();
  greet = (socket) => socket.destroy();
  const closed = await bench("127.0.0.14:1");
  assert.equal(closed.code, 1);
  assert.match(closed.err, /fleet_unreachable: no agent answers at 127\.0\.0\.14:1: ECONNREFUSED/);
});

test("what cannot be asked for is refused before anything starts", async (t) => {
  const { secret } = files(t);
  const refused = async (pattern: RegExp, ...args: string[]): Promise<void> => {
    const { code, err } = await runQuietly(...args);
    assert.equal(code, 2, err);
    assert.match(err, pattern);
  };
  await refused(
    /--fleet "nowhere": HOST:PORT is needed/,
    "fanout",
    "--fleet=nowhere",
    `--secret-file=${secret}`,
  );
  await refused(
    /an agent elsewhere cannot reach 127\.0\.0\.1; --url says/,
    "fanout",
    "--fleet=10.0.0.7:7000",
  );
  await refused(/--starve is of clients here/, "fanout", "--fleet=127.0.0.1:7000", "--starve=0.5");
  await refused(/--secret-file .*: ENOENT/, "agent", "--secret-file=/nowhere/at/all");
  await refused(/must hold the secret .* 16 to 1024 characters/, "agent");
  await refused(/--listen "9": HOST:PORT/, "agent", "--listen=9");
  await refused(/--processes: an integer of 1 or more/, "agent", "--processes=0");
  await refused(/there is no option --port/, "agent", "--port=7000");
  const taken = createServer().listen(0, "127.0.0.15");
  t.after(() => taken.close());
  await once(taken, "listening");
  const address = taken.address();
  assert.ok(address !== null && typeof address === "object");
  const busy = await runQuietly("agent", `--listen=127.0.0.15:${address.port}`, `--secret-file=${secret}`);
  assert.deepEqual([busy.code, busy.err], [1, `cannot listen on 127.0.0.15:${address.port} (EADDRINUSE)\n`]);
});

function frameHead(length: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length);
  return head;
}

function jsonFrame(text: string): Buffer {
  return Buffer.concat([frameHead(Buffer.byteLength(text)), Buffer.from(text)]);
}

test("whoever has the fleet's secret in the environment may start an engine there", () => {
  const env = { FANWIRE_BENCH_SECRET: "0123456789abcdef" };
  assert.doesNotThrow(() => loadConfig({ argv: [], env, cwd: tmpdir() }));
  assert.throws(
    () => loadConfig({ argv: [], env: { FANWIRE_BENCH_SECRETS: "1" }, cwd: tmpdir() }),
    /unknown/,
  );
});
