import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { EMPTY_DIR, fanwire, type Outcome, serve } from "./cli.testkit.js";

const MAIN = fileURLToPath(new URL("./main.js", import.meta.url));
const ANY_PORTS = ["--port", "0", "--admin.port", "0"];
const DEADLINE_MS = 30_000;

/** The doctor as started by a shell with such limits. */
async function doctorUnder(ulimit: string, args: readonly string[]): Promise<Outcome> {
  const command = [process.execPath, MAIN, "doctor", ...ANY_PORTS, ...args];
  const options = { cwd: EMPTY_DIR, env: { PATH: process.env.PATH, HOME: EMPTY_DIR }, timeout: DEADLINE_MS };
  try {
    const script = ["-c", `ulimit ${ulimit} && exec "$@"`, "sh", ...command];
    return { code: 0, ...(await promisify(execFile)("sh", script, options)) };
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && "stdout" in cause && "stderr" in cause)) throw cause;
    const { code, stdout, stderr } = cause;
    assert.equal(typeof code, "number", String(stderr));
    return { code: Number(code), stdout: String(stdout), stderr: String(stderr) };
  }
}

const connections = (count: number, workers = 2) => [
  ...["--workers", String(workers)],
  ...["--limits.connections", String(count)],
];

describe("open files of the process that is asked", () => {
  test("that do not suffice end with 1, what is allowed and what to do", async () => {
    const { code, stdout, stderr } = await doctorUnder("-n 600", connections(1_000));
    assert.deepEqual([code, stderr], [1, ""]);
    assert.match(
      stdout,
      /^this machine allows 858 of the 1,000 configured connections \(2 workers, 1 hub\)\n/,
    );
    assert.match(
      stdout,
      /^ {2}problem {2}open files +600 a process, of which 429 for sockets; 2 workers: 858/m,
    );
    assert.match(
      stdout,
      /^ {2}open files:\n {4}ulimit -n 4785 .*\n {4}or --workers 3\n {4}or --limits\.connections 858$/m,
    );
  });

  test("that suffice end with 0", async () => {
    const { code, stdout } = await doctorUnder("-n 600", connections(700));
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^this machine allows the 700 configured connections /);
    assert.match(stdout, /^ {2}ok {7}open files /m);
    assert.doesNotMatch(stdout, /problem/);
  });

  test("are the hard limit, to which Node raises the soft one", async () => {
    const { code, stdout } = await doctorUnder("-Sn 256 && ulimit -Hn 600", connections(700));
    assert.equal(code, 0, stdout);
    assert.match(stdout, /open files +600 a process/);
  });
});

describe("--json", () => {
  test("has the same, whether it suffices or not", async () => {
    for (const [count, code] of [
      [1_000, 1],
      [700, 0],
    ] as const) {
      const outcome = await doctorUnder("-n 600", [...connections(count), "--json"]);
      const { ok, configured, reachable, workers, hubs, worker, findings, facts } = JSON.parse(
        outcome.stdout,
      );
      assert.equal(outcome.code, code);
      assert.deepEqual([ok, configured, workers, hubs], [code === 0, count, 2, 1]);
      assert.deepEqual([reachable, worker], [Math.min(count, 858), Math.min(429, worker)]);
      assert.equal(facts.openFiles, 600);
      assert.equal(
        findings.some(({ level }: { level: string }) => level === "problem"),
        !ok,
      );
    }
  });
});

describe("the configuration", () => {
  test("comes from where serve takes it", async () => {
    const file = join(EMPTY_DIR, "doctor.json");
    writeFileSync(file, JSON.stringify({ limits: { connections: 123 }, port: 0, admin: { port: 0 } }));
    const fromFile = await fanwire(["doctor", "--config", file]);
    assert.match(fromFile.stdout, /the 123 configured connections/);
    const env = { FANWIRE_LIMITS_CONNECTIONS: "321", FANWIRE_WORKERS: "1" };
    const fromEnv = await fanwire(["doctor", ...ANY_PORTS], { env });
    assert.match(fromEnv.stdout, /the 321 configured connections \(1 worker, 0 hubs\)/);
  });

  test("that is wrong ends with 2", async () => {
    const { code, stdout, stderr } = await fanwire(["doctor", "--json", "--limits.connection", "5"]);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /did you mean --limits\.connections\?/);
  });

  test("that asks for more memory than there is ends with 1", async () => {
    const args = ["doctor", ...ANY_PORTS, ...connections(10), "--memory.bytes", String(2 ** 40)];
    const { code, stdout } = await fanwire(args);
    assert.equal(code, 1);
    assert.match(stdout, /^this machine allows 0 of the 10 /);
    assert.match(stdout, /^ {2}problem {2}memory .* grow to 1,048,\d\d\d MiB/m);
  });
});

describe("what serve needs to start", () => {
  test("a port that another program has is a problem", async (t) => {
    const server = createServer().listen(0, "127.0.0.1");
    t.after(() => server.close());
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    // It says nothing: the doctor does not wait for its answer for long.
    for (const flag of ["--port", "--admin.port"]) {
      const args = [...ANY_PORTS, flag, String(address.port), ...connections(10)];
      const { code, stdout } = await fanwire(["doctor", ...args]);
      assert.equal(code, 1, stdout);
      assert.match(
        stdout,
        /^this machine allows the 10 configured connections, but fanwire would not start /,
      );
      assert.match(
        stdout,
        new RegExp(`problem .*port +cannot listen on 127\\.0\\.0\\.1:${address.port}: the port is taken`),
      );
    }
  });

  test("a port that fanwire has is fine: it runs", async () => {
    const { cli, url } = await serve(["--node", "patient"]);
    const { code, stdout } = await fanwire(["doctor", "--port", new URL(url).port, ...connections(10)]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /ok +port +fanwire runs on 127\.0\.0\.1:\d+, as patient/);
    await cli.stop();
  });

  test("a folder for sockets between hubs and workers", async () => {
    const args = ["doctor", ...ANY_PORTS, ...connections(10)];
    const env = { TMPDIR: join(EMPTY_DIR, "none") };
    const { code, stdout } = await fanwire(args, { env });
    assert.equal(code, 1);
    assert.match(stdout, /problem +sockets of hubs +there can be none in .*none: ENOENT/);
    assert.equal((await fanwire([...args, ...connections(10, 1)], { env })).code, 0);
  });

  test("a native module that loads", async () => {
    const { stdout } = await fanwire(["doctor", ...ANY_PORTS, ...connections(10)]);
    assert.match(stdout, /ok +engine +Node \d+\.\d+\.\d+, glibc \d+\.\d+: uWebSockets\.js loads/);
  });
});
