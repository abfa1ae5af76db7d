// Runs server and feed, ends both together, and passes the server's exit code on. Called by start.sh after the build.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const children = new Set();
let stopping = false;
let exitCode = 0;

// In a process group of its own: Ctrl-C reaches this process alone, which then tells each child.
function run(file, args, stdio) {
  const child = spawn(process.execPath, [dist + file, ...args], { stdio, detached: true });
  children.add(child);
  child.once("error", (cause) => ended(child, file, `${cause.message}`, 1));
  child.once("exit", (code, signal) => {
    ended(child, file, signal ?? `code ${code}`, code ?? 128 + constants.signals[signal]);
  });
  return child;
}

// Whichever ends first by itself takes the other along, and its code is the result.
function ended(child, file, how, code) {
  if (!children.delete(child)) return;
  if (!stopping) {
    exitCode = code;
    process.stderr.write(`start: ${file} ended with ${how}\n`);
    stop();
  } else if (code !== 0 && exitCode === 0) exitCode = code;
  if (children.size === 0) process.exit(exitCode);
}

function stop(signal = "SIGTERM") {
  stopping = true;
  for (const child of children) child.kill(signal);
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);
// The terminal is gone.
process.on("SIGHUP", () => stop());

// A second demo on another port needs another admin port, too.
const port = Number(process.env.FANWIRE_PORT);
if (Number.isInteger(port)) process.env.FANWIRE_ADMIN_PORT ??= String(port === 0 ? 0 : port + 1);
const server = run("cli/main.js", ["serve", "--demo"], ["ignore", "pipe", "inherit"]);
createInterface(server.stdout).on("line", (line) => {
  const url = /listens on (https?:\/\/\S+)/.exec(line)?.[1];
  if (url !== undefined) startFeed(url);
  else if (!line.startsWith("the demo page is at")) process.stdout.write(`${line}\n`);
});

function startFeed(url) {
  if (stopping) return;
  // A server on every interface is reached on this one.
  const reachable = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
  run("feed/main.js", ["--url", reachable, ...process.argv.slice(2)], ["ignore", "inherit", "inherit"]);
  process.stdout.write(`\n  fanwire is running: ${reachable}/\n  Ctrl-C ends it.\n\n`);
}
