import type { NatsLink } from "./connection.js";
import type { Control } from "./control.js";
import type { Echoes } from "./echoes.js";
import type { EphemeralRooms } from "./ephemeral.js";
import type { EpochKeeper } from "./epoch-keeper.js";
import { reasonOf } from "./js-api.js";
import type { NatsLimits } from "./limits.js";
import type { LiveRooms } from "./live-rooms.js";
import type { NatsCounters } from "./nats-counters.js";
import type { PatternWatch } from "./pattern-watch.js";
import { differences, differenceText, namespacesOf } from "./plan-record.js";
import type { Publisher } from "./publisher.js";
import type { Purges } from "./purges.js";
import type { RevokedLog } from "./revoked-log.js";
import type { NatsNotice } from "./start.js";
import type { NamespaceSettings } from "./stream-plan.js";
import type { Streams } from "./streams.js";
import type { Subjects } from "./subjects.js";

export interface WatchOptions {
  readonly live: NatsLink;
  readonly replay: NatsLink;
  readonly control: Control;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly settings: NamespaceSettings;
  readonly publisher: Publisher;
  readonly flows: LiveRooms;
  readonly patterns: PatternWatch;
  readonly ephemeral: EphemeralRooms;
  readonly echoes: Echoes;
  readonly keeper: EpochKeeper;
  readonly purges: Purges;
  /** Undefined: this node takes no part in revocations. */
  readonly revoked: RevokedLog | undefined;
  readonly limits: NatsLimits;
  readonly counters: NatsCounters;
  readonly onStatus: (status: "away" | "back") => void;
  readonly notice: (notice: NatsNotice) => void;
}

/** How often it is looked at whether what was published came back. */
const ECHO_TICK_MS = 250;

/** What happens by itself: lost connections, elections, changes of the plan, and the clock. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  #refusal: string | undefined;
  #awaySinceMs: number | undefined;
  #isAnswering = true;
  #stopped = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Why this node must not serve any more; undefined: it may. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** For how long there has been no connection; 0 while there is one. */
  get awayMs(): number {
    return this.#awaySinceMs === undefined ? 0 : performance.now() - this.#awaySinceMs;
  }

  start(): void {
    const { live, subjects, echoes, revoked } = this.#options;
    const subscribe = (subject: string, handle: (subject: string) => void): void => {
      live.connection.subscribe(subject, {
        callback: (cause, message) => {
          if (cause === null) handle(message.subject);
          else this.#warn(`cannot listen to ${subject}: ${cause.message}`);
        },
      });
    };
    subscribe(ADVISORIES, (subject) => this.#advised(subject.slice(subject.lastIndexOf(".") + 1)));
    subscribe(subjects.liveControl("*"), () => void this.#readRecords());
    if (revoked !== undefined) subscribe(subjects.liveRevoked("*"), () => void revoked.look());
    this.#timers.add(setInterval(() => echoes.tick(), ECHO_TICK_MS));
    this.#readLater();
    // What changed between reading the records and listening to them.
    void this.#readRecords();
    void revoked?.look();
  }

  disconnected(): void {
    const { publisher, keeper, flows, patterns, counters, onStatus } = this.#options;
    counters.disconnects += 1;
    this.#awaySinceMs ??= performance.now();
    keeper.disconnected();
    flows.disconnected();
    patterns.disconnected();
    publisher.disconnected();
    this.#warn("the connection to NATS is lost");
    onStatus("away");
  }

  reconnected(server: string): void {
    const { publisher, keeper, flows, patterns, revoked, onStatus, notice } = this.#options;
    this.#awaySinceMs = undefined;
    publisher.reconnected();
    flows.connected();
    patterns.connected();
    notice({ level: "info", text: `connected to NATS again, at ${server}` });
    onStatus("back");
    void keeper.verifyAll();
    void this.#readRecords();
    void revoked?.look();
  }

  /** Whether streams answer, where there is a connection. */
  answering(isAnswering: boolean): void {
    const { live, onStatus } = this.#options;
    this.#isAnswering = isAnswering;
    if (!isAnswering) this.#warn("no stream answers");
    // Without a connection that is known already.
    if (live.connected) onStatus(isAnswering ? "back" : "away");
  }

  get isAnswering(): boolean {
    return this.#isAnswering;
  }

  complained(cause: Error): void {
    this.#warn(`NATS: ${cause.message}`);
  }

  closed(cause: Error | undefined): void {
    this.#refusal = `the connection to NATS has ended: ${cause?.message ?? "closed"}`;
    this.#options.notice({ level: "error", text: this.#refusal });
  }

  async stop(deadlineMs: number): Promise<void> {
    const { publisher, flows, patterns, ephemeral, keeper, live, replay } = this.#options;
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    keeper.stop();
    flows.stop();
    patterns.stop();
    ephemeral.closeAll();
    await publisher.stop(deadlineMs);
    await Promise.all([live.close(), replay.close()]);
  }

  /** A stream has another leader, was created, deleted, restored, …: live messages may be lost. */
  #advised(name: string): void {
    const { streams, keeper, flows, patterns, publisher } = this.#options;
    const stream = streams.named(name);
    if (stream === undefined) return;
    publisher.leaderChanged(name);
    void keeper.verify(stream);
    flows.leaderChanged(stream);
    patterns.leaderChanged(stream);
  }

  #readLater(): void {
    // Not all nodes at once.
    this.#later(this.#options.limits.sweepMs * (0.75 + Math.random() / 2), () => {
      void this.#readRecords();
      void this.#options.revoked?.look();
      this.#readLater();
    });
  }

  async #readRecords(): Promise<void> {
    const { control, keeper, purges, streams, subjects, settings } = this.#options;
    try {
      await keeper.readMarks();
      await purges.read();
      const plan = (await control.readPlan())?.value;
      if (plan === undefined) return;
      for (const stream of streams.all()) stream.replan(plan);
      const moves = differences(subjects.partitions, namespacesOf(settings), plan).filter((one) => one.moves);
      if (moves.length === 0) return;
      this.#refusal = `rooms were moved while this node ran (${moves.map(differenceText).join("; ")}): start it again with the new settings`;
      this.#options.notice({ level: "error", text: this.#refusal });
    } catch (cause) {
      // They are read again soon.
      if (!this.#stopped) this.#warn(`the deployment's records could not be read: ${reasonOf(cause)}`);
    }
  }

  #later(ms: number, work: () => void): void {
    if (this.#stopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    this.#timers.add(timer);
  }

  #warn(text: string): void {
    if (!this.#stopped) this.#options.notice({ level: "warn", text });
  }
}

const ADVISORIES = "$JS.EVENT.ADVISORY.STREAM.*.*";
