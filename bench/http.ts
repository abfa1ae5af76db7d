/**
 * The HTTP API: requests and messages a second, latency, and the server's CPU a message (from /proc), with autocannon in
 * the bench's own process as the clients. Each way has short runs in turn: publishing one message a request and in
 * batches, as JSON and as MessagePack, and reading: pages of history and the state of a room. No subscriber listens, so that
 * the number is the API's own: parse, check, store, number, answer. The bare server knows MessagePack batches only and
 * stores nothing.
 */
import { encode } from "@msgpack/msgpack";
import autocannon, { type Request } from "autocannon";
import { type ServerName, ServerProcess } from "./support/contest.js";
import { authorityOf } from "./support/engine-url.js";
import { benchRoom } from "./support/message-scan.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { digits, PartialResult, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import { summarize } from "./support/statistics.js";
import { busyClient } from "./support/validity.js";

const OPTIONS = {
  connections: { default: 10, help: "HTTP connections, each with one request at a time" },
  rate: { default: 0, help: "requests a second of all of them, 0: as fast as they are answered" },
  batch: { default: 100, help: "messages of a batch, of a page of history, and keys of a state" },
  bytes: { default: 100, help: "bytes of a message's data" },
  rooms: { default: 10, help: "rooms, in turn" },
  seconds: { default: 1, help: "length of a run" },
  repetitions: { default: 3, help: "runs of each way, after one to warm up" },
  servers: { default: "engine,bare", help: "who takes part" },
  url: { default: "", help: "an engine that runs, such as http://127.0.0.1:9001, instead of --servers" },
  "node-args": {
    default: shippedNodeArgs(),
    help: "arguments of node for all servers; default: those of the fanwire command",
  },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const http = defineScenario({
  name: "http",
  summary: "publishing, history and state over HTTP: requests a second, latency, CPU a message",
  options: OPTIONS,
  run: measure,
});

/** One way to publish. */
interface Way {
  readonly name: string;
  readonly messages: number;
  readonly requests: readonly Request[];
}

interface Run {
  readonly server: ServerName;
  readonly way: string;
  readonly requestsPerSecond: number;
  readonly messagesPerSecond: number;
  readonly cpuMicrosPerMessage: number;
  /** Share of one core that the server used. */
  readonly serverCpuShare: number;
  /** Share of the time that the clients were busy. */
  readonly clientBusy: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function measure(options: Options): Promise<Table[]> {
  const runs: Run[] = [];
  const execArgv = splitArgs(options["node-args"]);
  const servers = await ServerProcess.startAll(options.servers, options.url, {
    pin: true,
    execArgv,
  });
  try {
    // One server at a time: the others are idle meanwhile.
    for (const server of servers) await measureServer(server, options, runs);
  } catch (cause) {
    if (runs.length === 0) throw cause;
    throw new PartialResult([report(options, runs)], cause);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
  return [report(options, runs)];
}

async function measureServer(server: ServerProcess, options: Options, runs: Run[]): Promise<void> {
  const isBare = server.name === "bare" || server.name === "handler";
  const ways = isBare ? waysOf(options).filter(({ name }) => name === BARE_WAY) : waysOf(options);
  if (!isBare) ways.push(...(await readingWays(server, options)));
  for (let round = 0; round <= options.repetitions; round++) {
    for (const way of ways) {
      const run = await runOnce(server, way, options);
      progress(
        `${round}/${options.repetitions} ${server.name}, ${way.name}: ${digits(run.messagesPerSecond)} messages/s`,
      );
      if (round > 0) runs.push(run);
    }
  }
}

const BARE_WAY = "batch, MessagePack";

function waysOf({ rooms, batch, bytes }: Options): Way[] {
  const names = Array.from({ length: rooms }, (_, index) => benchRoom(index));
  const text = "fanwire-".repeat(Math.ceil(bytes / 8)).slice(0, bytes);
  const binary = Buffer.from(text);
  const json = { "content-type": "application/json" };
  const msgpack = { "content-type": "application/msgpack", accept: "application/msgpack" };
  const single = (headers: Readonly<Record<string, string>>, body: Uint8Array): Request[] =>
    names.map((room) => ({
      method: "POST",
      path: `/v1/rooms/${room}/messages`,
      headers,
      body: Buffer.from(body),
    }));
  const batched = (data: unknown): { room: string; data: unknown }[] =>
    Array.from({ length: batch }, (_, index) => ({ room: names[index % rooms] ?? "", data }));
  const many = (headers: Readonly<Record<string, string>>, body: Uint8Array): Request[] => [
    { method: "POST", path: "/v1/messages", headers, body: Buffer.from(body) },
  ];
  return [
    { name: "one, JSON", messages: 1, requests: single(json, Buffer.from(JSON.stringify(text))) },
    { name: "one, MessagePack", messages: 1, requests: single(msgpack, encode(binary)) },
    {
      name: "batch, JSON",
      messages: batch,
      requests: many(json, Buffer.from(JSON.stringify(batched(text)))),
    },
    { name: BARE_WAY, messages: batch, requests: many(msgpack, encode(batched(binary))) },
  ];
}

/** Rooms that are read, and not published to while they are. */
const READ_ROOM = "benchread.room";

/** Fills a room, and reads it again and again. State is left out where the namespace keeps none. */
async function readingWays(server: ServerProcess, options: Options): Promise<Way[]> {
  const { batch, bytes } = options;
  const api = `http://${authorityOf(server)}/v1`;
  const data = Buffer.alloc(bytes, "fanwire-");
  const messages = Array.from({ length: batch }, (_, at) => ({ room: READ_ROOM, data, key: `k${at}` }));
  const filled = await fetch(`${api}/messages`, {
    method: "POST",
    headers: { "content-type": "application/msgpack" },
    body: encode(messages),
  });
  if (filled.status !== 200) throw new Error(`filling a room was answered with ${filled.status}`);
  await filled.arrayBuffer();
  const reading = async (name: string, path: string): Promise<Way[]> => {
    const ways: Way[] = [];
    for (const [format, accept] of [
      ["JSON", "application/json"],
      ["MessagePack", "application/msgpack"],
    ] as const) {
      const response = await fetch(`${api}/${path}`, { headers: { accept } });
      await response.arrayBuffer();
      if (response.status !== 200) {
        progress(`${name} is left out: ${server.name} answers ${response.status}`);
        return [];
      }
      const request = { method: "GET", path: `/v1/${path}`, headers: { accept } };
      ways.push({ name: `${name} of ${batch}, ${format}`, messages: batch, requests: [request] });
    }
    return ways;
  };
  return [
    ...(await reading("history", `rooms/${READ_ROOM}/messages?limit=${batch}`)),
    ...(await reading("state", `rooms/${READ_ROOM}/state`)),
  ];
}

async function runOnce(server: ServerProcess, way: Way, options: Options): Promise<Run> {
  const before = server.cpu();
  const loop = performance.eventLoopUtilization();
  const result = await autocannon({
    url: `http://${authorityOf(server)}`,
    connections: options.connections,
    duration: options.seconds,
    overallRate: options.rate > 0 ? options.rate : undefined,
    requests: way.requests,
  });
  const after = server.cpu();
  const cpuMicros = before === undefined || after === undefined ? Number.NaN : after.micros - before.micros;
  const clientBusy = performance.eventLoopUtilization(loop).utilization;
  const failed = result.errors + result.timeouts + result.non2xx;
  if (failed > 0)
    throw new Error(`${server.name}, ${way.name}: ${failed} of ${result.requests.total} requests failed`);
  const requestsPerSecond = result.requests.total / result.duration;
  return {
    server: server.name,
    way: way.name,
    requestsPerSecond,
    messagesPerSecond: requestsPerSecond * way.messages,
    cpuMicrosPerMessage: cpuMicros / (result.requests.total * way.messages),
    serverCpuShare: cpuMicros / 1e6 / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    clientBusy,
  };
}

function report(options: Options, runs: readonly Run[]): Table {
  const kinds = [...new Set(runs.map(({ server, way }) => `${server}: ${way}`))];
  return {
    title: `HTTP: ${options.connections} connections, ${options.bytes} bytes, batches of ${options.batch}`,
    columns: [
      "",
      "requests/s",
      "messages/s",
      "CPU µs/message",
      "±",
      "server CPU",
      "client busy",
      "p50 ms",
      "p99 ms",
    ],
    rows: kinds.map((kind) => {
      const own = runs.filter(({ server, way }) => `${server}: ${way}` === kind);
      const middle = (pick: (run: Run) => number): number => summarize(own.map(pick)).median;
      const cpu = summarize(own.map((run) => run.cpuMicrosPerMessage));
      return [
        kind,
        digits(middle((run) => run.requestsPerSecond)),
        digits(middle((run) => run.messagesPerSecond)),
        digits(cpu.median),
        percent(cpu.spread),
        percent(middle((run) => run.serverCpuShare)),
        percent(middle((run) => run.clientBusy)),
        digits(middle((run) => run.p50Ms)),
        digits(middle((run) => run.p99Ms)),
      ];
    }),
    notes: [
      `Medians of ${options.repetitions} runs of ${options.seconds} s, the ways in turn; nobody subscribes, no request failed.`,
      "Latency is autocannon's, in whole milliseconds; its clients are one process on the same host.",
    ],
    // Where both are busy all the time, the requests a second are as many as this client can ask for; CPU a message holds.
    invalid: options.rate > 0 ? busyClient(Math.max(...runs.map(({ clientBusy }) => clientBusy))) : [],
    raw: runs,
  };
}
