import { delay } from "../support/clock.js";
import { ServerProcess, Subscribers } from "../support/contest.js";
import { kernelMemory } from "../support/kernel.js";
import { shippedNodeArgs } from "../support/node-args.js";
import { splitArgs } from "../support/scenario.js";
import type { Calibration } from "./calibration.js";
import type { Run } from "./model.js";

const FEW_ROOMS = 1;
const MANY_ROOMS = 30;

export interface MemoryOptions {
  readonly connections: number;
  /** Rest before memory is read. */
  readonly settleMs: number;
  /** For how long connections are held that get nothing. */
  readonly idleMs: number;
}

export interface MemorySeen {
  readonly memory: Calibration["memory"];
  /** µs of one core that a new connection takes, one subscription included. */
  readonly connectMicros: number;
  /** What connections cost that get nothing and ping now and then. */
  readonly idle: Run;
}

/** Memory of a connection and of a subscription, from how much processes grow with few rooms each and with many. */
export async function measureMemory(
  options: MemoryOptions,
  progress: (text: string) => void,
): Promise<MemorySeen> {
  const few = await grow(FEW_ROOMS, options);
  const many = await grow(MANY_ROOMS, options);
  const subscriptionBytes = Math.max(0, (many.bytesEach - few.bytesEach) / (MANY_ROOMS - FEW_ROOMS));
  progress(
    `memory: ${Math.round(few.bytesEach)} bytes a connection, ${Math.round(subscriptionBytes)} a further room`,
  );
  return {
    connectMicros: few.connectMicros,
    idle: few.idle,
    memory: {
      connectionBytes: Math.max(0, few.bytesEach - FEW_ROOMS * subscriptionBytes),
      subscriptionBytes,
      workerBytes: few.emptyBytes,
      // Both ends are on this host; a deployment has one of them.
      kernelBytes: Math.max(0, few.kernelEach / 2),
    },
  };
}

interface Grown {
  readonly bytesEach: number;
  readonly emptyBytes: number;
  readonly kernelEach: number;
  readonly connectMicros: number;
  readonly idle: Run;
}

async function grow(roomsEach: number, { connections, settleMs, idleMs }: MemoryOptions): Promise<Grown> {
  const server = await ServerProcess.start("engine", { pin: false, execArgv: splitArgs(shippedNodeArgs()) });
  const warm = new Subscribers({ pin: false, group: 1 });
  const clients = new Subscribers({ pin: false });
  try {
    const rooms = MANY_ROOMS * 3;
    // So that what any connection needs is there before.
    const first = Math.ceil(connections / 8);
    await warm.connect({ server, connections: first, rooms, roomsEach });
    await delay(settleMs);
    const emptyBytes = server.residentBytes() ?? 0;
    const kernel = kernelMemory();
    const cpuBefore = server.cpu()?.micros ?? 0;
    await clients.connect({ server, connections, rooms, roomsEach });
    const cpuMicros = (server.cpu()?.micros ?? 0) - cpuBefore;
    await delay(settleMs);
    const kernelAfter = kernelMemory();
    return {
      bytesEach: Math.max(0, ((server.residentBytes() ?? 0) - emptyBytes) / connections),
      emptyBytes,
      kernelEach:
        (kernelAfter.slabBytes + kernelAfter.tcpBytes - kernel.slabBytes - kernel.tcpBytes) / connections,
      connectMicros: cpuMicros / connections,
      idle: await idleOf(server, connections + first, idleMs),
    };
  } finally {
    await Promise.all([warm.stop(), clients.stop(), server.stop()]);
  }
}

async function idleOf(server: ServerProcess, connections: number, idleMs: number): Promise<Run> {
  const before = server.cpu()?.micros ?? 0;
  const startedMs = performance.now();
  await delay(idleMs);
  const seconds = (performance.now() - startedMs) / 1_000;
  return {
    name: `${connections} clients that get nothing`,
    cpuMicros: Math.max(1, (server.cpu()?.micros ?? 0) - before),
    work: { write: 0, message: 0, byte: 0, publish: 0, batch: 0, second: connections * seconds },
    rested: { writes: 0, perSecond: 0 },
  };
}
