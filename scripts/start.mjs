// Runs the demo, ends all of it together, and passes the exit code on of what ended by itself. Called by start.sh after the build.
//   start.mjs [arguments of the feed]          one node
//   start.mjs --nats [arguments of the feed]   two nodes that share their rooms through a NATS server on loopback
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const args = process.argv.slice(2);
const isNats = args.includes("--nats");
const feedArgs = args.filter((arg) => arg !== "--nats");
const NATS_PORT = 4222;
/** From one node's port to the next one's. */
const PORT_STEP = 100;

const children = new Set();
/** Children that end by themselves, in time. */
const scripts = new Set();
/** Run in turn when all children have ended. */
const atEnd = [];
let stopping = false;
let ending = false;
/** What the children were told to end by. */
let sent;
let exitCode = 0;

// In a process group of its own: Ctrl-C reaches this process alone, which then tells each child.
function run(name, file, fileArgs, stdio, env = {}) {
  const child = spawn(process.execPath, [join(root, "dist", file), ...fileArgs], {
    stdio,
    detached: true,
    env: { ...process.env, ...env },
  });
  children.add(child);
  child.once("error", (cause) => ended(child, name, `${cause.message}`, 1));
  child.once("exit", (code, signal) => {
    // One that had only just begun does not know the signal yet that it was sent.
    const isAsked = stopping && signal !== null && signal === sent;
    ended(child, name, signal ?? `code ${code}`, isAsked ? 0 : (code ?? 128 + constants.signals[signal]));
  });
  return child;
}

// Whichever ends first by itself takes the others along, and its code is the result.
function ended(child, name, how, code) {
  if (!children.delete(child)) return;
  if (!stopping) {
    exitCode = code;
    process.stderr.write(`start: ${name} ended with ${how}\n`);
    stop();
  } else if (code !== 0 && exitCode === 0) exitCode = code;
  void endIfAlone();
}

function stop(signal = "SIGTERM") {
  stopping = true;
  sent = signal;
  for (const child of children) child.kill(signal);
  for (const child of scripts) child.kill("SIGTERM");
  void endIfAlone();
}

async function endIfAlone() {
  if (children.size > 0 || scripts.size > 0 || !stopping || ending) return;
  ending = true;
  for (let work = atEnd.pop(); work !== undefined; work = atEnd.pop()) await work();
  process.exit(exitCode);
}

function fail(text) {
  // What was interrupted fails.
  if (stopping) return;
  process.stderr.write(`start: ${text}\n`);
  if (exitCode === 0) exitCode = 1;
  stop();
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);
// The terminal is gone.
process.on("SIGHUP", () => stop());

/** Resolves with the address that it listens on. */
function serve(name, serveArgs, env) {
  const node = run(
    name,
    "cli/main.js",
    ["serve", "--demo", ...serveArgs],
    ["ignore", "pipe", "inherit"],
    env,
  );
  return new Promise((resolve) => {
    createInterface(node.stdout).on("line", (line) => {
      const url = /listens on (https?:\/\/\S+)/.exec(line)?.[1];
      // A server on every interface is reached on this one.
      if (url !== undefined)
        resolve(url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:"));
      else if (!line.startsWith("the demo page is at")) process.stdout.write(`${line}\n`);
    });
  });
}

function feed(url, more = []) {
  if (stopping) return;
  run("feed/main.js", "feed/main.js", ["--url", url, ...more, ...feedArgs], ["ignore", "inherit", "inherit"]);
}

/** @throws Error with what it said, where it does not end with code 0. */
function script(file, fileArgs, env) {
  return new Promise((resolve, reject) => {
    // Detached: Ctrl-C reaches this process alone.
    const options = { cwd: root, env: { ...process.env, ...env }, detached: true };
    const child = execFile(file, fileArgs, options, (cause, stdout, stderr) => {
      scripts.delete(child);
      if (cause === null) resolve(stdout);
      else reject(new Error(`${fileArgs.join(" ")}: ${`${stderr}${stdout}`.trim() || cause.message}`));
      void endIfAlone();
    });
    if (!ending) scripts.add(child);
  });
}

function isFree(port) {
  return new Promise((resolve) => {
    const listener = createServer();
    listener.once("error", () => resolve(false));
    listener.listen(port, "127.0.0.1", () => {
      const { port: found } = listener.address();
      listener.close(() => resolve(found));
    });
  });
}

async function oneNode() {
  // A second demo on another port needs another admin port, too.
  const port = Number(process.env.FANWIRE_PORT);
  if (Number.isInteger(port)) process.env.FANWIRE_ADMIN_PORT ??= String(port === 0 ? 0 : port + 1);
  const url = await serve("cli/main.js", []);
  feed(url);
  process.stdout.write(`\n  fanwire is running: ${url}/\n  Ctrl-C ends it.\n\n`);
}

/** The way that a deployment is run: accounts with the least rights, provisioned by the one that may. */
async function twoNodes() {
  const dir = mkdtempSync(join(tmpdir(), "fanwire-start-"));
  atEnd.push(() => rmSync(dir, { recursive: true, force: true }));
  const password = Object.fromEntries(
    ["ENGINE", "PROVISIONER", "PUBLISHER", "READER"].map((user) => [
      user,
      `p${randomBytes(12).toString("hex")}`,
    ]),
  );
  const server = {
    FANWIRE_NATS_DIR: join(dir, "nats"),
    FANWIRE_NATS_CONFIG: join(root, "scripts/nats-accounts.conf"),
    ...Object.fromEntries(Object.entries(password).map(([user, text]) => [`NATS_${user}_PASSWORD`, text])),
  };
  const natsPort = (await isFree(NATS_PORT)) || (await isFree(0));
  atEnd.push(() =>
    script("scripts/nats.sh", ["stop"], server).catch((cause) =>
      process.stderr.write(`start: ${cause.message}\n`),
    ),
  );
  process.stdout.write("Starting NATS…\n");
  await script("scripts/nats.sh", ["start", String(natsPort)], server);
  const as = (user) => ({
    FANWIRE_BROKER: `nats://127.0.0.1:${natsPort}`,
    FANWIRE_NATS_USER: user,
    FANWIRE_NATS_PASSWORD: password[user.toUpperCase()],
    FANWIRE_NATS_INBOX_PREFIX: `_INBOX_${user}`,
  });
  if (stopping) return;
  const main = join(root, "dist/cli/main.js");
  await script(process.execPath, [main, "nats", "provision", "--demo"], as("provisioner"));
  if (stopping) return;
  const given = process.env.FANWIRE_PORT;
  const first = given === undefined ? 9001 : Number(given);
  const nodes = await Promise.all(
    ["node-a", "node-b"].map(async (name, index) => {
      const port = first === 0 ? 0 : first + index * PORT_STEP;
      const ports = ["--port", String(port), "--admin.port", String(port === 0 ? 0 : port + 1)];
      return { name, url: await serve(name, ["--node", name, ...ports], as("engine")) };
    }),
  );
  const list = nodes.map(({ name, url }) => `${name}=${new URL(url).port}`).join(",");
  feed(nodes[0].url, ["--nodes", list]);
  const lines = nodes.map(
    ({ name, url }, index) => `    ${name}  ${url}/${index === 0 ? "  the feed publishes here" : ""}\n`,
  );
  process.stdout.write(
    `\n  fanwire is running on two nodes of one NATS (nats://127.0.0.1:${natsPort}):\n${lines.join("")}  Ctrl-C ends all of it.\n\n`,
  );
}

await (isNats ? twoNodes() : oneNode()).catch((cause) => fail(cause.message));
