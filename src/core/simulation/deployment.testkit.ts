import { DEFAULT_LIMITS, type Limits } from "../limits.js";
import type { SettingsOf } from "../settings.js";
import { SimulatedBroker } from "./broker.testkit.js";
import type { SimulatedPeer } from "./peer.testkit.js";
import { type Random, Scheduler } from "./scheduler.testkit.js";
import { SimulatedWorker } from "./worker.testkit.js";

/** Small bounds, so that every one of them is met. */
const LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  // Above the watermark plus one chunk, as every configuration must be.
  bufferBytes: 18_000,
  lowWatermarkBytes: 500,
  ringMessages: 6,
  ringBytes: 30_000,
  historyMessages: 5,
  replayBytesPerTick: 20_000,
  softWatermarkBytes: 4_000,
  slowMs: 2_000,
};

/** A lane a socket, a few, and one for all. */
const LANE_SOCKETS = [1, 2, 3, 1_000];

/** How long a turn of the loop takes: in long ones much comes in while lanes wait. */
const TURN_MS = [2, 2, 30];

export interface DeploymentOptions {
  readonly settingsOf: SettingsOf;
  /** A run's own bounds beside those that are the same for all. */
  readonly limits: (random: Random) => Partial<Limits>;
  readonly workersMax: number;
  /** Troubles last so long, and then nothing happens but what they left to be done. */
  readonly chaosMs: number;
  readonly quietMs: number;
  readonly sweepMs: number;
}

/** What every simulation runs in: one broker, some workers, and a time of troubles that a quiet one follows. */
export class SimulatedDeployment {
  readonly scheduler: Scheduler;
  readonly broker: SimulatedBroker;
  readonly workers: readonly SimulatedWorker[];
  readonly #options: DeploymentOptions;

  constructor(seed: number, options: DeploymentOptions) {
    this.#options = options;
    this.scheduler = new Scheduler(seed);
    this.broker = new SimulatedBroker(this.scheduler, options.settingsOf);
    const { random } = this.scheduler;
    const limits = { ...LIMITS, laneSockets: random.pick(LANE_SOCKETS), ...options.limits(random) };
    const turnMs = random.pick(TURN_MS);
    this.workers = Array.from({ length: 1 + random.below(options.workersMax) }, (_, index) => {
      const link = this.broker.link();
      return new SimulatedWorker(`w${index}`, this.scheduler, link, options.settingsOf, limits, turnMs);
    });
  }

  /** Troubles begin with what `chaos` asks for; at their end every client reads again and the broker is there. */
  async run(clients: readonly SimulatedPeer[], chaos: () => void): Promise<void> {
    const { scheduler } = this;
    const { chaosMs, quietMs, sweepMs } = this.#options;
    scheduler.every(sweepMs, Number.POSITIVE_INFINITY, () => {
      for (const worker of this.workers) worker.engine.sweep(scheduler.nowMs);
    });
    chaos();
    await scheduler.runUntil(chaosMs);
    for (const client of clients) client.setSlow(false);
    this.broker.away = false;
    await scheduler.runUntil(chaosMs + quietMs);
  }

  /** As long as there are troubles. */
  often(periodMs: number, run: () => void): void {
    this.scheduler.every(periodMs, this.#options.chaosMs, run);
  }

  /** The same in some of the runs: each has its own mixture of troubles, some of them none at all. */
  sometimes(periodMs: number, run: () => void): void {
    const { random } = this.scheduler;
    if (random.chance(0.7)) this.often(periodMs * (0.5 + random.next()), run);
  }

  /** Summed over all workers. */
  count(of: (worker: SimulatedWorker) => number): number {
    return this.workers.reduce((total, worker) => total + of(worker), 0);
  }
}
