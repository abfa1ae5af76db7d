import { Fleet } from "../fleet/fleet.js";
import { troubles } from "../fleet/tally.js";
import { delay } from "../support/clock.js";
import { Histogram, type HistogramData } from "../support/histogram.js";
import { hostBusy } from "../support/proc.js";
import { digits, progress } from "../support/report.js";
import type { Nats } from "./nats-servers.js";
import { OpenLoop } from "./open-loop.js";
import { type BridgeSettings, NodeCpu, startNode } from "./servers.js";

export interface LatencyPlan extends BridgeSettings {
  readonly rooms: number;
  readonly bytes: number;
  readonly rates: readonly number[];
  readonly seconds: number;
  readonly repetitions: number;
}

/** One run at one rate. */
export interface LatencyRun {
  readonly rate: number;
  readonly messages: number;
  /** From the time that a message was due at one node to its arrival at a socket of the other. */
  readonly micros: HistogramData;
  readonly acknowledgedMicros: HistogramData;
  readonly lateMicros: HistogramData;
  /** CPU a message: of the hub that publishes, of the hub that receives, of all nats-servers. */
  readonly hubOut: number;
  readonly hubIn: number;
  readonly workerOut: number;
  readonly workerIn: number;
  readonly nats: number;
  /** Cores of the host that were busy, with clients and all. */
  readonly busyCores: number;
  /** Whatever was lost, doubled, out of order or told as such: the run is void. */
  readonly troubles: readonly string[];
}

const CONNECT_MS = 30_000;
const SETTLE_MS = 30_000;
const WARM_UP = { rate: 2_000, seconds: 2 } as const;

/** Two nodes: messages go in at one and come out at sockets of the other, one a room. */
export async function measureLatency(nats: Nats, plan: LatencyPlan): Promise<LatencyRun[]> {
  const inward = await startNode(nats, plan);
  try {
    const outward = await startNode(nats, plan);
    const fleet = Fleet.local(plan.rooms, 0);
    const publisher = new OpenLoop(inward.port, plan.rooms, plan.bytes);
    try {
      await connectFleet(fleet, outward.port, plan.rooms);
      await runOnce(nats, [inward, outward], fleet, publisher, plan, WARM_UP.rate, WARM_UP.seconds);
      const runs: LatencyRun[] = [];
      for (let repetition = 0; repetition < plan.repetitions; repetition += 1) {
        for (const rate of plan.rates) {
          const run = await runOnce(nats, [inward, outward], fleet, publisher, plan, rate, plan.seconds);
          runs.push(run);
          const p99 = Histogram.from(run.micros).quantile(0.99) / 1_000;
          progress(`  R${plan.replicas}, ${rate}/s: p99 ${digits(p99)} ms ${run.troubles.join("; ")}`);
        }
      }
      return runs;
    } finally {
      publisher.close();
      await fleet.stop();
      await outward.stop();
    }
  } finally {
    await inward.stop();
  }
}

export async function connectFleet(fleet: Fleet, port: number, rooms: number): Promise<void> {
  await fleet.connect({
    host: "127.0.0.1",
    port,
    connections: rooms,
    rooms: { rooms, roomsEach: 1, shared: false },
    pace: { perSecond: 500, inFlight: 100 },
    answerMs: CONNECT_MS,
    pingMs: 20_000,
  });
  const { states } = await fleet.until((status) => status.states.live === rooms, CONNECT_MS);
  if (states.live !== rooms) throw new Error(`${rooms - states.live} of ${rooms} sockets did not get live`);
}

async function runOnce(
  nats: Nats,
  [inward, outward]: readonly [Parameters<typeof NodeCpu.of>[0], Parameters<typeof NodeCpu.of>[0]],
  fleet: Fleet,
  publisher: OpenLoop,
  { rooms }: LatencyPlan,
  rate: number,
  seconds: number,
): Promise<LatencyRun> {
  await delay(500);
  await fleet.phase();
  const [cpuIn, cpuOut] = [await NodeCpu.of(inward), await NodeCpu.of(outward)];
  const natsBefore = nats.cpuMicros();
  const host = hostBusy();
  const all = Array.from({ length: rooms }, (_, room) => room);
  const published = await publisher.run(all, rate, seconds);
  const { behind } = await fleet.until((status) => status.behind === 0, SETTLE_MS, {
    heads: () => publisher.heads,
    pollMs: 100,
  });
  const cpu = (micros: number): number => micros / published.messages;
  const used = {
    busyCores: host(),
    hubOut: cpu(cpuIn.micros("hub")),
    workerOut: cpu(cpuIn.micros("worker")),
    hubIn: cpu(cpuOut.micros("hub")),
    workerIn: cpu(cpuOut.micros("worker")),
    nats: cpu(nats.cpuMicros() - natsBefore),
  };
  const { all: tally } = await fleet.phase();
  const found = [...published.failures, ...troubles(tally), ...cpuIn.troubles, ...cpuOut.troubles];
  if (behind > 0) found.push(`${behind} sockets did not get to their room's head`);
  if (tally.counts.steady !== published.messages)
    found.push(`${tally.counts.steady} deliveries of ${published.messages} messages`);
  if (tally.counts.lost > 0) found.push(`${tally.counts.lost} connections were lost`);
  return {
    rate,
    messages: published.messages,
    micros: tally.steadyMicros.toJSON(),
    acknowledgedMicros: published.acknowledged.toJSON(),
    lateMicros: published.late.toJSON(),
    ...used,
    troubles: found,
  };
}
