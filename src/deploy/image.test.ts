import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { validate } from "dockerfile-utils";
import { ROOT } from "./kubernetes.testkit.js";

const DOCKERFILE = readFileSync(join(ROOT, "k8s/Dockerfile"), "utf8");
const USER = "1000";
const START_MS = 30_000;

/** The JSON list after the last such instruction. */
function listOf(instruction: string): string[] {
  const last = DOCKERFILE.replaceAll("\\\n", " ")
    .split("\n")
    .findLast((line) => new RegExp(`^${instruction} \\[`).test(line));
  assert.ok(last !== undefined, instruction);
  return JSON.parse(last.slice(instruction.length)) as string[];
}

test("nothing is to be said against the Dockerfile, and it runs as nobody in particular", () => {
  assert.deepEqual(validate(DOCKERFILE), []);
  assert.match(DOCKERFILE, /^USER 1000:1000$/m);
  assert.deepEqual(listOf("ENTRYPOINT"), ["/usr/bin/tini", "--", "node", "/app/dist/cli/main.js"]);
  assert.equal(validate(DOCKERFILE.replace("WORKDIR /app", "WORKDIRR /app")).length, 1);
});

/** What the image's last stage copies, with the packages that `npm prune --omit=dev` leaves. */
function imageTree(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), "fanwire-image-"));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const app = join(home, "app");
  mkdirSync(app);
  chmodSync(home, 0o755);
  cpSync(join(ROOT, "package.json"), join(app, "package.json"));
  cpSync(join(ROOT, "dist"), join(app, "dist"), {
    recursive: true,
    filter: (source) => !source.includes("/mutants") && !/\.test(kit)?\./.test(source),
  });
  const listing = execFileSync("npm", ["ls", "--omit=dev", "--all", "--parseable"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  for (const path of listing.trim().split("\n").slice(1)) {
    const name = path.slice(path.indexOf("node_modules/"));
    cpSync(path, join(app, name), { recursive: true, dereference: true });
  }
  return app;
}

/** Runs a command as the image's user and as process 1, with the tree read-only and a /tmp of its own. */
function runReadOnly(t: TestContext, app: string, command: readonly string[]): ChildProcess {
  const script = [
    "set -e",
    `mount --bind ${app} ${app}`,
    `mount -o remount,ro,bind ${app}`,
    "mount -t tmpfs -o mode=1777,size=16m tmpfs /var/tmp",
    `exec setpriv --reuid=${USER} --regid=${USER} --clear-groups --no-new-privs "$@"`,
  ].join("\n");
  const child = spawn(
    "unshare",
    ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", ...command],
    {
      cwd: "/",
      env: {
        PATH: process.env.PATH ?? "",
        TMPDIR: "/var/tmp",
        NODE_ENV: "production",
        FANWIRE_HOST: "127.0.0.1",
        FANWIRE_PORT: "0",
        FANWIRE_ADMIN_PORT: "0",
        FANWIRE_WORKERS: "2",
        FANWIRE_LOG_PRETTY: "false",
        FANWIRE_DRAIN_SECONDS: "1",
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  t.after(() => child.kill("SIGKILL"));
  return child;
}

test("the image's command serves as a user without rights on a read-only tree, is healthy, and ends on SIGTERM", async (t) => {
  const app = imageTree(t);
  const probe = runReadOnly(t, app, ["sh", "-c", `touch ${app}/written`]);
  assert.notEqual((await once(probe, "exit"))[0], 0, "the tree can be written to");
  const [, , ...entry] = listOf("ENTRYPOINT");
  const command = [...entry, ...listOf("CMD")].map((part) => part.replace(/^\/app\//, `${app}/`));
  assert.equal(basename(command[1] ?? ""), "main.js");
  const child = runReadOnly(t, app, command);
  const said: string[] = [];
  const { url, admin } = await running(child, said);
  const health = await fetch(`${admin}/livez`);
  assert.equal(health.status, 200);
  const stored = await fetch(`${url}/v1/rooms/image.test/messages`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "1",
  });
  assert.equal(stored.status, 200);
  // As an engine of containers does: to process 1, which gets no signal that it has no handler for.
  const first = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
  assert.match(readFileSync(`/proc/${first}/status`, "utf8"), /^NSpid:\s+\d+\s+1$/m);
  process.kill(Number(first), "SIGTERM");
  const [code] = await once(child, "exit");
  assert.equal(code, 0, said.join(""));
});

/** Waits for the supervisor's line that says that it runs. */
async function running(child: ChildProcess, said: string[]): Promise<{ url: string; admin: string }> {
  assert.ok(child.stderr !== null);
  const deadline = setTimeout(() => child.kill("SIGKILL"), START_MS);
  try {
    for await (const line of createInterface({ input: child.stderr })) {
      said.push(line);
      const { msg, url, admin } = line.startsWith("{") ? JSON.parse(line) : {};
      if (msg === "running") return { url, admin };
    }
  } finally {
    clearTimeout(deadline);
  }
  throw new Error(`it never ran: ${said.join("\n")}`);
}
