/**
 * The same chat on Socket.IO and on fanwire, side by side: rooms, the last 50 messages for who enters, an answer to every
 * message, recovery after a lost connection. Both with their own client library, as a program would use it, which is what
 * README's table on moving from Socket.IO starts from. See bench/chat for the programs.
 */
import { fileURLToPath } from "node:url";
import type { PeoplePlan, PeopleReply, PeopleRequest } from "./chat/people-protocol.js";
import { cacheFolder, install } from "./peers/install.js";
import { Child } from "./support/child.js";
import { delay } from "./support/clock.js";
import { EngineProcess } from "./support/engine-process.js";
import { cpuSince, cpuTime, residentBytes } from "./support/proc.js";
import { digits, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues } from "./support/scenario.js";
import { pairedRatio, summarize } from "./support/statistics.js";
import { busyClient } from "./support/validity.js";

const OPTIONS = {
  people: { default: 1_000, help: "connections" },
  rooms: { default: 50, help: "rooms that they are spread over" },
  says: { default: 500, help: "messages a second, all together" },
  chars: { default: 100, help: "characters of a message" },
  seconds: { default: 5, help: "length of a measurement" },
  rounds: { default: 3, help: "turns of each" },
  servers: { default: "fanwire,socket.io", help: "who takes part" },
  cache: { default: "", help: "where Socket.IO is installed; default: the user's cache folder" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

const NAMESPACES = JSON.stringify({ chat: { publish: "client", history: { messages: 50 } } });
const PACKAGES = ["socket.io", "socket.io-client"];
const SERVER_CORE = 0;
const PEOPLE_CORE = 1;
/** They enter first, so that code and pools that anybody needs are there before memory is read. */
const FIRST_SHARE = 0.2;
const START_MS = 20_000;
const ENTER_MS = 120_000;
const SETTLE_MS = 500;
const WARM_UP_SECONDS = 1;
const SLACK_MS = 30_000;

type Talked = Extract<PeopleReply, { kind: "talked" }>;

interface Seen {
  readonly bytesEach: number;
  /** The server's CPU a message said. */
  readonly cpuMicros: number;
  readonly talked: Talked;
}

interface ChatServer {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

const CANDIDATES = {
  fanwire: {
    client: "fanwire-client.mjs",
    start: async (): Promise<ChatServer> => {
      const engine = await EngineProcess.start(
        [`--namespaces=${NAMESPACES}`, "--limits.requests-per-second=1000"],
        SERVER_CORE,
      );
      return { port: engine.port, pid: engine.child.pid, stop: () => engine.stop() };
    },
  },
  "socket.io": {
    client: "socket-io-client.mjs",
    start: async (folder: string): Promise<ChatServer> => {
      const child = new Child<object, { readonly port: number }>("chat/socket-io-server.mjs", {
        args: [folder],
        core: SERVER_CORE,
      });
      const { port } = await child.ask(undefined, START_MS);
      return { port, pid: child.pid, stop: () => child.stop() };
    },
  },
} as const;

type Candidate = keyof typeof CANDIDATES;

export const chat = defineScenario({
  name: "chat",
  summary: "the same chat on Socket.IO and on fanwire, each with its client library: memory and CPU",
  options: OPTIONS,
  run: measure,
});

async function measure(options: Options): Promise<Table[]> {
  if (options.people % options.rooms !== 0)
    throw new BadOption(
      `--people ${options.people}: rooms have the same size, so a multiple of --rooms ${options.rooms}`,
    );
  const names = chooseServers(options.servers);
  const folder = names.includes("socket.io")
    ? await install("chat", { kind: "npm", packages: PACKAGES }, cacheFolder(options.cache))
    : "";
  const seen = new Map<Candidate, Seen[]>(names.map((name) => [name, []]));
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const [name, turns] of seen) {
      const one = await turn(name, folder, options);
      turns.push(one);
      progress(`${round}/${options.rounds} ${name}: CPU µs a message ${digits(one.cpuMicros)}`);
    }
  }
  return [report(options, seen)];
}

function chooseServers(list: string): Candidate[] {
  return list.split(",").map((part) => {
    const name = (Object.keys(CANDIDATES) as Candidate[]).find((known) => known === part);
    if (name !== undefined) return name;
    throw new BadOption(`--servers ${list}: "${part}" is not one of ${Object.keys(CANDIDATES).join(", ")}`);
  });
}

async function turn(name: Candidate, folder: string, options: Options): Promise<Seen> {
  const { people, rooms, says, chars, seconds } = options;
  const server = await CANDIDATES[name].start(folder);
  const client = fileURLToPath(new URL(`./chat/${CANDIDATES[name].client}`, import.meta.url));
  const plan: PeoplePlan = { client, port: server.port, folder, rooms, chars };
  const crowd = new Child<PeopleRequest, PeopleReply>("chat/people.js", {
    args: [JSON.stringify(plan)],
    core: PEOPLE_CORE,
  });
  try {
    const first = Math.ceil((people * FIRST_SHARE) / rooms) * rooms;
    await crowd.ask({ kind: "enter", people: first }, ENTER_MS);
    await delay(SETTLE_MS);
    const before = residentBytes(server.pid);
    await crowd.ask({ kind: "enter", people }, ENTER_MS);
    await delay(SETTLE_MS);
    const bytesEach = (residentBytes(server.pid) - before) / (people - first);
    await talk(crowd, WARM_UP_SECONDS, says);
    const cpu = cpuTime(server.pid);
    const talked = await talk(crowd, seconds, says);
    return { bytesEach, cpuMicros: cpuSince(server.pid, cpu).micros / talked.said, talked };
  } finally {
    await Promise.all([crowd.stop(), server.stop()]);
  }
}

async function talk(
  crowd: Child<PeopleRequest, PeopleReply>,
  seconds: number,
  saysPerSecond: number,
): Promise<Talked> {
  const reply = await crowd.ask({ kind: "talk", seconds, saysPerSecond }, seconds * 1_000 + SLACK_MS);
  if (reply.kind !== "talked") throw new Error(`the people said ${reply.kind}`);
  return reply;
}

function report(options: Options, seen: ReadonlyMap<Candidate, readonly Seen[]>): Table {
  const { people, rooms, says, chars } = options;
  const turns = [...seen.values()].flat();
  return {
    title: `The same chat: ${people} people in ${rooms} rooms, ${says} messages of ${chars} characters a second`,
    columns: [
      ...["server", "CPU µs/message", "µs/delivery", "KB RSS/person", "p50 ms", "p99 ms"],
      ...["missing", "doubled", "in another order"],
    ],
    rows: [...seen].map(([name, ofServer]) => {
      const median = (of: (one: Seen) => number): string => digits(summarize(ofServer.map(of)).median);
      const sum = (of: (talked: Talked) => number): string =>
        digits(ofServer.reduce((total, { talked }) => total + of(talked), 0));
      return [
        name,
        median(({ cpuMicros }) => cpuMicros),
        median(({ cpuMicros }) => (cpuMicros * rooms) / people),
        median(({ bytesEach }) => bytesEach / 1_024),
        median(({ talked }) => talked.p50Micros / 1_000),
        median(({ talked }) => talked.p99Micros / 1_000),
        sum(({ missing }) => missing),
        sum(({ doubled }) => doubled),
        sum(({ disordered }) => disordered),
      ];
    }),
    notes: [
      ...ratioNote(seen),
      "A message is stored, answered and heard by everybody in its room, the speaker too. CPU is the server's, taking messages in included.",
      "Both with their defaults (WebSocket only), their own client library, one process, all in memory.",
    ],
    invalid: busyClient(Math.max(...turns.map(({ talked }) => talked.busy))),
    raw: Object.fromEntries(seen),
  };
}

function ratioNote(seen: ReadonlyMap<Candidate, readonly Seen[]>): string[] {
  const costs = (name: Candidate): number[] | undefined => seen.get(name)?.map(({ cpuMicros }) => cpuMicros);
  const [ours, theirs] = [costs("fanwire"), costs("socket.io")];
  if (ours === undefined || theirs === undefined) return [];
  const { median, min, max, runs } = pairedRatio(theirs, ours);
  return [
    `Socket.IO takes ${digits(median)} times the CPU of fanwire (${digits(min)} to ${digits(max)} in ${runs} rounds).`,
  ];
}
