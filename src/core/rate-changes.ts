/** Changes of class a second that any connection has, besides two for each of its rooms: a hidden page may move them all and back. */
export const RATE_CHANGES_MIN = 8;

const SECOND_MS = 1_000;

/** Bounds how often one connection moves its subscriptions from class to class: each move is a replay. */
export class RateChanges {
  #sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** One more. False where there were too many within a second, with so many rooms. */
  allows(rooms: number, nowMs: number): boolean {
    const passedMs = nowMs - this.#sinceMs;
    if (passedMs >= SECOND_MS) {
      this.#sinceMs = nowMs;
      this.#count = 0;
    }
    this.#count += 1;
    return this.#count <= RATE_CHANGES_MIN + 2 * rooms;
  }
}

/** Kept apart from the connections, most of which never change a rate. */
const changes = new WeakMap<object, RateChanges>();

/** Those of one connection. */
export function rateChangesOf(connection: object): RateChanges {
  let found = changes.get(connection);
  if (found === undefined) {
    found = new RateChanges();
    changes.set(connection, found);
  }
  return found;
}
