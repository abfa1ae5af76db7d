/** Something that holds bytes of a budget and can be told to give them up. */
export interface BudgetEntry {
  readonly bytes: number;
  /** Called when the budget evicts the entry: remove it from where it is kept. Must not touch the budget. */
  evict(): void;
  /** Links of the budget's list; nobody else reads or writes them. */
  older: BudgetEntry | undefined;
  newer: BudgetEntry | undefined;
}

/**
 * One bound on the bytes of many collections: all entries in one list by age, the oldest evicted first. Adding,
 * removing and evicting are O(1), whichever collection an entry is in.
 */
export class ByteBudget {
  readonly #limit: number;
  #used = 0;
  #oldest: BudgetEntry | undefined;
  #newest: BudgetEntry | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** Adds the newest entry and evicts the oldest until all fits; an entry above the whole limit evicts itself too. Returns how many were evicted. */
  add(entry: BudgetEntry): number {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
    this.#used += entry.bytes;
    let evicted = 0;
    while (this.#used > this.#limit && this.#oldest !== undefined) {
      const oldest = this.#oldest;
      this.remove(oldest);
      oldest.evict();
      evicted += 1;
    }
    return evicted;
  }

  /** Takes an entry out that its owner dropped. The entry must be in the list. */
  remove(entry: BudgetEntry): void {
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
    this.#used -= entry.bytes;
  }
}
