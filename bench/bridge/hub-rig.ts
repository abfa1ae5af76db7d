import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WorkerReply, WorkerRequest } from "../hub-worker.js";
import { Child } from "../support/child.js";
import { splitArgs } from "../support/scenario.js";
import type { HostReply, HostRequest } from "./host.js";
import type { Nats } from "./nats-servers.js";
import type { BridgeSettings } from "./servers.js";

export type BridgeHost = Child<HostRequest, HostReply>;
export type BridgeWorker = Child<WorkerRequest, WorkerReply>;

const START_MS = 120_000;

/** One hub with the NATS broker, and processes that are linked to it as workers are. */
export async function withHub<T>(
  nats: Nats,
  settings: BridgeSettings,
  options: { readonly workers: number; readonly nodeArgs: string },
  use: (host: BridgeHost, workers: readonly BridgeWorker[]) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-bench-"));
  const socketPath = join(folder, "hub.sock");
  const execArgv = splitArgs(options.nodeArgs);
  // The supervisor gives hubs no arguments.
  const host: BridgeHost = new Child("bridge/host.js");
  const workers = Array.from(
    { length: options.workers },
    (): BridgeWorker => new Child("hub-worker.js", { execArgv }),
  );
  try {
    await host.ask({ kind: "listen", socketPath, urls: nats.urls, ...settings }, START_MS);
    await Promise.all(workers.map((worker) => worker.ask({ kind: "open", socketPath, rooms: 0 }, START_MS)));
    return await use(host, workers);
  } finally {
    await Promise.all([host.stop(), ...workers.map((worker) => worker.stop())]);
    rmSync(folder, { recursive: true, force: true });
  }
}
