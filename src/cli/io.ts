import { once } from "node:events";
import type { Readable } from "node:stream";
import type { Environment } from "../server/config.js";

/** What a command sees of the process; tests give their own. */
export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  readonly env: Environment;
  readonly cwd: string;
  /** Aborted by SIGINT and SIGTERM, whose name is its reason: end gracefully. */
  readonly stop: AbortSignal;
  /** Calls back at each SIGHUP from now on, which ends the process otherwise. */
  readonly onHangup: (reload: () => void) => void;
}

/** 0: done as asked. 1: it could not be done. 2: asked for in a way that cannot be. */
export type ExitCode = 0 | 1 | 2;

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly help: () => string;
  /** It answers --help itself where other arguments stand before it. Default: no. */
  readonly explainsArguments?: boolean;
  readonly run: (args: readonly string[], io: Io) => Promise<ExitCode>;
}

/** Asked for in a way that cannot be; the text says what can. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** It could not be done, for a reason that has a stable code where somebody gave one. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: string | undefined;

  constructor(text: string, code?: string) {
    super(code === undefined ? text : `${code}: ${text}`);
    this.code = code;
  }
}

/** Writes a line and waits until the reader has taken enough of those before it, so that none pile up in memory. */
export async function writeLine(stream: NodeJS.WritableStream, line: string): Promise<void> {
  if (!stream.write(`${line}\n`)) await once(stream, "drain");
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
