import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { RoomName } from "../protocol/room-name.js";
import { ApiKeys } from "../server/auth/api-keys.js";
import { usesTokens } from "../server/auth/uses-tokens.js";
import { capacityWarnings } from "../server/capacity.js";
import { readFacts } from "../server/capacity-facts.js";
import { processesOf } from "../server/capacity-limits.js";
import type { Config } from "../server/config.js";
import type { Logger } from "../server/log.js";
import { urlOf } from "../server/url.js";
import { type Admin, startAdmin } from "./admin.js";
import type { Child, ChildOptions, Role } from "./child.js";
import { CARRIER_INDEX } from "./ipc.js";
import { Ops } from "./ops.js";
import { freePort } from "./port-probe.js";
import { whyNotReloadable } from "./reload-rules.js";
import { RevocationDesk } from "./revocation-desk.js";
import { inspectWorkers, type OtherNodes, roomOfNode } from "./room-inspection.js";
import { Slot } from "./slot.js";
import { type NodeStatus, statusOf } from "./status.js";
import { addTelemetry, NO_TELEMETRY, type NodeTelemetry } from "./telemetry.js";
import { Turns } from "./turns.js";
import { Watchdog } from "./watchdog.js";

export interface SupervisorOptions {
  readonly log: Logger;
  readonly version: string;
}

/** How a node ended: 0 as asked, 1 because it could not go on. */
export type Outcome = { readonly code: 0 } | { readonly code: 1; readonly reason: string };

/** Where a node is in its life. */
export type NodeState = "starting" | "running" | "reloading" | "draining";

/** Beyond `drainSeconds`, for closing sockets and ending processes; then what is left is killed. */
const GRACE_MS = 10_000;
const HUB_MS = 5_000;

/** Starts a node. @throws Error saying why it cannot: a port, a worker that refuses. Nothing is left running then. */
export async function startSupervisor(config: Config, options: SupervisorOptions): Promise<Supervisor> {
  const supervisor = new Supervisor(config, options);
  await supervisor.start();
  return supervisor;
}

/**
 * The processes of one box: hubs, workers and the admin port. Touches no message. Whatever way this process ends, its
 * children end too: they are told, or see that it is gone and drain.
 */
export class Supervisor {
  readonly startedAt = Date.now();
  readonly version: string;
  /** Resolves when every process has ended. */
  readonly ended: Promise<Outcome>;
  state: NodeState = "starting";
  port = 0;
  /** Children that were killed because they stood still. */
  stalls = 0;
  /** What workers that have ended had measured, so that the node's totals only grow. */
  past: NodeTelemetry = NO_TELEMETRY;
  readonly #log: Logger;
  /** Half of the cores, where several workers died at once. */
  readonly #restarts = new Turns(Math.max(1, Math.floor(availableParallelism() / 2)));
  readonly #watchdog: Watchdog;
  readonly #desk: RevocationDesk;
  #config: Config;
  #hubs: readonly Slot[] = [];
  #workers: readonly Slot[] = [];
  #sockets: readonly string[] = [];
  #folder: string | undefined;
  #admin: Admin | undefined;
  #watching: NodeJS.Timeout | undefined;
  #draining: Promise<void> | undefined;
  #failure: string | undefined;
  #resolveEnded: (outcome: Outcome) => void = () => {};
  readonly #onExit = (): void => {
    this.kill();
    this.#removeFolder();
  };

  constructor(config: Config, { log, version }: SupervisorOptions) {
    this.#config = config;
    this.#log = log;
    this.version = version;
    const workers = () => this.workerProcesses;
    this.#desk = new RevocationDesk({ config, workers, carrier: () => this.#carrier(), log });
    this.#watchdog = new Watchdog(config.watchdogMs, performance.now());
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  get config(): Config {
    return this.#config;
  }

  get hubs(): readonly Slot[] {
    return this.#hubs;
  }

  get workers(): readonly Slot[] {
    return this.#workers;
  }

  get workerProcesses(): readonly Child[] {
    return this.#workers.flatMap((slot) => slot.children);
  }

  /** The admin port's address such as `http://127.0.0.1:9002`. */
  get adminUrl(): string {
    return this.#admin?.url ?? "";
  }

  get url(): string {
    return urlOf(this.#config, this.port);
  }

  async start(): Promise<void> {
    const { admin, host, port } = this.#config;
    process.once("exit", this.#onExit);
    try {
      this.#admin = await startAdmin({
        ...admin,
        apiKeys: () => new ApiKeys(this.#config.apiKeys),
        asksTokens: () => usesTokens(this.#config),
        node: this,
        ops: new Ops({ source: this, node: this.#config.node, log: this.#log }),
      });
      // Workers share it, and so would any other program in silence.
      this.port = await freePort(host, port);
      const facts = readFacts();
      for (const warning of capacityWarnings(this.#config, facts)) this.#log.warn({}, warning);
      const plan = processesOf(this.#config, facts);
      this.#folder = mkdtempSync(join(tmpdir(), "fanwire-"));
      const folder = this.#folder;
      this.#sockets = Array.from({ length: plan.hubs }, (_, index) => join(folder, `hub-${index}.sock`));
      this.#hubs = this.#sockets.map((_, index) => this.#slot("hub", index));
      this.#workers = Array.from({ length: plan.workers }, (_, index) => this.#slot("worker", index));
      this.#watching = setInterval(() => this.#watch(), this.#config.watchdogMs / 4);
      await Promise.all(this.#hubs.map((slot) => slot.start()));
      await Promise.all(this.#workers.map((slot) => slot.start()));
    } catch (cause) {
      this.kill();
      await this.#release();
      throw cause;
    }
    if (this.state === "starting") this.state = "running";
    this.#log.info(
      { url: this.url, admin: this.adminUrl, workers: this.#workers.length, hubs: this.#hubs.length },
      "running",
    );
  }

  /** A picture of the node for `/v1/node` and `/readyz`. */
  status(): NodeStatus {
    return statusOf(this);
  }

  /**
   * Not ready from here on; workers stop listening and send their clients elsewhere over this time; then every process
   * ends. Calling it again waits for the first. @param seconds Default: `drainSeconds`.
   */
  drain(seconds = this.#config.drainSeconds): Promise<void> {
    this.#draining ??= this.#drain(seconds);
    return this.#draining;
  }

  /** What other nodes have of a room: none where each node has rooms of its own. */
  async askNodes(room: RoomName): Promise<OtherNodes> {
    if (this.#config.broker === "memory") return { nodes: [] };
    // Whoever hosts the broker, or the part of it that speaks for the node.
    const child = (this.#hubs[CARRIER_INDEX] ?? this.#workers[0])?.child;
    const answer = child?.state.kind === "ready" ? await child.askNodes(room) : undefined;
    return answer ?? { nodes: [], problem: "other nodes could not be asked" };
  }

  /** Every child at once. */
  kill(): void {
    for (const slot of [...this.#workers, ...this.#hubs]) slot.kill();
  }

  /**
   * Replaces the workers one by one by processes of the build that is on disk now, with a new configuration. A worker that does
   * not start ends the round: the old ones stay. Never rejects; what went wrong is logged and returned.
   */
  async reload(next: Config): Promise<string | undefined> {
    if (this.state !== "running") return this.#notReloaded(`the node is ${this.state}`);
    const why = whyNotReloadable(this.#config, next);
    if (why !== undefined) return this.#notReloaded(why);
    this.state = "reloading";
    const before = this.#config;
    // Its default is another one each time, and the name must last as long as the node does.
    this.#config = { ...next, node: before.node };
    this.#log.info({ workers: this.#workers.length }, "replacing the workers, one by one");
    try {
      for (const slot of this.#workers) {
        if (this.#draining !== undefined) return "the node is draining";
        await slot.replace(next.drainSeconds, this.#limitMs(next.drainSeconds));
        this.#log.info({ worker: slot.index, pid: slot.child?.pid }, "replaced");
      }
      return undefined;
    } catch (cause) {
      if (this.#draining !== undefined) return "the node is draining";
      // Restarts from here on are of what is known to start.
      this.#config = before;
      return this.#notReloaded(cause instanceof Error ? cause.message : String(cause));
    } finally {
      if (this.#draining === undefined) this.state = "running";
    }
  }

  #notReloaded(why: string): string {
    this.#log.error({ why }, "not reloaded: what runs stays as it is");
    return why;
  }

  #slot(role: Role, index: number): Slot {
    const optionsOf = (): ChildOptions => ({
      role,
      start: {
        kind: "start",
        config: { ...this.#config, port: this.port },
        index,
        workers: this.#workers.length,
        hubs: this.#sockets,
        revocations: this.#desk.list(),
      },
      onRevocation: (from, message) => this.#desk.take(from, message),
      onRoomAsked: (from, { id, room }) =>
        void inspectWorkers(this.workerProcesses, room).then((workers) =>
          from.tell({ kind: "roomHere", id, room: roomOfNode(this.#config.node, workers) }),
        ),
      onEnd: ({ worker }) => {
        this.past = addTelemetry(this.past, worker?.telemetry);
      },
    });
    // Without a hub nobody is served; of workers those that are left have the cores.
    const restarts = role === "worker" ? this.#restarts : undefined;
    const onCrashLoop = (text: string): void => this.#giveUp(text);
    return new Slot({ role, index, optionsOf, log: this.#log, restarts, onCrashLoop });
  }

  /** The hub that tells other nodes of revocations. */
  #carrier(): Child | "away" | undefined {
    const slot = this.#hubs[CARRIER_INDEX];
    if (slot === undefined || this.#config.broker === "memory") return undefined;
    return slot.isReady && slot.child !== undefined ? slot.child : "away";
  }

  /** What still runs may still send its clients elsewhere; whoever watches this process starts it again. */
  #giveUp(text: string): void {
    this.#failure ??= text;
    void this.drain();
  }

  #watch(): void {
    const nowMs = performance.now();
    this.#desk.sweep(Date.now() / 1_000);
    this.#watchdog.tick(nowMs);
    for (const child of [...this.#workers, ...this.#hubs].flatMap((slot) => slot.children)) {
      // What is starting has a limit of its own.
      if (!child.isAlive || child.state.kind === "starting") continue;
      const stalledMs = this.#watchdog.stalledMs(child.beatMs, nowMs);
      if (stalledMs === undefined) continue;
      this.stalls += 1;
      this.#log.error(
        { child: child.name, pid: child.pid, stalledMs: Math.round(stalledMs) },
        "stands still: killed",
      );
      child.kill();
    }
  }

  async #drain(seconds: number): Promise<void> {
    this.state = "draining";
    this.#log.info({ seconds }, "draining");
    await Promise.all(this.#workers.map((slot) => slot.end(seconds, this.#limitMs(seconds))));
    await Promise.all(this.#hubs.map((slot) => slot.end(0, HUB_MS)));
    await this.#release();
    this.#log.info({}, "ended");
    this.#resolveEnded(this.#failure === undefined ? { code: 0 } : { code: 1, reason: this.#failure });
  }

  async #release(): Promise<void> {
    clearInterval(this.#watching);
    process.off("exit", this.#onExit);
    this.#desk.close();
    await this.#admin?.close();
    this.#removeFolder();
  }

  #removeFolder(): void {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  #limitMs(seconds: number): number {
    return seconds * 1_000 + GRACE_MS;
  }
}
