#!/usr/bin/env node
import { closeSync, openSync } from "node:fs";
import { run } from "./run.js";

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

const stop = new AbortController();

function onSignal(signal: keyof typeof SIGNALS): void {
  // Asked twice: whoever asks does not want to wait.
  if (stop.signal.aborted) process.exit(SIGNALS[signal]);
  stop.abort(signal);
}

process.on("SIGINT", () => onSignal("SIGINT"));
process.on("SIGTERM", () => onSignal("SIGTERM"));

// The reader of a pipe has seen enough ("fanwire sub … | head"): no error, and nobody to tell.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

/** A terminal that is closed says SIGHUP too: it cannot be opened any more. */
function isTerminalGone(): boolean {
  if (!process.stderr.isTTY) return false;
  try {
    closeSync(openSync("/dev/tty", "r"));
    return false;
  } catch {
    return true;
  }
}

const { stdin, stdout, stderr, env } = process;
process.exitCode = await run(process.argv.slice(2), {
  stdin,
  stdout,
  stderr,
  env,
  cwd: process.cwd(),
  stop: stop.signal,
  onHangup: (reload) => process.on("SIGHUP", () => (isTerminalGone() ? onSignal("SIGTERM") : reload())),
});
// A library may have left a socket open that it gave up on. By then all that was written is out.
setTimeout(() => process.exit(), 1_000).unref();
