/**
 * Publishing over HTTP: requests and messages a second, latency, and the server's CPU a message (from /proc), with
 * autocannon in the bench's own process as the clients. Each way to publish has short runs in turn: one message a
 * request as JSON and as MessagePack, and batches of both. No subscriber listens, so that the number is publishing's
 * own: parse, check, store, number, answer. The bare server knows MessagePack batches only and stores nothing.
 */
import { encode } from "@msgpack/msgpack";
import autocannon, { type Request } from "autocannon";
import { parseServers, type ServerName, ServerProcess } from "./support/contest.js";
import { benchRoom } from "./support/message-scan.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { cpuSince, cpuTime } from "./support/proc.js";
import { digits, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import { summarize } from "./support/statistics.js";

const OPTIONS = {
  connections: { default: 10, help: "HTTP connections, each with one request at a time" },
  rate: { default: 0, help: "requests a second of all of them, 0: as fast as they are answered" },
  batch: { default: 100, help: "messages of a batch" },
  bytes: { default: 100, help: "bytes of a message's data" },
  rooms: { default: 10, help: "rooms, in turn" },
  seconds: { default: 1, help: "length of a run" },
  repetitions: { default: 3, help: "runs of each way, after one to warm up" },
  servers: { default: "engine,bare", help: "who takes part" },
  "node-args": {
    default: shippedNodeArgs(),
    help: "arguments of node for all servers; default: those of the fanwire command",
  },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const httpPublish = defineScenario({
  name: "http-publish",
  summary: "requests a second, latency and CPU a message of the HTTP API",
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
  /** Share of one core that the server used: well below 1, the clients were the bottleneck. */
  readonly serverCpuShare: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function measure(options: Options): Promise<Table[]> {
  const runs: Run[] = [];
  for (const name of parseServers(options.servers)) {
    const server = await ServerProcess.start(name, { pin: true, execArgv: splitArgs(options["node-args"]) });
    try {
      const ways = waysOf(options).filter((way) => name === "engine" || way.name === BARE_WAY);
      for (let round = 0; round <= options.repetitions; round++) {
        for (const way of ways) {
          const run = await runOnce(server, way, options);
          progress(
            `${round}/${options.repetitions} ${name}, ${way.name}: ${digits(run.messagesPerSecond)} messages/s`,
          );
          if (round > 0) runs.push(run);
        }
      }
    } finally {
      await server.child.stop();
    }
  }
  return [report(options, runs)];
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

async function runOnce(server: ServerProcess, way: Way, options: Options): Promise<Run> {
  const before = cpuTime(server.child.pid);
  const result = await autocannon({
    url: `http://127.0.0.1:${server.port}`,
    connections: options.connections,
    duration: options.seconds,
    overallRate: options.rate > 0 ? options.rate : undefined,
    requests: way.requests,
  });
  const cpu = cpuSince(server.child.pid, before);
  const failed = result.errors + result.timeouts + result.non2xx;
  if (failed > 0)
    throw new Error(`${server.name}, ${way.name}: ${failed} of ${result.requests.total} requests failed`);
  const requestsPerSecond = result.requests.total / result.duration;
  return {
    server: server.name,
    way: way.name,
    requestsPerSecond,
    messagesPerSecond: requestsPerSecond * way.messages,
    cpuMicrosPerMessage: cpu.micros / (result.requests.total * way.messages),
    serverCpuShare: cpu.micros / 1e6 / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
  };
}

function report(options: Options, runs: readonly Run[]): Table {
  const kinds = [...new Set(runs.map(({ server, way }) => `${server}: ${way}`))];
  return {
    title: `HTTP publish: ${options.connections} connections, ${options.bytes} bytes, batches of ${options.batch}`,
    columns: ["", "requests/s", "messages/s", "CPU µs/message", "±", "server CPU", "p50 ms", "p99 ms"],
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
        digits(middle((run) => run.p50Ms)),
        digits(middle((run) => run.p99Ms)),
      ];
    }),
    notes: [
      `Medians of ${options.repetitions} runs of ${options.seconds} s, the ways in turn; nobody subscribes, no request failed.`,
      "Latency is autocannon's, in whole milliseconds; its clients are one process on the same host.",
    ],
    raw: runs,
  };
}
