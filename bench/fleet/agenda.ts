/** Things to do at their times: a binary heap, as a storm puts tens of thousands into it at once. */
export class Agenda<T> {
  readonly #heap: { readonly dueMs: number; readonly item: T }[] = [];

  get size(): number {
    return this.#heap.length;
  }

  add(dueMs: number, item: T): void {
    const heap = this.#heap;
    let at = heap.length;
    const entry = { dueMs, item };
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.dueMs <= dueMs) break;
      heap[at] = above;
      heap[parent] = entry;
      at = parent;
    }
  }

  /** Takes out what is due first, if it is due by now. */
  take(nowMs: number): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.dueMs > nowMs) return undefined;
    const last = heap.pop();
    if (last !== undefined && heap.length > 0) this.#sink(last);
    return first.item;
  }

  /** Puts an entry in the root's place and moves it down to its own. */
  #sink(entry: { readonly dueMs: number; readonly item: T }): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && right.dueMs < left.dueMs;
      const child = isRight ? right : left;
      if (child.dueMs >= entry.dueMs) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = entry;
  }
}
