import { cpuTime } from "../support/proc.js";
import { ServedNode } from "../support/served-node.js";
import type { Nats } from "./nats-servers.js";

export interface BridgeSettings {
  readonly replicas: number;
  readonly partitions: number;
  /** Begins subjects and streams: what has another is apart from it. */
  readonly prefix: string;
}

/** `fanwire serve` with one hub and one worker, each a process. */
export async function startNode(
  nats: Nats,
  { replicas, partitions, prefix }: BridgeSettings,
): Promise<ServedNode> {
  const flags = [
    ...["--hubs", "1", "--broker", nats.urls, "--nats.partitions", String(partitions)],
    ...["--nats.prefix", prefix, "--nats.replicas", String(replicas)],
    // No more than one worker takes: it would warn.
    ...["--limits.connections", "12000"],
  ];
  return await ServedNode.start({ workers: 1, flags });
}

/** CPU of one node's hub and workers. */
export class NodeCpu {
  readonly #before: ReadonlyMap<number, { readonly role: string; readonly micros: number }>;
  #replaced = 0;

  private constructor(before: ReadonlyMap<number, { readonly role: string; readonly micros: number }>) {
    this.#before = before;
  }

  static async of(node: ServedNode): Promise<NodeCpu> {
    const processes = await node.processes();
    return new NodeCpu(
      new Map(
        processes.flatMap(({ pid, role }) => {
          const micros = microsOf(pid);
          return micros === undefined ? [] : [[pid, { role, micros }] as const];
        }),
      ),
    );
  }

  /** Used since; NaN where a process has ended and another one taken its place. */
  micros(role: "hub" | "worker"): number {
    let sum = 0;
    for (const [pid, before] of this.#before) {
      if (before.role !== role) continue;
      const now = microsOf(pid);
      if (now === undefined) this.#replaced += 1;
      sum += (now ?? Number.NaN) - before.micros;
    }
    return sum;
  }

  /** What the readings so far have met with, in words: a run in which a process ended is void. */
  get troubles(): readonly string[] {
    return this.#replaced === 0 ? [] : [`${this.#replaced} processes of a node ended during the run`];
  }
}

/** Undefined: there is no such process any more. */
function microsOf(pid: number): number | undefined {
  try {
    return cpuTime(pid).micros;
  } catch {
    return undefined;
  }
}
