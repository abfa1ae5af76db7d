import type { Config } from "../server/config.js";

/** How many processes a configuration comes to on a machine. */
export interface Plan {
  readonly workers: number;
  /** 0: the one worker hosts the broker itself. */
  readonly hubs: number;
}

/** @param cores What this process may use (`os.availableParallelism`). */
export function planOf({ workers, hubs }: Pick<Config, "workers" | "hubs">, cores: number): Plan {
  const count = workers === "auto" ? Math.max(1, cores) : workers;
  return { workers: count, hubs: hubs === "auto" ? (count === 1 ? 0 : 1) : hubs };
}
