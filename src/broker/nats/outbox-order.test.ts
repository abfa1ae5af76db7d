import assert from "node:assert/strict";
import { test } from "node:test";
import { Scheduler } from "../../core/simulation/scheduler.testkit.js";
import { DEFAULT_NATS_LIMITS } from "./limits.js";
import { Outbox } from "./outbox.js";

const SEEDS = 300;
const CHAOS_MS = 8_000;
const TICK_MS = 100;
/** A change of leaders that is faster than this is the window in which order is not promised. */
const ELECTION_MS_MIN = 400;

/** A stream's leader as publishers meet it: takes in order, forgets what was on its way when it goes, then nobody is there for a while. */
class Leader {
  readonly stored: number[] = [];
  readonly #known = new Set<number>();
  #term = 0;
  #isThere = true;

  get term(): number {
    return this.#term;
  }

  /** "lost": it went to a leader that is no more. "nobody": there is none now. */
  take(id: number, term: number): "stored" | "duplicate" | "lost" | "nobody" {
    if (term !== this.#term) return "lost";
    if (!this.#isThere) return "nobody";
    if (this.#known.has(id)) return "duplicate";
    this.#known.add(id);
    this.stored.push(id);
    return "stored";
  }

  leave(): void {
    this.#isThere = false;
    this.#term += 1;
  }

  come(): void {
    this.#isThere = true;
  }
}

function run(seed: number): readonly number[] {
  const scheduler = new Scheduler(seed);
  const { random } = scheduler;
  const counters = { retriedPublishes: 0, refusedPublishes: 0, publishHolds: 0 };
  const outbox = new Outbox<number>({ ...DEFAULT_NATS_LIMITS, windowMessages: 50 }, counters);
  const leader = new Leader();
  let ids = 0;
  // What one connection sends arrives, and is answered, in its order; so does what each side loses with it.
  let arrivesMs = 0;
  let answersMs = 0;
  let cameMs = 0;
  /** What was on its way when a leader came: those have no promise. */
  const astride = new Set<number>();
  const pump = (): void => {
    for (
      let entry = outbox.next(scheduler.nowMs);
      entry !== undefined;
      entry = outbox.next(scheduler.nowMs)
    ) {
      const { token, waiter } = entry;
      const { term } = leader;
      const sentMs = scheduler.nowMs;
      arrivesMs = Math.max(arrivesMs, scheduler.nowMs + random.next() * (random.chance(0.05) ? 60 : 4));
      scheduler.after(arrivesMs - scheduler.nowMs, () => {
        if (sentMs <= cameMs) astride.add(waiter);
        answer(token, waiter, term);
      });
    }
  };
  const answer = (token: number, id: number, term: number): void => {
    const outcome = leader.take(id, term);
    if (outcome === "lost") return;
    // An answer can get lost with the leader.
    const sentTerm = leader.term;
    answersMs = Math.max(answersMs, scheduler.nowMs + random.next() * 4);
    scheduler.after(answersMs - scheduler.nowMs, () => {
      if (outcome === "nobody") outbox.failed(token, scheduler.nowMs);
      else if (sentTerm === leader.term) outbox.acknowledged(token, outcome === "duplicate");
      pump();
    });
  };
  const publish = (): void => {
    if (scheduler.nowMs > CHAOS_MS) return;
    for (let count = random.below(12); count > 0; count -= 1) {
      ids += 1;
      const parcel = { command: NOTHING, payloadBytes: 0, stream: "S" };
      outbox.add(parcel, ids, scheduler.nowMs);
    }
    pump();
    // Often enough nothing is published while there is no leader: nobody says so then.
    scheduler.soon(random.chance(0.2) ? 1_500 : 30, publish);
  };
  const elect = (): void => {
    if (scheduler.nowMs > CHAOS_MS) return;
    leader.leave();
    const forMs = ELECTION_MS_MIN + random.next() * 2_000;
    scheduler.after(forMs, () => {
      leader.come();
      cameMs = scheduler.nowMs;
      if (random.chance(0.5)) scheduler.soon(100, () => outbox.leaderChanged("S"));
    });
    scheduler.after(forMs + 200 + random.next() * 2_000, elect);
  };
  const tick = (): void => {
    assert.deepEqual(outbox.tick(scheduler.nowMs), []);
    pump();
    scheduler.after(TICK_MS, tick);
  };
  publish();
  scheduler.soon(2_000, elect);
  tick();
  scheduler.runSync(CHAOS_MS + 12_000);
  assert.equal(leader.stored.length, ids, "all are stored");
  assert.equal(outbox.size, 0, "all are acknowledged");
  return leader.stored.filter((id) => !astride.has(id));
}

const NOTHING = new Uint8Array();

test(`publishes keep their order over elections, and none is lost: ${SEEDS} seeds`, () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const stored = run(seed);
    const wrong = stored.findIndex((id, index) => id < (stored[index - 1] ?? 0));
    assert.equal(wrong, -1, `seed ${seed}: ${stored[wrong]} after ${stored[wrong - 1]}`);
  }
});
