/**
 * Two nodes on one NATS: how long a message takes from one to a socket of the other, how many one hub publishes, what a
 * storm of resumes costs, and how many rooms a hub has open. Nodes are `fanwire serve` with a hub and a worker each,
 * nats-servers are real and this bench's own: one with single copies (R1), a cluster of three with three (R3).
 *
 * Open loop: messages are due at planned times and timed from those. Every delivery is checked for holes, doubles and
 * order, and none may be missing in the end: a run where one is counts as void and says so.
 */
import { type LatencyRun, measureLatency } from "./bridge/latency.js";
import { type Nats, startNats } from "./bridge/nats-servers.js";
import { measureOpenRooms, type OpenRoomsRun } from "./bridge/open-rooms.js";
import { measurePublish, type PublishRun } from "./bridge/publish.js";
import { latencyTable, openRoomsTable, publishTable, resumesTable } from "./bridge/report.js";
import { measureResumes, type ResumesRun } from "./bridge/resumes.js";
import type { BridgeSettings } from "./bridge/servers.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { PartialResult, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues } from "./support/scenario.js";

const OPTIONS = {
  parts: { default: "latency,publish,resumes,rooms", help: "what to measure" },
  replicas: { default: "1,3", help: "copies of a message: 1 on one nats-server, 3 on a cluster of three" },
  partitions: { default: 64, help: "streams that rooms are spread over" },
  bytes: { default: 128, help: "bytes of a message's data, 8 to 255" },
  repetitions: { default: 3, help: "runs of each; the median counts" },
  rates: { default: "1000,10000", help: "latency: messages a second" },
  seconds: { default: 6, help: "latency: length of a run" },
  rooms: { default: 100, help: "latency: rooms, each with one socket at the other node" },
  publishers: { default: 2, help: "publish: workers that publish through the hub" },
  "in-flight": { default: 1_500, help: "publish: publishes that each of them has under way" },
  "publish-seconds": { default: 5, help: "publish: length of a run" },
  "publish-rooms": { default: 1_000, help: "publish: rooms, in turn" },
  resumes: { default: 50_000, help: "resumes: subscriptions that resume" },
  "resume-rooms": { default: 2_000, help: "resumes: rooms that they are spread over" },
  "rooms-each": { default: 25, help: "resumes: of one connection, each at another position of its room" },
  rate: { default: 1_000, help: "resumes: messages a second meanwhile" },
  "quiet-seconds": { default: 5, help: "resumes: publishing before, for comparison" },
  "open-rooms": { default: 50_000, help: "rooms: opened on one hub" },
  "node-args": {
    default: shippedNodeArgs(),
    help: "arguments of node for publishers; default: those that the fanwire command gives its workers",
  },
} as const;

type Options = OptionValues<typeof OPTIONS>;

const PARTS = ["latency", "publish", "resumes", "rooms"] as const;
type Part = (typeof PARTS)[number];

export const bridge = defineScenario({
  name: "bridge",
  summary: "two nodes on NATS: latency across, publishes/s of a hub, 50,000 resumes, 50,000 rooms; R1 and R3",
  options: OPTIONS,
  run: measure,
});

/** All runs of one part, with its copies. */
export interface Measured<T> {
  readonly replicas: number;
  readonly runs: readonly T[];
}

interface Results {
  readonly latency: Measured<LatencyRun>[];
  readonly publish: Measured<PublishRun>[];
  readonly resumes: Measured<ResumesRun>[];
  readonly rooms: Measured<OpenRoomsRun>[];
}

async function measure(options: Options): Promise<Table[]> {
  const parts = listOf(
    options.parts,
    (name) => PARTS.find((part) => part === name),
    "--parts",
    PARTS.join(", "),
  );
  const copies = listOf(
    options.replicas,
    (text) => [1, 3].find((one) => String(one) === text),
    "--replicas",
    "1, 3",
  );
  const rates = listOf(
    options.rates,
    (text) => (Number(text) > 0 ? Number(text) : undefined),
    "--rates",
    "numbers above 0",
  );
  if (options.bytes < 8 || options.bytes > 255)
    throw new BadOption(`--bytes ${options.bytes}: 8 to 255 are possible`);
  if (options["rooms-each"] > options["resume-rooms"])
    throw new BadOption(
      `--rooms-each ${options["rooms-each"]}: not above --resume-rooms ${options["resume-rooms"]}`,
    );
  const results: Results = { latency: [], publish: [], resumes: [], rooms: [] };
  try {
    for (const replicas of copies) {
      for (const part of parts) await measureOn(replicas, part, { ...options, rates }, results);
    }
  } catch (cause) {
    const tables = tablesOf(options, results);
    if (tables.length === 0) throw cause;
    throw new PartialResult(tables, cause);
  }
  return tablesOf(options, results);
}

function tablesOf(options: Options, { latency, publish, resumes, rooms }: Results): Table[] {
  return [
    ...(latency.length > 0 ? [latencyTable(latency)] : []),
    ...(publish.length > 0 ? [publishTable(options.bytes, publish)] : []),
    ...(resumes.length > 0 ? [resumesTable(options["resume-rooms"], resumes)] : []),
    ...(rooms.length > 0 ? [openRoomsTable(options["open-rooms"], rooms)] : []),
  ];
}

type PartOptions = Omit<Options, "rates"> & { readonly rates: readonly number[] };

/** On servers of its own, so that none finds what another left. */
async function measureOn(
  replicas: number,
  part: Part,
  options: PartOptions,
  results: Results,
): Promise<void> {
  progress(`${part}, R${replicas}`);
  const nats = await startNats(replicas);
  try {
    await measurePart(
      part,
      nats,
      options,
      { replicas, partitions: options.partitions, prefix: "fw" },
      results,
    );
  } finally {
    await nats.stop();
  }
}

async function measurePart(
  part: Part,
  nats: Nats,
  options: PartOptions,
  settings: BridgeSettings,
  results: Results,
): Promise<void> {
  const { replicas } = settings;
  const { bytes, seconds, repetitions, rooms, rates } = options;
  const nodeArgs = options["node-args"];
  switch (part) {
    case "latency": {
      const plan = { ...settings, bytes, seconds, repetitions, rooms, rates };
      results.latency.push({ replicas, runs: await measureLatency(nats, plan) });
      return;
    }
    case "publish": {
      const plan = {
        ...settings,
        ...{ bytes, repetitions, nodeArgs, publishers: options.publishers },
        ...{
          rooms: options["publish-rooms"],
          seconds: options["publish-seconds"],
          inFlight: options["in-flight"],
        },
      };
      results.publish.push({ replicas, runs: await measurePublish(nats, plan) });
      return;
    }
    case "resumes": {
      const runs: ResumesRun[] = [];
      for (let repetition = 0; repetition < repetitions; repetition += 1) {
        const plan = {
          ...settings,
          // Streams of its own for each, and nodes that have never met with its rooms.
          prefix: `fw${repetition}`,
          ...{
            bytes,
            resumes: options.resumes,
            rooms: options["resume-rooms"],
            roomsEach: options["rooms-each"],
          },
          ...{ rate: options.rate, quietSeconds: options["quiet-seconds"] },
        };
        runs.push(await measureResumes(nats, plan));
      }
      results.resumes.push({ replicas, runs });
      return;
    }
    case "rooms": {
      const plan = { ...settings, rooms: options["open-rooms"], repetitions, nodeArgs };
      results.rooms.push({ replicas, runs: await measureOpenRooms(nats, plan) });
    }
  }
}

function listOf<T>(text: string, parse: (item: string) => T | undefined, name: string, allowed: string): T[] {
  return text.split(",").map((item) => {
    const value = parse(item);
    if (value === undefined) throw new BadOption(`${name} ${text}: possible are ${allowed}`);
    return value;
  });
}
