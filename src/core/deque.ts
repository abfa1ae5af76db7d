/** A queue with access by index: a circular array that doubles when full and halves when a quarter full. */
export class Deque<T> {
  // Its length is a power of two, so that the mask replaces a division. Undefined until the first push: most rooms are quiet.
  #slots: (T | undefined)[] | undefined;
  #start = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The item at an index from the front; undefined outside of the queue. */
  at(index: number): T | undefined {
    if (this.#slots === undefined || index < 0 || index >= this.#length) return undefined;
    return this.#slots[(this.#start + index) & (this.#slots.length - 1)];
  }

  push(item: T): void {
    this.#slots ??= new Array<T | undefined>(SLOTS_MIN).fill(undefined);
    if (this.#length === this.#slots.length) this.#slots = this.#resized(this.#slots.length * 2);
    this.#slots[(this.#start + this.#length) & (this.#slots.length - 1)] = item;
    this.#length += 1;
  }

  shift(): T | undefined {
    if (this.#slots === undefined || this.#length === 0) return undefined;
    const item = this.#slots[this.#start];
    this.#slots[this.#start] = undefined;
    this.#start = (this.#start + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    if (this.#length === 0) this.#slots = undefined;
    else if (this.#slots.length > SLOTS_MIN && this.#length * 4 <= this.#slots.length)
      this.#slots = this.#resized(this.#slots.length / 2);
    return item;
  }

  #resized(length: number): (T | undefined)[] {
    const slots = new Array<T | undefined>(length).fill(undefined);
    for (let index = 0; index < this.#length; index += 1) slots[index] = this.at(index);
    this.#start = 0;
    return slots;
  }
}

const SLOTS_MIN = 4;
