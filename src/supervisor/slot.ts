import type { Logger } from "../server/log.js";
import { Child, type ChildOptions, endingText, type Role } from "./child.js";
import { RestartPolicy } from "./restart-policy.js";
import type { Turns } from "./turns.js";

export interface SlotOptions {
  readonly role: Role;
  readonly index: number;
  /** What the next child of this place is started with. */
  readonly optionsOf: () => ChildOptions;
  readonly log: Logger;
  /** Shared by places that need not be filled at once: a start takes half a second of a core from those that serve. */
  readonly restarts?: Turns | undefined;
  /** It crashes again and again: the node cannot go on. */
  readonly onCrashLoop: (text: string) => void;
}

/** A start that takes longer has failed. */
const START_MS_MAX = 30_000;

/** One place in the fleet: keeps a child alive in it, and replaces it when asked to. */
export class Slot {
  readonly role: Role;
  readonly index: number;
  /** Ended without being asked to. */
  crashes = 0;
  /** How the last of them ended. */
  lastCrash: string | undefined;
  readonly #options: SlotOptions;
  readonly #policy = new RestartPolicy();
  #child: Child | undefined;
  /** Replaced and not ended yet. */
  readonly #leaving = new Set<Child>();
  #restart: NodeJS.Timeout | undefined;
  #ending = false;

  constructor(options: SlotOptions) {
    this.#options = options;
    this.role = options.role;
    this.index = options.index;
  }

  /** The child that has the place now; undefined before the first and between a crash and the restart. */
  get child(): Child | undefined {
    return this.#child;
  }

  /** All processes of this place, those that are leaving too. */
  get children(): readonly Child[] {
    return this.#child === undefined ? [...this.#leaving] : [this.#child, ...this.#leaving];
  }

  get isReady(): boolean {
    return this.#child?.state.kind === "ready";
  }

  /** @throws Error where the first child cannot start; nothing is tried again then. */
  async start(): Promise<void> {
    const child = this.#spawn();
    this.#child = child;
    await this.#readyInTime(child);
    this.#guard(child);
  }

  /**
   * Puts a new child into the place and drains the old one when the new one serves.
   * @throws Error where the new one cannot start; the old one stays.
   */
  async replace(drainSeconds: number, limitMs: number): Promise<void> {
    const fresh = this.#spawn();
    this.#leaving.add(fresh);
    try {
      await this.#readyInTime(fresh);
    } finally {
      this.#leaving.delete(fresh);
    }
    if (this.#ending) {
      fresh.kill();
      throw new Error("the node is going away");
    }
    clearTimeout(this.#restart);
    const old = this.#child;
    this.#guard(fresh);
    this.#child = fresh;
    if (old !== undefined) await this.#leave(old, drainSeconds, limitMs);
  }

  /** Drains what is there and fills the place no more. Resolves when every process of it has ended. */
  async end(drainSeconds: number, limitMs: number): Promise<void> {
    this.#ending = true;
    clearTimeout(this.#restart);
    await Promise.all(this.children.map((child) => this.#leave(child, drainSeconds, limitMs)));
    this.#child = undefined;
  }

  kill(): void {
    this.#ending = true;
    clearTimeout(this.#restart);
    for (const child of this.children) child.kill();
  }

  async #leave(child: Child, drainSeconds: number, limitMs: number): Promise<void> {
    this.#leaving.add(child);
    child.drain(drainSeconds);
    const limit = setTimeout(() => {
      this.#options.log.error({ child: child.name, pid: child.pid, limitMs }, "did not end in time: killed");
      child.kill();
    }, limitMs);
    await child.ended;
    clearTimeout(limit);
    this.#leaving.delete(child);
  }

  #spawn(): Child {
    const child = new Child(this.#options.optionsOf());
    this.#options.log.debug({ child: child.name, pid: child.pid }, "forked");
    return child;
  }

  async #readyInTime(child: Child): Promise<void> {
    const limit = setTimeout(() => child.kill(), START_MS_MAX);
    try {
      await child.ready;
    } catch (cause) {
      await child.ended;
      throw cause;
    } finally {
      clearTimeout(limit);
    }
  }

  /** Fills the place again when this child ends by itself. */
  #guard(child: Child): void {
    void child.ended.then((ending) => {
      if (this.#child !== child || this.#ending) return;
      this.#child = undefined;
      this.crashes += 1;
      this.lastCrash = endingText(ending);
      const livedMs = performance.now() - child.startedMs;
      const verdict = this.#policy.crashed(livedMs);
      const about = { child: child.name, pid: child.pid, ...ending, livedMs: Math.round(livedMs) };
      if (verdict.kind === "giveUp") {
        const text = `${child.name} ${endingText(ending)}, for the ${verdict.crashes}th time in a row soon after its start`;
        this.#options.log.fatal(about, "crash loop: giving up");
        this.#options.onCrashLoop(text);
        return;
      }
      this.#options.log.error({ ...about, restartInMs: verdict.delayMs }, "a process ended: it is replaced");
      this.#restart = setTimeout(() => void this.#refill(), verdict.delayMs);
    });
  }

  /** Never rejects. */
  async #refill(): Promise<void> {
    const done = await this.#options.restarts?.take();
    try {
      // The place was filled, or given up, while this waited.
      if (this.#ending || this.#child !== undefined) return;
      const child = this.#spawn();
      this.#guard(child);
      this.#child = child;
      await this.#readyInTime(child).then(
        () => this.#options.log.info({ child: child.name, pid: child.pid }, "serves again"),
        // Told and counted as a crash by the guard.
        () => {},
      );
    } finally {
      done?.();
    }
  }
}
