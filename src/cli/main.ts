#!/usr/bin/env -S node --max-semi-space-size=4
// The flag halves the memory of an idle connection: V8 would keep up to 48 MB for new objects, which a server that
// encodes once and decodes nothing has few of.
import { run } from "./run.js";

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

const stop = new AbortController();

function onSignal(signal: keyof typeof SIGNALS): void {
  // Asked twice: whoever asks does not want to wait.
  if (stop.signal.aborted) process.exit(SIGNALS[signal]);
  stop.abort();
}

process.on("SIGINT", () => onSignal("SIGINT"));
process.on("SIGTERM", () => onSignal("SIGTERM"));

// The reader of a pipe has seen enough ("fanwire sub … | head"): no error, and nobody to tell.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const { stdin, stdout, stderr, env } = process;
process.exitCode = await run(process.argv.slice(2), {
  stdin,
  stdout,
  stderr,
  env,
  cwd: process.cwd(),
  stop: stop.signal,
});
