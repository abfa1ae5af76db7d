/** Counts of what is open now, by whose it is. Holds as many entries as there are open things at the most. */
export class Tally<K> {
  readonly #counts = new Map<K, number>();

  get size(): number {
    return this.#counts.size;
  }

  of(key: K): number {
    return this.#counts.get(key) ?? 0;
  }

  opened(key: K): void {
    this.#counts.set(key, this.of(key) + 1);
  }

  closed(key: K): void {
    const left = this.of(key) - 1;
    if (left > 0) this.#counts.set(key, left);
    else this.#counts.delete(key);
  }
}
