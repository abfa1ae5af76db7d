/** An item of one {@link LinkedList}, which alone reads and writes the links. */
export interface Linked<T> {
  before: T | undefined;
  after: T | undefined;
}

/**
 * Items in the order in which they were last added. A Map would keep that order too, but finding its first item
 * walks over all that were deleted before it.
 */
export class LinkedList<T extends Linked<T>> {
  #first: T | undefined;
  #last: T | undefined;

  get first(): T | undefined {
    return this.#first;
  }

  /** Adds an item that is in no list. */
  push(item: T): void {
    item.before = this.#last;
    item.after = undefined;
    if (this.#last === undefined) this.#first = item;
    else this.#last.after = item;
    this.#last = item;
  }

  /** Takes an item of this list out. */
  remove(item: T): void {
    if (item.before === undefined) this.#first = item.after;
    else item.before.after = item.after;
    if (item.after === undefined) this.#last = item.before;
    else item.after.before = item.before;
    item.before = undefined;
    item.after = undefined;
  }
}
