import { Fleet, type FleetStatus } from "../fleet/fleet.js";
import { type Counts, type Tally, troubles } from "../fleet/tally.js";
import { delay } from "../support/clock.js";
import { Histogram, type HistogramData } from "../support/histogram.js";
import { digits, progress } from "../support/report.js";
import type { ServedNode } from "../support/served-node.js";
import { connectFleet } from "./latency.js";
import type { Nats } from "./nats-servers.js";
import { OpenLoop, type OpenLoopRun } from "./open-loop.js";
import { type BridgeSettings, NodeCpu, startNode } from "./servers.js";

export interface ResumesPlan extends BridgeSettings {
  readonly resumes: number;
  readonly rooms: number;
  /** Resumes of one connection: also how many stand at different positions of a room. */
  readonly roomsEach: number;
  readonly bytes: number;
  /** Messages a second meanwhile, half of them to rooms with witnesses. */
  readonly rate: number;
  readonly quietSeconds: number;
}

export interface ResumesRun {
  readonly counts: Counts;
  /** Subscriptions that were to resume. Who was told to come back later (a read that took too long) asks for all of his again. */
  readonly resumes: number;
  /** What ended an attempt, in words, and how often. */
  readonly reasons: Readonly<Record<string, number>>;
  /** From the first connection to the last message that somebody had missed. */
  readonly seconds: number;
  /** CPU of the node that all resume at, and of all nats-servers. */
  readonly hubSeconds: number;
  readonly workerSeconds: number;
  readonly natsSeconds: number;
  readonly reads: Readonly<Record<string, number>>;
  readonly quiet: PublishSeen;
  readonly during: PublishSeen;
  readonly troubles: readonly string[];
}

/** What publishing met with: its acknowledgements, and its messages at sockets of the other node that lost nothing. */
export interface PublishSeen {
  readonly messages: number;
  readonly acknowledgedMicros: HistogramData;
  readonly witnessMicros: HistogramData;
}

const WITNESSES = 100;
const DEADLINE_SECONDS = 120;
const FILL_RATE = 10_000;
const BEAT_MS = 1_200;
const SETTLE_MS = 30_000;
const CONNECT_MS = 60_000;
const PACE = { perSecond: 1_000_000, inFlight: 60_000 };

/**
 * Everybody has come to a node that has served none of these rooms; then all resume at once, each at a position of his
 * own, while messages go on being published at the other node.
 */
export async function measureResumes(nats: Nats, plan: ResumesPlan): Promise<ResumesRun> {
  const inward = await startNode(nats, plan);
  try {
    const outward = await startNode(nats, plan);
    const connections = Math.ceil(plan.resumes / plan.roomsEach);
    const fleets = { storm: Fleet.local(connections, 0), witnesses: new Witnesses(plan) };
    const publisher = new OpenLoop(inward.port, plan.rooms, plan.bytes);
    try {
      const all = Array.from({ length: plan.rooms }, (_, room) => room);
      const filled = plan.rooms * (plan.roomsEach + 1);
      progress(`  publishing ${digits(filled)} messages to ${digits(plan.rooms)} rooms`);
      const filling = await publisher.run(all, FILL_RATE, filled / FILL_RATE);
      for (const offsets of publisher.offsets) offsets.sort((a, b) => a - b);
      await fleets.witnesses.connect(outward.port);
      const quiet = await fleets.witnesses.watch(() =>
        publisher.run(roomsInTurn(plan), plan.rate, plan.quietSeconds),
      );
      const storm = await measureStorm(nats, plan, outward, fleets, publisher, connections);
      const seen = [filling, quiet.published, storm.published].flatMap(({ failures }) => failures);
      return {
        ...storm.run,
        quiet: quiet.seen,
        troubles: [...seen, ...quiet.troubles, ...storm.run.troubles],
      };
    } finally {
      publisher.close();
      await Promise.all([fleets.storm.stop(), fleets.witnesses.stop()]);
      await outward.stop();
    }
  } finally {
    await inward.stop();
  }
}

/** Every second message goes to a room with a witness. */
function roomsInTurn({ rooms }: ResumesPlan): number[] {
  const witnesses = Math.min(WITNESSES, rooms);
  return Array.from({ length: 2 * rooms }, (_, index) =>
    index % 2 === 0 ? (index / 2) % witnesses : (index - 1) / 2,
  );
}

async function measureStorm(
  nats: Nats,
  plan: ResumesPlan,
  outward: ServedNode,
  { storm, witnesses }: { readonly storm: Fleet; readonly witnesses: Witnesses },
  publisher: OpenLoop,
  connections: number,
): Promise<{ run: Omit<ResumesRun, "quiet">; published: OpenLoopRun }> {
  const { rooms, roomsEach } = plan;
  const positions = {
    epochs: [...publisher.epochs],
    offsets: publisher.offsets.map((all) => all.slice(0, roomsEach)),
  };
  await storm.connect({
    host: "127.0.0.1",
    port: outward.port,
    connections,
    rooms: { rooms, roomsEach, shared: false },
    pace: PACE,
    answerMs: 60_000,
    pingMs: 20_000,
    resume: positions,
    held: true,
  });
  const welcomed = await storm.until(({ states }) => states.subscribing === connections, CONNECT_MS, {
    onStatus: tell(connections, "connected"),
  });
  if (welcomed.states.subscribing < connections)
    throw new Error(`${connections - welcomed.states.subscribing} of ${connections} did not connect`);
  storm.giveWay();
  const readsBefore = await readsOf(outward);
  const cpu = await NodeCpu.of(outward);
  const natsBefore = nats.cpuMicros();
  let isOver = false;
  progress(`  ${digits(connections * roomsEach)} resumes over ${digits(rooms)} rooms`);
  const startedMs = performance.now();
  const watched = witnesses.watch(() =>
    publisher.run(roomsInTurn(plan), plan.rate, DEADLINE_SECONDS, () => isOver),
  );
  await storm.subscribe();
  // Live is who was sent all that he had missed.
  const status = await storm.until(({ states }) => states.live === connections, DEADLINE_SECONDS * 1_000, {
    pollMs: 50,
    onStatus: tell(connections, "live"),
  });
  const seconds = (performance.now() - startedMs) / 1_000;
  const used = {
    hubSeconds: cpu.micros("hub") / 1_000_000,
    workerSeconds: cpu.micros("worker") / 1_000_000,
    natsSeconds: (nats.cpuMicros() - natsBefore) / 1_000_000,
  };
  isOver = true;
  const { seen, published, troubles: others } = await watched;
  const heads = publisher.heads;
  const { behind } = await storm.until((last) => last.behind === 0, SETTLE_MS, { heads: () => heads });
  const { all } = await storm.phase();
  const found = [...others, ...cpu.troubles, ...troublesOf(all, status.states.live, connections, behind)];
  const expected = connections * roomsEach;
  found.push(...unresumed(all.counts, expected));
  const after = await readsOf(outward);
  const reads = Object.entries(after).map(([name, now]) => [name, now - (readsBefore[name] ?? 0)]);
  const run = {
    counts: all.counts,
    resumes: expected,
    reasons: Object.fromEntries(all.reasons),
    seconds,
    ...used,
    reads: Object.fromEntries(reads),
    during: seen,
    troubles: found,
  };
  return { run, published };
}

/** More than there are is no trouble: who had to ask again, as clients do, resumed twice and missed nothing. */
export function unresumed({ recovered }: Pick<Counts, "recovered">, expected: number): string[] {
  return recovered >= expected ? [] : [`${recovered} of ${expected} subscriptions recovered`];
}

function troublesOf(tally: Tally, live: number, connections: number, behind: number): string[] {
  const found = troubles(tally);
  if (live < connections) found.push(`${connections - live} of ${connections} were not live in time`);
  if (behind > 0) found.push(`${behind} subscriptions did not get to their room's head`);
  if (tally.counts.lost > 0) found.push(`${tally.counts.lost} connections were lost`);
  return found;
}

function tell(connections: number, what: "connected" | "live"): (status: FleetStatus) => void {
  let toldMs = performance.now();
  return ({ states }) => {
    if (performance.now() < toldMs + 2_000) return;
    toldMs = performance.now();
    progress(`    ${what === "live" ? states.live : states.subscribing} of ${connections} ${what}`);
  };
}

/** What the node's hub and worker read so far, as of their last beat. */
async function readsOf(node: ServedNode): Promise<Record<string, number>> {
  await delay(BEAT_MS);
  const { hubs, workers } = await node.status();
  const reads: Record<string, number> = {
    worker: 0,
    hub: 0,
    nats: 0,
    passes: 0,
    passRooms: 0,
    shared: 0,
    memory: 0,
  };
  for (const { report } of workers)
    reads.worker = (reads.worker ?? 0) + (report?.counters.engine.historyReads ?? 0);
  for (const { report } of hubs) {
    const { hub, broker } = report?.counters ?? {
      hub: undefined,
      broker: {} as Readonly<Record<string, number>>,
    };
    reads.hub = (reads.hub ?? 0) + (hub?.historyReads ?? 0);
    reads.nats = (reads.nats ?? 0) + (broker.reads ?? 0);
    reads.passes = (reads.passes ?? 0) + (broker.passes ?? 0);
    reads.passRooms = (reads.passRooms ?? 0) + (broker.passRooms ?? 0);
    reads.shared = (reads.shared ?? 0) + (broker.sharedReads ?? 0);
    reads.memory = (reads.memory ?? 0) + (broker.tailReads ?? 0);
  }
  return reads;
}

/** Sockets of the same node that lose nothing, in a process of their own, one in each of the first rooms. */
class Witnesses {
  readonly #fleet = Fleet.local(1, 0);
  readonly #rooms: number;

  constructor({ rooms }: ResumesPlan) {
    this.#rooms = Math.min(WITNESSES, rooms);
  }

  connect(port: number): Promise<void> {
    return connectFleet(this.#fleet, port, this.#rooms);
  }

  async watch(
    publish: () => Promise<OpenLoopRun>,
  ): Promise<{ seen: PublishSeen; published: OpenLoopRun; troubles: string[] }> {
    await this.#fleet.phase();
    const published = await publish();
    await delay(500);
    const { all } = await this.#fleet.phase();
    const found = troubles(all);
    if (all.counts.lost > 0) found.push(`${all.counts.lost} witnesses lost their connection`);
    if (Histogram.from(all.steadyMicros.toJSON()).total === 0) found.push("no witness got anything");
    const seen = {
      messages: published.messages,
      acknowledgedMicros: published.acknowledged.toJSON(),
      witnessMicros: all.steadyMicros.toJSON(),
    };
    return { seen, published, troubles: found };
  }

  stop(): Promise<void> {
    return this.#fleet.stop();
  }
}
