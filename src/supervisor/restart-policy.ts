export interface RestartRules {
  /** Wait before the first restart; doubled with each crash that follows soon. */
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** Whoever lived this long was well: its crash begins a new count. */
  readonly healthyMs: number;
  /** Crashes in a row, each after less than `healthyMs`, that make a crash loop. */
  readonly crashesMax: number;
}

/**
 * A hub must be back within a second, so the first restart comes almost at once. Eight crashes take about six
 * seconds of waiting besides the starts: nothing that passes by itself should take a node down, nothing that does not
 * should spin.
 */
const DEFAULT_RESTART_RULES: RestartRules = Object.freeze({
  delayMsMin: 50,
  delayMsMax: 5_000,
  healthyMs: 10_000,
  crashesMax: 8,
});

export type RestartVerdict =
  | { readonly kind: "restart"; readonly delayMs: number; readonly crashes: number }
  | { readonly kind: "giveUp"; readonly crashes: number };

/** Decides, for one place in the fleet, whether and when a process that ended is started again. */
export class RestartPolicy {
  readonly #rules: RestartRules;
  #crashes = 0;

  constructor(rules: RestartRules = DEFAULT_RESTART_RULES) {
    this.#rules = rules;
  }

  /** The process ended without being asked to, after so long. */
  crashed(livedMs: number): RestartVerdict {
    const { delayMsMin, delayMsMax, healthyMs, crashesMax } = this.#rules;
    this.#crashes = livedMs >= healthyMs ? 1 : this.#crashes + 1;
    if (this.#crashes >= crashesMax) return { kind: "giveUp", crashes: this.#crashes };
    const delayMs = Math.min(delayMsMax, delayMsMin * 2 ** (this.#crashes - 1));
    return { kind: "restart", delayMs, crashes: this.#crashes };
  }
}
