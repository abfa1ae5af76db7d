import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Broker } from "../../core/ports.js";
import { conformanceSettings } from "../conformance.testkit.js";
import { MemoryBroker, type MemoryBrokerOptions } from "../memory.js";
import { type Hub, startHub } from "./hub.js";
import { createHubCounters } from "./hub-counters.js";
import { DEFAULT_HUB_LIMITS, type HubLimits } from "./hub-limits.js";
import { connectHub, type HubLink, type HubLinkOptions } from "./hub-link.js";

/** Anything awaited comes within this time, on a busy machine too. */
export const DEADLINE_MS = 20_000;

/** A folder of its own for sockets, gone with `dispose`. */
export class SocketFolder {
  readonly #path = mkdtempSync(join(tmpdir(), "fanwire-hub-"));

  at(name: string): string {
    return join(this.#path, name);
  }

  dispose(): void {
    rmSync(this.#path, { recursive: true, force: true });
  }
}

export interface HubKitOptions {
  readonly limits?: Partial<HubLimits>;
  readonly broker?: Partial<MemoryBrokerOptions>;
  /** What the hub has instead of its memory broker: something around it. */
  readonly wrap?: (broker: MemoryBroker) => Broker;
}

/** A hub with a memory broker in this process, and links to it over a real socket. */
export class HubKit {
  readonly folder = new SocketFolder();
  readonly path = this.folder.at("hub.sock");
  readonly limits: HubLimits;
  readonly errors: unknown[] = [];
  /** Of all hubs that there were. */
  readonly counters = createHubCounters();
  readonly #options: HubKitOptions;
  readonly #links: HubLink[] = [];
  #hub: Hub | undefined;
  #broker: MemoryBroker | undefined;

  constructor(options: HubKitOptions = {}) {
    this.#options = options;
    this.limits = { ...DEFAULT_HUB_LIMITS, ...options.limits };
  }

  get hub(): Hub {
    if (this.#hub === undefined) throw new Error("the hub is not started");
    return this.#hub;
  }

  get broker(): MemoryBroker {
    if (this.#broker === undefined) throw new Error("the hub is not started");
    return this.#broker;
  }

  /** Starts a hub with a new broker, whose epochs differ from those before, or with the one kept. */
  async start(): Promise<Hub> {
    this.#broker ??= new MemoryBroker({
      settingsOf: conformanceSettings,
      onSinkError: (cause) => this.errors.push(cause),
      ...this.#options.broker,
    });
    this.#hub = await startHub({
      broker: this.#options.wrap?.(this.#broker) ?? this.#broker,
      socketPath: this.path,
      limits: this.limits,
      counters: this.counters,
      onError: (cause) => this.errors.push(cause),
    });
    return this.#hub;
  }

  /** Stops the hub alone, as one would end whose broker is elsewhere. */
  async stopHub(): Promise<void> {
    await this.#hub?.stop(0);
    this.#hub = undefined;
  }

  async stop(): Promise<void> {
    await this.stopHub();
    await this.#broker?.stop(0);
    this.#broker = undefined;
  }

  connect(options: Partial<HubLinkOptions> = {}): HubLink {
    const link = connectHub({
      socketPath: this.path,
      worker: `worker-${this.#links.length}`,
      limits: this.limits,
      onError: (cause) => this.errors.push(cause),
      ...options,
    });
    this.#links.push(link);
    return link;
  }

  async linked(options: Partial<HubLinkOptions> = {}): Promise<HubLink> {
    const link = this.connect(options);
    await link.ready(DEADLINE_MS);
    return link;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.stop(0)));
    await this.stop();
    this.folder.dispose();
  }
}

/** Resolves when it is so; fails when it is not within the deadline. */
export async function until(
  isSo: () => boolean,
  what = "what was waited for",
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`${what} has not come within ${deadlineMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
