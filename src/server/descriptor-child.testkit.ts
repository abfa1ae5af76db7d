import { closeSync, openSync } from "node:fs";
import { createConfig } from "./config.js";
import { startServer } from "./server.js";

/** Run as a process of its own by the tests of descriptors: a server, and somebody in it who takes descriptors, too. */
export type DescriptorOrder =
  | { readonly kind: "look" | "giveBack" }
  /** As many as there are. */
  | { readonly kind: "take"; readonly count: number };

export interface DescriptorAnswer {
  readonly port: number;
  readonly connections: number;
  readonly shed: number;
  /** Descriptors taken by an order. */
  readonly taken: number;
  /** Of this process since its start. */
  readonly cpuMs: number;
}

// Loaded by the tests, it only has types.
if (process.argv[1] === import.meta.filename) await serve();

async function serve(): Promise<void> {
  const limits = { handshakeLagMs: 60_000 };
  const server = await startServer(createConfig({ port: 0, log: { level: "silent" }, limits }));
  const files: number[] = [];
  const answer = (): DescriptorAnswer => {
    const { user, system } = process.cpuUsage();
    return {
      port: server.port,
      connections: server.counters.connections,
      shed: server.gatewayCounters.connectionsShed,
      taken: files.length,
      cpuMs: (user + system) / 1_000,
    };
  };
  process.on("message", (order: DescriptorOrder) => {
    if (order.kind === "giveBack") for (const file of files.splice(0)) closeSync(file);
    if (order.kind === "take") take(files, order.count);
    process.send?.(answer());
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.(answer());
}

function take(files: number[], count: number): void {
  try {
    while (files.length < count) files.push(openSync("/dev/null", "r"));
  } catch {
    // That was the last one.
  }
}
