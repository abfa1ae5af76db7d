import { Histogram, type HistogramData } from "../support/histogram.js";
import { cpuSince, cpuTime } from "../support/proc.js";
import { digits, progress } from "../support/report.js";
import { type BridgeHost, withHub } from "./hub-rig.js";
import type { Nats } from "./nats-servers.js";
import type { BridgeSettings } from "./servers.js";

export interface PublishPlan extends BridgeSettings {
  readonly rooms: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly repetitions: number;
  readonly publishers: number;
  readonly inFlight: number;
  readonly nodeArgs: string;
}

export interface PublishRun {
  readonly perSecond: number;
  readonly hubMicros: number;
  readonly natsMicros: number;
  readonly publisherMicros: number;
  /** Times that a stream's publishes were held back to keep their order, and publishes that were sent again. */
  readonly holds: number;
  readonly retries: number;
  readonly latencyMicros: HistogramData;
}

const SLACK_MS = 60_000;
const WARM_UP_SECONDS = 2;

/** As many publishes as one hub takes, each acknowledged; workers keep so many under way. */
export async function measurePublish(nats: Nats, plan: PublishPlan): Promise<PublishRun[]> {
  const { publishers, nodeArgs } = plan;
  return await withHub(nats, plan, { workers: publishers, nodeArgs }, async (host, workers) => {
    const once = async (seconds: number): Promise<PublishRun> => {
      const before = cpuTime(host.pid);
      const natsBefore = nats.cpuMicros();
      const countsBefore = await countersOf(host);
      const workersBefore = workers.map(({ pid }) => cpuTime(pid));
      const { rooms, bytes, inFlight } = plan;
      const replies = await Promise.all(
        workers.map((worker) =>
          worker.ask({ kind: "publish", seconds, inFlight, bytes, rooms }, seconds * 1_000 + SLACK_MS),
        ),
      );
      const latency = new Histogram();
      let messages = 0;
      let micros = 0;
      for (const reply of replies) {
        if (reply.kind !== "published") throw new Error("a worker did not publish");
        messages += reply.messages;
        micros = Math.max(micros, reply.micros);
        latency.add(reply.latency);
      }
      const publisherMicros = workers.reduce(
        (sum, { pid }, index) => sum + cpuSince(pid, workersBefore[index] ?? cpuTime(pid)).micros,
        0,
      );
      const counts = await countersOf(host);
      return {
        holds: (counts.publishHolds ?? 0) - (countsBefore.publishHolds ?? 0),
        retries: (counts.retriedPublishes ?? 0) - (countsBefore.retriedPublishes ?? 0),
        perSecond: (messages / micros) * 1_000_000,
        hubMicros: cpuSince(host.pid, before).micros / messages,
        natsMicros: (nats.cpuMicros() - natsBefore) / messages,
        publisherMicros: publisherMicros / messages,
        latencyMicros: latency.toJSON(),
      };
    };
    await once(Math.min(WARM_UP_SECONDS, plan.seconds));
    const runs: PublishRun[] = [];
    for (let repetition = 0; repetition < plan.repetitions; repetition += 1) {
      const run = await once(plan.seconds);
      runs.push(run);
      progress(
        `  R${plan.replicas}: ${digits(run.perSecond)} publishes/s, ${digits(run.hubMicros)} µs of hub each, ${run.holds} holds, ${run.retries} sent again`,
      );
    }
    return runs;
  });
}

async function countersOf(host: BridgeHost): Promise<Readonly<Record<string, number>>> {
  const reply = await host.ask({ kind: "counters" }, SLACK_MS);
  return reply.kind === "counters" ? reply.counters : {};
}
