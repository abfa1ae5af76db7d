import type { Calibration } from "./calibration.js";
import type { Wish } from "./plan.js";

/** What a machine like those of the tests might have said. */
export const CALIBRATION: Calibration = {
  format: "fanwire-calibration/3",
  at: "2026-01-01T00:00:00.000Z",
  machine: "2 × test <&>",
  fanwire: "0.1.0",
  prices: { write: 4, cold: 6, message: 0.1, byte: 0.0003, publish: 3, batch: 2, second: 1 },
  restMs: 50,
  connectMicros: 100,
  memory: { connectionBytes: 1_500, subscriptionBytes: 100, workerBytes: 80e6, kernelBytes: 5_000 },
  heldOut: { runs: 6, median: 0.08, worst: 0.2 },
  runs: [
    { name: "a run", heldOut: false, measured: 200_000, predicted: 190_000, spread: 0.05 },
    { name: "another", heldOut: true, measured: 300_000, predicted: 350_000, spread: 0.1 },
  ],
  frontier: [
    { connections: 1_000, deliveriesPerSecond: 1e6, p99Micros: 30_000, bound: "clients" },
    { connections: 3_000, deliveriesPerSecond: 4e5, p99Micros: 45_000, bound: "latency" },
  ],
};

export const WISH: Wish = {
  connections: 250_000,
  roomsPerClient: 40,
  rooms: 5_000,
  updates: 15_000,
  batch: 1,
  rate: 20,
  bytes: 100,
  cores: 8,
  memoryGiB: 16,
  nicGbit: 10,
  utilization: 0.6,
  lost: 1,
  backSeconds: 60,
};
