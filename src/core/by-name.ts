/** Something with a name, that {@link ByName} strings together. */
export interface Named<T> {
  readonly name: string;
  /** The next in the list; nobody else's business. */
  following: T | undefined;
}

/** From so many on there is an index; below, looking through them is as fast. */
const INDEXED_FROM = 9;

/**
 * A map of few by their names, a list until there are many: a `Map` of three costs 150 bytes more than this, and
 * there is one for every connection. Going through it gives no particular order.
 */
export class ByName<T extends Named<T>> {
  #first: T | undefined;
  #size = 0;
  #index: Map<string, T> | undefined;

  get size(): number {
    return this.#size;
  }

  get(name: string): T | undefined {
    if (this.#index !== undefined) return this.#index.get(name);
    let found = this.#first;
    while (found !== undefined && found.name !== name) found = found.following;
    return found;
  }

  /** Adds one whose name is not there yet. */
  add(entry: T): void {
    this.#size += 1;
    if (this.#index === undefined) {
      entry.following = this.#first;
      this.#first = entry;
      if (this.#size >= INDEXED_FROM) this.toIndex();
    } else this.#index.set(entry.name, entry);
  }

  /** Takes one out that is there. */
  delete(entry: T): void {
    this.#size -= 1;
    if (this.#index !== undefined) {
      this.#index.delete(entry.name);
      return;
    }
    if (this.#first === entry) this.#first = entry.following;
    else {
      let before = this.#first;
      while (before !== undefined && before.following !== entry) before = before.following;
      if (before !== undefined) before.following = entry.following;
    }
    entry.following = undefined;
  }

  /** All of them as they are now: they may be taken out meanwhile. */
  all(): T[] {
    if (this.#index !== undefined) return [...this.#index.values()];
    const all: T[] = [];
    for (let entry = this.#first; entry !== undefined; entry = entry.following) all.push(entry);
    return all;
  }

  private toIndex(): void {
    const all = this.all();
    this.#first = undefined;
    for (const entry of all) entry.following = undefined;
    this.#index = new Map(all.map((entry) => [entry.name, entry]));
  }
}
