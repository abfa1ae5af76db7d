import { setPriority } from "node:os";
import { Child } from "../support/child.js";
import { delay } from "../support/clock.js";
import { checkDescriptors, OWN_FILES } from "../support/descriptors.js";
import { openFilesMax } from "../support/environment.js";
import {
  type AgentReply,
  type AgentRequest,
  type AgentStatus,
  type Assignment,
  MEMBER_STATES,
  type MemberState,
  type OverdueHandshake,
} from "./agent-protocol.js";
import type { PaceLimits } from "./pace.js";
import { type AgentAddress, isLoopback } from "./remote/address.js";
import { RemoteAgent } from "./remote/remote-agent.js";
import { type Counts, sumCounts, Tally } from "./tally.js";

/** A client process, wherever it runs. It answers one request at a time. */
export interface Agent {
  /** undefined: on another machine. */
  readonly pid: number | undefined;
  /** Files that it may have open, where it is not on this machine. */
  readonly openFilesMax?: number;
  ask(request: AgentRequest, deadlineMs: number): Promise<AgentReply>;
  stop(): Promise<void>;
}

/** What all agents together are to connect. */
export interface FleetPlan extends Omit<Assignment, "localAddresses" | "first"> {}

/** More make one process too busy to be a client of its own, even where it may have more files open. */
const CONNECTIONS_PER_AGENT = 17_000;
/**
 * A source address has some 28,000 ports to a server, but the kernel looks for a free one among a quarter of them first,
 * one by one: with more than 7,000 taken that costs a millisecond a connection.
 */
const CONNECTIONS_PER_ADDRESS = 4_000;
const ANSWER_MS = 30_000;
const POLL_MS = 250;

export interface FleetStatus {
  readonly states: Readonly<Record<MemberState, number>>;
  /** Of the phase so far. */
  readonly counts: Counts;
  /** Subscriptions that do not stand at the heads asked for. */
  readonly behind: number;
  readonly overdue: readonly OverdueHandshake[];
}

export interface FleetOptions {
  /** Tells fleets of one host apart: each has source addresses of its own. */
  readonly group?: number;
  /**
   * How many of the connections the first agent has, which is never told to cut any: what they see is not what the work of
   * others in their own process did. 0: the first agent is as the others.
   */
  readonly witnesses?: number;
}

/** What a phase came to: for all agents, and for the witnesses among them. */
export interface FleetPhase {
  readonly all: Tally;
  readonly witnesses: Tally;
}

/** Priority (nice) of agents in a storm. */
const NICE = 10;

/** Many subscribers in a few processes, told what to do as one. */
export class Fleet {
  readonly #agents: readonly Agent[];
  readonly #group: number;
  readonly #witnesses: number;

  /**
   * Processes at the agents that listen there, as many at each, with the connections spread over them.
   * @throws FleetError where one cannot be had; none is left then.
   */
  static async remote(
    addresses: readonly AgentAddress[],
    secret: string,
    connections: number,
    options: FleetOptions = {},
  ): Promise<Fleet> {
    // Witnesses have a process of their own.
    const least = (options.witnesses ?? 0) > 0 && addresses.length === 1 ? 2 : 1;
    const each = Math.max(least, Math.ceil(connections / addresses.length / CONNECTIONS_PER_AGENT));
    const wanted = addresses.flatMap((address) => Array.from({ length: each }, () => address));
    const tried = await Promise.allSettled(wanted.map((address) => RemoteAgent.connect(address, secret)));
    const agents = tried.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    for (const one of tried) {
      if (one.status === "fulfilled") continue;
      await Promise.all(agents.map((agent) => agent.stop()));
      throw one.reason;
    }
    return new Fleet(agents, options);
  }

  /** As many local processes as the connections need, the witnesses' own besides. */
  static local(connections: number, witnesses: number): Fleet {
    const apart = witnesses > 0 ? 1 : 0;
    const each = Math.max(1, Math.min(CONNECTIONS_PER_AGENT, openFilesMax() - OWN_FILES));
    const count = apart + Math.max(1, Math.ceil((connections - witnesses) / each));
    const execArgv = ["--max-semi-space-size=16"];
    const agents = Array.from(
      { length: count },
      () => new Child<AgentRequest, AgentReply>("fleet/agent.js", { execArgv }),
    );
    return new Fleet(agents, { witnesses });
  }

  constructor(agents: readonly Agent[], { group = 0, witnesses = 0 }: FleetOptions = {}) {
    this.#agents = agents;
    this.#group = group;
    this.#witnesses = witnesses;
  }

  /** Begins to connect; each agent gets its share and a source address of its own. */
  async connect(plan: FleetPlan): Promise<void> {
    const shared = this.#shares(plan.connections);
    for (const [agent, { count }] of shared.entries())
      checkDescriptors(count, this.#agents[agent]?.openFilesMax);
    // What listens on this machine alone is reached from as many addresses as wanted, others from the machine's own.
    const own = isLoopback(plan.host);
    const assignments = shared.map(
      ({ first, count }, agent): Assignment => ({
        ...plan,
        localAddresses: own ? addressesOf(this.#group, agent, count) : [],
        first,
        connections: count,
        pace: this.#share(plan.pace),
      }),
    );
    await Promise.all(
      this.#agents.map(async (agent, index) => {
        const assignment = assignments[index];
        if (assignment !== undefined) await agent.ask({ kind: "connect", assignment }, ANSWER_MS);
      }),
    );
  }

  async setPace(pace: PaceLimits): Promise<void> {
    await this.#askAll({ kind: "pace", pace: this.#share(pace) });
  }

  /** Nobody begins to connect until the pace is set again. */
  async hold(): Promise<void> {
    await this.#askAll({ kind: "pace", pace: { perSecond: 0, inFlight: 0 } });
  }

  /** From now on agents but the witnesses' get what the servers leave of the cores: in earnest clients live elsewhere. */
  giveWay(): void {
    for (const { pid } of this.#agents.slice(this.#witnesses > 0 ? 1 : 0))
      if (pid !== undefined) setPriority(pid, NICE);
  }

  async status(heads?: readonly (number | null)[]): Promise<FleetStatus> {
    const replies = await this.#askAll({ kind: "status", ...(heads === undefined ? {} : { heads }) });
    const all = replies.map((reply) => expect(reply, "status").status);
    return {
      states: sumStates(all),
      counts: sumCounts(all.map(({ counts }) => counts)),
      behind: all.reduce((sum, { behind }) => sum + behind, 0),
      overdue: all.flatMap(({ overdue }) => overdue),
    };
  }

  /** Looks again and again until it is as wished, or the deadline is over; the last status. */
  async until(
    isDone: (status: FleetStatus) => boolean,
    deadlineMs: number,
    options: {
      readonly pollMs?: number;
      readonly heads?: () => readonly (number | null)[];
      readonly onStatus?: (status: FleetStatus) => void | Promise<void>;
    } = {},
  ): Promise<FleetStatus> {
    const endMs = performance.now() + deadlineMs;
    for (;;) {
      const status = await this.status(options.heads?.());
      await options.onStatus?.(status);
      if (isDone(status) || performance.now() > endMs) return status;
      await delay(options.pollMs ?? POLL_MS);
    }
  }

  /** What the phase came to; the next one begins. */
  async phase(): Promise<FleetPhase> {
    const phase = { all: new Tally(), witnesses: new Tally() };
    const replies = await this.#askAll({ kind: "phase" });
    for (const [agent, reply] of replies.entries()) {
      const { tally } = expect(reply, "phase");
      phase.all.add(tally);
      if (agent === 0 && this.#witnesses > 0) phase.witnesses.add(tally);
    }
    return phase;
  }

  /** Cuts that many connections, spread evenly over the agents but the witnesses'; how many there were to cut. */
  async cut(connections: number): Promise<number> {
    const spared = this.#witnesses > 0 ? [{ count: 0 }] : [];
    const parts = [...spared, ...shares(connections, this.#agents.length - spared.length)];
    const replies = await Promise.all(
      this.#agents.map((agent, index) =>
        agent.ask({ kind: "cut", connections: parts[index]?.count ?? 0 }, ANSWER_MS),
      ),
    );
    return replies.reduce((sum, reply) => sum + expect(reply, "cut").connections, 0);
  }

  /** Ends for good the witnesses that are connected to one of these nodes; how many that were. */
  async dismissWitnesses(nodes: readonly string[]): Promise<number> {
    const [witness] = this.#agents;
    if (witness === undefined || this.#witnesses === 0) return 0;
    return expect(await witness.ask({ kind: "dismiss", nodes }, ANSWER_MS), "dismiss").connections;
  }

  async release(): Promise<void> {
    await this.#askAll({ kind: "release" });
  }

  /** Those that were held subscribe now, all at once. */
  async subscribe(): Promise<void> {
    await this.#askAll({ kind: "subscribe" });
  }

  async disconnect(): Promise<void> {
    await this.#askAll({ kind: "disconnect" });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.stop()));
  }

  async #askAll(request: AgentRequest): Promise<AgentReply[]> {
    return await Promise.all(this.#agents.map((agent) => agent.ask(request, ANSWER_MS)));
  }

  #shares(connections: number): { first: number; count: number }[] {
    if (this.#witnesses === 0) return shares(connections, this.#agents.length);
    const witnesses = Math.min(this.#witnesses, connections);
    const others = shares(connections - witnesses, this.#agents.length - 1);
    return [
      { first: 0, count: witnesses },
      ...others.map(({ first, count }) => ({ first: witnesses + first, count })),
    ];
  }

  #share({ perSecond, inFlight }: PaceLimits): PaceLimits {
    const agents = this.#agents.length;
    return { perSecond: perSecond / agents, inFlight: Math.max(1, Math.ceil(inFlight / agents)) };
  }
}

/** Parts a number of things as evenly as whole numbers allow. */
export function shares(total: number, parts: number): { first: number; count: number }[] {
  return Array.from({ length: parts }, (_, part) => {
    const first = Math.floor((total * part) / parts);
    return { first, count: Math.floor((total * (part + 1)) / parts) - first };
  });
}

/** Addresses of an agent's own: 127.group.agent.1 and up, both counted from 1. */
function addressesOf(group: number, agent: number, connections: number): string[] {
  const count = Math.max(1, Math.ceil(connections / CONNECTIONS_PER_ADDRESS));
  return Array.from({ length: count }, (_, address) => `127.${1 + group}.${1 + agent}.${1 + address}`);
}

function sumStates(all: readonly AgentStatus[]): Record<MemberState, number> {
  const sums = MEMBER_STATES.map((state) => [state, all.reduce((sum, { states }) => sum + states[state], 0)]);
  return Object.fromEntries(sums) as Record<MemberState, number>;
}

function expect<K extends AgentReply["kind"]>(reply: AgentReply, kind: K): Extract<AgentReply, { kind: K }> {
  if (reply.kind !== kind) throw new Error(`an agent answered ${reply.kind} instead of ${kind}`);
  return reply as Extract<AgentReply, { kind: K }>;
}
