import { cpus } from "node:os";
import { delay } from "../support/clock.js";
import { ServerProcess, Subscribers } from "../support/contest.js";
import { ownVersion } from "../support/environment.js";
import { kernelMemory } from "../support/kernel.js";
import { shippedNodeArgs } from "../support/node-args.js";
import { splitArgs } from "../support/scenario.js";
import { messagesPerRoom, type PublishPlan } from "../support/schedule.js";
import { summarize } from "../support/statistics.js";
import type { Calibration } from "./calibration.js";
import { cpuOf, fitPrices, relativeError, type Sample } from "./model.js";

export interface CalibrateOptions {
  /** Length of a window. */
  readonly seconds: number;
  /** Windows of each run; the middle one counts. */
  readonly repetitions: number;
  /** Scales the number of clients, for tests. Default: 1. */
  readonly scale?: number;
  readonly progress: (text: string) => void;
}

/** One point of the design: everything that prices are told apart by is varied apart from the others. */
interface Point {
  readonly subscribers: number;
  readonly rooms: number;
  readonly roomsEach: number;
  readonly rate: number;
  readonly burst: number;
  readonly bytes: number;
  readonly heldOut?: true;
}

/**
 * Writes are told from messages by bursts, messages from bytes by length, publishes from both by rooms without many
 * members, requests from publishes by bursts there; connections by a run of their own in which nothing is published. What is held out lies between the others, in every direction.
 */
const DESIGN: readonly Point[] = [
  { subscribers: 1_000, rooms: 1, roomsEach: 1, rate: 20, burst: 1, bytes: 100 },
  { subscribers: 1_000, rooms: 1, roomsEach: 1, rate: 60, burst: 1, bytes: 100 },
  { subscribers: 1_000, rooms: 1, roomsEach: 1, rate: 320, burst: 32, bytes: 50 },
  { subscribers: 1_000, rooms: 1, roomsEach: 1, rate: 640, burst: 64, bytes: 50 },
  { subscribers: 1_000, rooms: 1, roomsEach: 1, rate: 200, burst: 10, bytes: 1_200 },
  { subscribers: 1_000, rooms: 1, roomsEach: 1, rate: 20, burst: 1, bytes: 4_000 },
  { subscribers: 1_000, rooms: 10, roomsEach: 10, rate: 5, burst: 1, bytes: 100 },
  { subscribers: 200, rooms: 200, roomsEach: 1, rate: 50, burst: 50, bytes: 100 },
  { subscribers: 200, rooms: 200, roomsEach: 1, rate: 100, burst: 50, bytes: 100 },
  { subscribers: 200, rooms: 200, roomsEach: 1, rate: 8, burst: 1, bytes: 100 },
  { subscribers: 4_000, rooms: 1, roomsEach: 1, rate: 5, burst: 1, bytes: 100 },
  { subscribers: 1_000, rooms: 1, roomsEach: 1, rate: 40, burst: 1, bytes: 200, heldOut: true },
  { subscribers: 1_000, rooms: 1, roomsEach: 1, rate: 320, burst: 16, bytes: 100, heldOut: true },
  { subscribers: 1_000, rooms: 4, roomsEach: 2, rate: 80, burst: 4, bytes: 500, heldOut: true },
  { subscribers: 200, rooms: 100, roomsEach: 2, rate: 50, burst: 25, bytes: 100, heldOut: true },
  { subscribers: 2_000, rooms: 1, roomsEach: 1, rate: 10, burst: 1, bytes: 100, heldOut: true },
  { subscribers: 2_000, rooms: 10, roomsEach: 3, rate: 4, burst: 2, bytes: 300, heldOut: true },
];

/** Frame, room, offsets and time around a message's data, as plan.ts has it. */
const MESSAGE_BYTES = 48;
const FEW_ROOMS = 1;
const MANY_ROOMS = 30;
const SETTLE_MS = 1_000;
const IDLE_MS = 3_000;

/** Measures the design on this machine, one engine with one worker at a time, and fits the prices. */
export async function calibrate(options: CalibrateOptions): Promise<Calibration> {
  const { scale = 1, progress } = options;
  const samples: { sample: Sample; heldOut: boolean }[] = [];
  for (const [number, point] of DESIGN.entries()) {
    const scaled = { ...point, subscribers: Math.max(10, Math.round(point.subscribers * scale)) };
    const sample = await measure(scaled, options);
    samples.push({ sample, heldOut: point.heldOut === true });
    progress(
      `${number + 1}/${DESIGN.length} ${sample.name}: ${Math.round(sample.cpuMicros / 1_000)} ms of CPU`,
    );
  }
  const memory = await measureMemory(Math.max(100, Math.round(4_000 * scale)), progress);
  samples.push({ sample: memory.idle, heldOut: false });
  const prices = fitPrices(samples.filter(({ heldOut }) => !heldOut).map(({ sample }) => sample));
  const errors = samples.filter(({ heldOut }) => heldOut).map(({ sample }) => relativeError(prices, sample));
  return {
    format: "fanwire-calibration/1",
    at: new Date().toISOString(),
    machine: `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`,
    fanwire: ownVersion(),
    prices,
    connectMicros: memory.connectMicros,
    memory: memory.memory,
    heldOut: { runs: errors.length, median: summarize(errors).median, worst: Math.max(...errors) },
    runs: samples.map(({ sample, heldOut }) => ({
      name: sample.name,
      heldOut,
      measured: sample.cpuMicros,
      predicted: cpuOf(prices, sample.work),
    })),
  };
}

async function measure(point: Point, { seconds, repetitions }: CalibrateOptions): Promise<Sample> {
  const { subscribers, rooms, roomsEach, rate, burst, bytes } = point;
  const plan: PublishPlan = { rooms, rate, burst, bytes, seconds };
  const server = await ServerProcess.start("engine", { pin: true, execArgv: splitArgs(shippedNodeArgs()) });
  const clients = new Subscribers({ pin: true });
  try {
    await clients.connect({ server, connections: subscribers, rooms, roomsEach });
    const seen: { cpu: number; writes: number; deliveries: number; elapsed: number }[] = [];
    for (let round = 0; round <= repetitions; round++) {
      const startedMs = performance.now();
      const window = await clients.window(server, plan);
      if (window.troubles.length > 0) throw new Error(`${nameOf(point)}: ${window.troubles.join("; ")}`);
      // The first one only warms up.
      if (round === 0) continue;
      seen.push({
        cpu: window.cpuMicros * window.deliveries,
        // A server that is late puts several frames into a write; a read is what comes of it.
        writes: window.deliveries * window.readsPerDelivery,
        deliveries: window.deliveries,
        elapsed: (performance.now() - startedMs) / 1_000,
      });
    }
    const middle = (pick: (one: (typeof seen)[number]) => number): number => summarize(seen.map(pick)).median;
    const deliveries = middle((one) => one.deliveries);
    return {
      name: nameOf(point),
      cpuMicros: middle((one) => one.cpu),
      work: {
        write: middle((one) => one.writes),
        message: deliveries,
        byte: deliveries * (bytes + MESSAGE_BYTES),
        publish: rooms * messagesPerRoom(plan),
        batch: (rooms * messagesPerRoom(plan)) / burst,
        second: subscribers * middle((one) => one.elapsed),
      },
    };
  } finally {
    await Promise.all([clients.child.stop(), server.stop()]);
  }
}

function nameOf({ subscribers, rooms, roomsEach, rate, burst, bytes }: Point): string {
  return `${subscribers} clients in ${roomsEach} of ${rooms} rooms, ${rate}/s a room by ${burst}, ${bytes} bytes`;
}

/** Memory of a connection and of a subscription, from how much processes grow with few rooms each and with many. */
async function measureMemory(
  connections: number,
  progress: (text: string) => void,
): Promise<{ memory: Calibration["memory"]; connectMicros: number; idle: Sample }> {
  const few = await grow(connections, FEW_ROOMS);
  const many = await grow(connections, MANY_ROOMS);
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

/** What connections cost that get nothing and ping now and then. */
async function idleOf(server: ServerProcess, connections: number): Promise<Sample> {
  const before = server.cpu()?.micros ?? 0;
  const startedMs = performance.now();
  await delay(IDLE_MS);
  const seconds = (performance.now() - startedMs) / 1_000;
  return {
    name: `${connections} clients that get nothing`,
    cpuMicros: Math.max(1, (server.cpu()?.micros ?? 0) - before),
    work: { write: 0, message: 0, byte: 0, publish: 0, batch: 0, second: connections * seconds },
  };
}

async function grow(
  connections: number,
  roomsEach: number,
): Promise<{
  bytesEach: number;
  emptyBytes: number;
  kernelEach: number;
  connectMicros: number;
  idle: Sample;
}> {
  const server = await ServerProcess.start("engine", { pin: false, execArgv: splitArgs(shippedNodeArgs()) });
  const warm = new Subscribers({ pin: false, group: 1 });
  const clients = new Subscribers({ pin: false });
  try {
    const rooms = MANY_ROOMS * 3;
    // So that what any connection needs is there before.
    await warm.connect({ server, connections: Math.ceil(connections / 8), rooms, roomsEach });
    await delay(SETTLE_MS);
    const emptyBytes = server.residentBytes() ?? 0;
    const kernel = kernelMemory();
    const cpuBefore = server.cpu()?.micros ?? 0;
    await clients.connect({ server, connections, rooms, roomsEach });
    const cpuMicros = (server.cpu()?.micros ?? 0) - cpuBefore;
    await delay(SETTLE_MS);
    const kernelAfter = kernelMemory();
    const idle = await idleOf(server, connections + Math.ceil(connections / 8));
    return {
      bytesEach: Math.max(0, ((server.residentBytes() ?? 0) - emptyBytes) / connections),
      emptyBytes,
      kernelEach:
        (kernelAfter.slabBytes + kernelAfter.tcpBytes - kernel.slabBytes - kernel.tcpBytes) / connections,
      connectMicros: cpuMicros / connections,
      idle,
    };
  } finally {
    await Promise.all([warm.child.stop(), clients.child.stop(), server.stop()]);
  }
}
