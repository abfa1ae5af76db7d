import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { createConfig } from "../server/config.js";
import { createLogger, type Logger } from "../server/log.js";
import {
  type BeatMessage,
  beatEveryMs,
  type FromChild,
  type HubReport,
  type LagReport,
  type StartMessage,
  type ToChild,
  type WorkerReport,
} from "./ipc.js";

/** What a worker or a hub is to the frame around it. */
export interface Program {
  report(): { readonly worker?: WorkerReport; readonly hub?: HubReport };
  /** Sends clients elsewhere over this time, then ends everything. The process exits when it resolves. */
  drain(seconds: number): Promise<void>;
}

export type StartProgram = (message: StartMessage, log: Logger) => Promise<Program>;

const LAG_RESOLUTION_MS = 20;
const NANOS_PER_MS = 1_000_000;

/**
 * Runs a child of the supervisor: starts the program with the configuration that the first message brings, sends beats,
 * drains when it is told to, on SIGTERM, and when the supervisor is gone, then exits with 0. What cannot start says
 * why and exits with 1.
 */
export function runChild(role: "worker" | "hub", startProgram: StartProgram): void {
  // A terminal sends these to every process of the group; what they mean is up to the supervisor.
  process.on("SIGINT", () => {});
  process.on("SIGHUP", () => {});
  process.once("message", (message) => {
    if (isStart(message)) void run(role, startProgram, message);
    else refuse(new Error("the first message must be start"));
  });
}

async function run(role: string, startProgram: StartProgram, message: StartMessage): Promise<void> {
  let isDraining = false;
  let program: Program | undefined;
  const drain = (seconds: number, why: string): void => {
    if (isDraining) return;
    isDraining = true;
    log?.debug({ why, seconds }, "draining");
    // Where it has not started yet, there is nobody to send elsewhere.
    if (program === undefined) process.exit(0);
    program.drain(seconds).then(
      () => process.exit(0),
      (cause: unknown) => {
        log?.error({ err: cause }, "the drain failed");
        process.exit(1);
      },
    );
  };
  let log: Logger | undefined;
  try {
    // Of this build's schema, which may be another one than the supervisor's.
    const config = createConfig(message.config);
    log = createLogger(config).child({ [role]: message.index });
    const { drainSeconds } = config;
    process.on("SIGTERM", () => drain(drainSeconds, "SIGTERM"));
    process.once("disconnect", () => drain(drainSeconds, "the supervisor is gone"));
    process.on("message", (next: ToChild) => {
      if (next.kind === "drain") drain(next.seconds, "the supervisor says so");
    });
    if (!process.connected) return drain(0, "the supervisor is gone");
    // From the start on: what blocks the loop while starting is seen too.
    beat(beatEveryMs(config.watchdogMs), () => program?.report() ?? {});
    program = await startProgram({ ...message, config }, log);
    tell({ kind: "ready" });
  } catch (cause) {
    refuse(cause);
  }
}

function beat(everyMs: number, report: () => ReturnType<Program["report"]>): void {
  const delays = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  delays.enable();
  let loop = performance.eventLoopUtilization();
  const utilization = (): number => {
    const before = loop;
    loop = performance.eventLoopUtilization();
    return performance.eventLoopUtilization(loop, before).utilization;
  };
  let isSending = false;
  const lag = (): LagReport => {
    const ms = (nanos: number) => Math.max(0, nanos / NANOS_PER_MS - LAG_RESOLUTION_MS);
    const { max } = delays;
    const read = { p50Ms: ms(delays.percentile(50)), p99Ms: ms(delays.percentile(99)), maxMs: ms(max) };
    delays.reset();
    return read;
  };
  const send = (): void => {
    // A supervisor that does not read gets no queue of beats.
    if (isSending) return;
    isSending = true;
    const { user, system } = process.cpuUsage();
    const message: BeatMessage = {
      kind: "beat",
      lag: lag(),
      utilization: utilization(),
      rssBytes: process.memoryUsage.rss(),
      cpuMs: (user + system) / 1_000,
      ...report(),
    };
    tell(message, () => {
      isSending = false;
    });
  };
  setInterval(send, everyMs);
}

/** An error here means that the supervisor is gone, which "disconnect" tells. */
function tell(message: FromChild, sent: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, undefined, sent);
}

function refuse(cause: unknown): void {
  const reason = cause instanceof Error ? cause.message : String(cause);
  // The exit waits until it is told.
  if (process.connected)
    process.send?.({ kind: "refused", reason }, undefined, undefined, () => process.exit(1));
  else process.exit(1);
}

function isStart(message: unknown): message is StartMessage {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "start";
}
