/** Something that keeps messages, oldest first, and can be told to give one up. */
export interface HistoryOwner {
  /** Called when the budget is above its bound: drops the oldest message, which releases its place. */
  evict(): void;
}

/**
 * The bound on the bytes of many histories: all their messages in one list by age, the oldest of all evicted first. Adding and
 * releasing are O(1). A message's place in the list is a number in typed arrays, not an object: a million objects that live long
 * are what the garbage collector would be busy with (`npm run bench -- hub`).
 */
export class HistoryBudget {
  readonly #limit: number;
  readonly #segments: Segment[] = [];
  #used = 0;
  #oldest = NONE;
  #newest = NONE;
  /** Places to use again, linked by `newer`. */
  #free = NONE;
  #places = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  /** Adds an owner's newest message. Returns its place; nothing is evicted before {@link HistoryBudget.fit}. */
  add(owner: HistoryOwner, bytes: number): number {
    const place = this.#take();
    const segment = this.#segment(place);
    segment.owners[place & MASK] = owner;
    segment.older[place & MASK] = this.#newest;
    segment.newer[place & MASK] = NONE;
    if (this.#newest === NONE) this.#oldest = place;
    else this.#segment(this.#newest).newer[this.#newest & MASK] = place;
    this.#newest = place;
    this.#used += bytes;
    return place;
  }

  /** Takes a message out that its owner has dropped. */
  release(place: number, bytes: number): void {
    const segment = this.#segment(place);
    const older = segment.older[place & MASK] ?? NONE;
    const newer = segment.newer[place & MASK] ?? NONE;
    if (older === NONE) this.#oldest = newer;
    else this.#segment(older).newer[older & MASK] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#segment(newer).older[newer & MASK] = older;
    segment.owners[place & MASK] = undefined;
    segment.newer[place & MASK] = this.#free;
    this.#free = place;
    this.#used -= bytes;
  }

  /** Evicts the oldest until all fits, the newest included where it is above the whole limit. Returns how many. */
  fit(): number {
    let evicted = 0;
    while (this.#used > this.#limit && this.#oldest !== NONE) {
      this.#segment(this.#oldest).owners[this.#oldest & MASK]?.evict();
      evicted += 1;
    }
    return evicted;
  }

  #take(): number {
    const free = this.#free;
    if (free !== NONE) {
      this.#free = this.#segment(free).newer[free & MASK] ?? NONE;
      return free;
    }
    const place = this.#places;
    this.#places += 1;
    if ((place & MASK) === 0) this.#segments.push(createSegment());
    return place;
  }

  #segment(place: number): Segment {
    const segment = this.#segments[place >>> BITS];
    if (segment === undefined) throw new RangeError(`place ${place} is none of this budget`);
    return segment;
  }
}

/** So many places at a time: no growth that copies a million of them in one go. */
interface Segment {
  readonly older: Int32Array;
  readonly newer: Int32Array;
  readonly owners: (HistoryOwner | undefined)[];
}

const NONE = -1;
const BITS = 10;
const MASK = (1 << BITS) - 1;

function createSegment(): Segment {
  const size = 1 << BITS;
  return {
    older: new Int32Array(size),
    newer: new Int32Array(size),
    owners: new Array<HistoryOwner | undefined>(size).fill(undefined),
  };
}
