/**
 * Presence over nodes: what it takes to know of every room of every node who is in it, on a real NATS. Each node is a process with the
 * hub's part of presence and a worker that says how many are in its rooms: in all rooms, on all nodes, which is the worst case. Some rooms
 * are watched everywhere; a run in which one of them does not come to the truth fails.
 */
import { startNats } from "./bridge/nats-servers.js";
import type { NodeReply, NodeRequest } from "./presence-node.js";
import { Child } from "./support/child.js";
import { delay, hostMicros } from "./support/clock.js";
import { cpuSince, cpuTime, residentBytes } from "./support/proc.js";
import { digits, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";

const OPTIONS = {
  nodes: { default: 3, help: "nodes, a process each" },
  rooms: { default: 100_000, help: "rooms, all of them on every node" },
  sample: { default: 1_000, help: "of these watched on every node" },
  churn: { default: 1_000, help: "rooms of each node that change a second" },
  seconds: { default: 10, help: "of quiet, and of churn" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const presence = defineScenario({
  name: "presence",
  summary: "who is in 100,000 rooms on each of three nodes: memory, traffic, and how late it is known",
  options: OPTIONS,
  run: measure,
});

const DEADLINE_MS = 60_000;

type Node = Child<NodeRequest, NodeReply>;

async function measure(options: Options): Promise<Table[]> {
  const nats = await startNats(1);
  const nodes: Node[] = [];
  try {
    return [await runWith(options, nats.urls, nodes)];
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await nats.stop();
  }
}

async function runWith(options: Options, url: string, nodes: Node[]): Promise<Table> {
  const { rooms, sample, churn, seconds } = options;
  const rows: [string, string][] = [];
  const all = (request: NodeRequest): Promise<NodeReply[]> =>
    Promise.all(nodes.map((node) => node.ask(request, DEADLINE_MS)));
  const add = async (): Promise<Node> => {
    const node: Node = new Child("presence-node.js", { execArgv: ["--expose-gc"] });
    nodes.push(node);
    await node.ask({ kind: "start", name: `node-${nodes.length}`, url, rooms, sample }, DEADLINE_MS);
    return node;
  };
  const until = async (count: number): Promise<NodeReply[]> =>
    all({ kind: "until", count, deadlineMs: DEADLINE_MS });
  while (nodes.length < options.nodes) await add();
  const empty = await all({ kind: "stats" });
  const rss = nodes.map(({ pid }) => residentBytes(pid));

  progress("filling all rooms of all nodes at once");
  const startMicros = hostMicros();
  await all({ kind: "fill", count: 1, churn: 0 });
  const filled = await until(nodes.length);
  rows.push([
    "every node knows of all, after all rooms of all nodes filled at once",
    ms(latest(filled) - startMicros),
  ]);
  const full = await all({ kind: "stats" });
  const heap = mean(full.map(({ heapBytes }, i) => heapBytes - (empty[i]?.heapBytes ?? 0)));
  rows.push(["heap of a node for it, after a collection", `${digits(heap / 1e6)} MB`]);
  rows.push(["– a room and node", `${digits(heap / rooms / nodes.length)} bytes`]);
  const grown = mean(nodes.map(({ pid }, i) => residentBytes(pid) - (rss[i] ?? 0)));
  rows.push(["RSS of a node for it", `${digits(grown / 1e6)} MB`]);

  progress("quiet");
  const quiet = await spent(nodes, seconds, all);
  rows.push(["quiet: said by a node", `${digits(quiet.bytes)} bytes/s`], ["– CPU of a node", quiet.cpu]);

  progress("churn");
  await all({ kind: "fill", count: 1, churn });
  const busy = await spent(nodes, seconds, all);
  rows.push([
    `${digits(churn)} rooms a second change on every node: said by a node`,
    `${digits(busy.bytes)} bytes/s`,
  ]);
  rows.push(["– CPU of a node", busy.cpu]);
  const [first] = nodes;
  if (first === undefined) throw new Error("there is no node");
  const { atMicros } = await first.ask({ kind: "bump", count: 2 }, DEADLINE_MS);
  const others = await Promise.all(
    nodes
      .slice(1)
      .map((node) =>
        node.ask({ kind: "until", count: nodes.length + 1, deadlineMs: DEADLINE_MS }, DEADLINE_MS),
      ),
  );
  const late = others
    .flatMap(({ reachedMicros }) => reachedMicros.map((micros) => micros - atMicros))
    .sort((a, b) => a - b);
  const lateP50 = late[Math.floor(late.length / 2)] ?? 0;
  rows.push([
    `– ${digits(sample)} changes of one node known by the others' workers, p50 / last`,
    `${ms(lateP50)} / ${ms(late.at(-1) ?? 0)}`,
  ]);

  progress("one more node, and one that is killed");
  const joinMicros = hostMicros();
  const joined = await add();
  const { reachedMicros } = await joined.ask(
    { kind: "until", count: nodes.length, deadlineMs: DEADLINE_MS },
    DEADLINE_MS,
  );
  rows.push([
    "a node that starts knows everything after (its start included)",
    ms(Math.max(...reachedMicros) - joinMicros),
  ]);
  const gone = nodes.splice(1, 1)[0];
  if (gone !== undefined) process.kill(gone.pid, "SIGKILL");
  const killMicros = hostMicros();
  const without = await until(nodes.length);
  rows.push(["a killed node's are gone everywhere after", ms(latest(without) - killMicros)]);
  return {
    title: `Presence: ${digits(rooms)} rooms on each of ${options.nodes} nodes`,
    columns: ["what", "result"],
    rows,
    notes: [
      "Every node has somebody in every room. Bytes are those handed to NATS, which sends them once to every other node.",
      "Until workers know; subscribers are told within one more second, each room at most once a second.",
    ],
    raw: { filled, full, quiet, busy, late },
  };
}

async function spent(
  nodes: readonly Node[],
  seconds: number,
  all: (request: NodeRequest) => Promise<NodeReply[]>,
): Promise<{ bytes: number; cpu: string }> {
  const before = await all({ kind: "stats" });
  const cpus = nodes.map(({ pid }) => cpuTime(pid));
  await delay(seconds * 1_000);
  const used = nodes.map(({ pid }, i) => cpuSince(pid, cpus[i] ?? cpuTime(pid)).micros);
  const after = await all({ kind: "stats" });
  const bytes = after.map(
    ({ counters }, i) => (counters?.presenceSaidBytes ?? 0) - (before[i]?.counters?.presenceSaidBytes ?? 0),
  );
  return { bytes: mean(bytes) / seconds, cpu: `${(mean(used) / seconds / 10_000).toFixed(1)} % of a core` };
}

function latest(replies: readonly NodeReply[]): number {
  return Math.max(...replies.flatMap(({ reachedMicros }) => reachedMicros));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

function ms(micros: number): string {
  return `${digits(micros / 1_000)} ms`;
}
