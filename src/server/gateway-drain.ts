import { setTimeout as sleep } from "node:timers/promises";

/** How sessions are told to leave: `portions` of them, one each `portionMs`. */
export interface DrainPlan {
  readonly portions: number;
  readonly portionMs: number;
}

/** Short enough that whoever takes the clients gets an even stream, long enough that a portion is many sessions. */
const PORTION_MS = 100;
/** Few sessions are not kept waiting: nobody is hurt by this many reconnects in a portion's time. */
const SESSIONS_PER_PORTION_MIN = 2;

/** Even portions over `drainMs`, or less time where the sessions are few. */
export function planDrain(sessions: number, drainMs: number): DrainPlan {
  const most = Math.max(1, Math.ceil(drainMs / PORTION_MS));
  const portions = Math.max(1, Math.min(most, Math.ceil(sessions / SESSIONS_PER_PORTION_MIN)));
  return { portions, portionMs: drainMs / most };
}

/**
 * Tells everybody to go away in even portions over `drainMs`, each with a delay somewhere within its portion's time, so that
 * they leave in an even stream. Resolves when the last portion is told, or early once `isOver` says so.
 */
export async function tellInPortions<T>(
  everybody: readonly T[],
  drainMs: number,
  tell: (one: T, delayMs: number) => void,
  isOver: () => boolean,
): Promise<void> {
  const startMs = performance.now();
  const { portions, portionMs } = planDrain(everybody.length, drainMs);
  let told = 0;
  for (let portion = 1; portion <= portions && !isOver(); portion += 1) {
    const upTo = Math.round((everybody.length * portion) / portions);
    for (const one of everybody.slice(told, upTo)) tell(one, Math.round(Math.random() * portionMs));
    told = upTo;
    const leftMs = startMs + portion * portionMs - performance.now();
    if (portion < portions) await sleep(Math.max(0, leftMs));
  }
}
