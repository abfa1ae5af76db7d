import { delay } from "../support/clock.js";
import { cpuSince, cpuTime, residentBytes } from "../support/proc.js";
import { digits, progress } from "../support/report.js";
import { withHub } from "./hub-rig.js";
import type { Nats } from "./nats-servers.js";
import type { BridgeSettings } from "./servers.js";

export interface OpenRoomsPlan extends BridgeSettings {
  readonly rooms: number;
  readonly repetitions: number;
  readonly nodeArgs: string;
}

export interface OpenRoomsRun {
  readonly seconds: number;
  readonly hubSeconds: number;
  readonly natsSeconds: number;
  readonly hubBytes: number;
}

const OPEN_MS = 120_000;
const SETTLE_MS = 1_000;

/** Opens many rooms on one hub at once, as a worker does that takes over from another. */
export async function measureOpenRooms(nats: Nats, plan: OpenRoomsPlan): Promise<OpenRoomsRun[]> {
  const runs: OpenRoomsRun[] = [];
  for (let repetition = 0; repetition < plan.repetitions; repetition += 1)
    runs.push(
      await withHub(nats, plan, { workers: 1, nodeArgs: plan.nodeArgs }, async (host, [worker]) => {
        if (worker === undefined) throw new Error("there is no worker");
        await delay(SETTLE_MS);
        const before = { cpu: cpuTime(host.pid), bytes: residentBytes(host.pid), nats: nats.cpuMicros() };
        const startedMs = performance.now();
        await worker.ask({ kind: "more", rooms: plan.rooms }, OPEN_MS);
        const seconds = (performance.now() - startedMs) / 1_000;
        const run: OpenRoomsRun = {
          seconds,
          hubSeconds: cpuSince(host.pid, before.cpu).micros / 1_000_000,
          natsSeconds: (nats.cpuMicros() - before.nats) / 1_000_000,
          hubBytes: residentBytes(host.pid) - before.bytes,
        };
        progress(`  R${plan.replicas}: ${digits(plan.rooms)} rooms open after ${digits(seconds)} s`);
        return run;
      }),
    );
  return runs;
}
