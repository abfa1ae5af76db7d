import { Child } from "./child.js";
import { shippedNodeArgs } from "./node-args.js";
import { splitArgs } from "./scenario.js";
import type { ServerReply, ServerRequest } from "./server-control.js";

const START_DEADLINE_MS = 20_000;

/** All clients of a bench come from a few addresses, at once. */
const OPEN_DOORS = [
  "--limits.connections-per-address=100000",
  "--limits.handshakes-per-second-per-address=100000",
  "--limits.accepts-per-second-per-address=100000",
  "--limits.handshake-lag-ms=10000",
];

/** The engine with settings of a bench, in a process of its own. */
export class EngineProcess {
  readonly child: Child<ServerRequest, ServerReply>;
  readonly port: number;

  private constructor(child: Child<ServerRequest, ServerReply>, port: number) {
    this.child = child;
    this.port = port;
  }

  /** @param args Settings, as `fanwire serve` takes them. */
  static async start(args: readonly string[], core?: number): Promise<EngineProcess> {
    const execArgv = splitArgs(shippedNodeArgs());
    const child = new Child<ServerRequest, ServerReply>("engine-server.js", {
      args: [...OPEN_DOORS, ...args],
      execArgv,
      core,
    });
    const reply = await child.ask(undefined, START_DEADLINE_MS);
    if (reply.kind !== "ready") throw new Error(`the engine said ${reply.kind} instead of ready`);
    return new EngineProcess(child, reply.port);
  }

  /** Its counters, as `GET /healthz` tells them. */
  async counters(): Promise<Readonly<Record<string, number>>> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/healthz`);
    const health = (await answer.json()) as {
      counters: { engine: Record<string, number>; gateway: Record<string, number> };
    };
    return { ...health.counters.engine, ...health.counters.gateway };
  }

  stop(): Promise<void> {
    return this.child.stop();
  }
}
