/** Copies of a room's messages that come by two ways, both in the same order: which of them is a message's first. */
export class CopyPairs {
  /** By mark, how many more came by the one way (above 0) or by the other. */
  readonly #ahead = new Map<number, number>();
  #last: { readonly way: number; readonly mark: number } | undefined;

  /** Messages that have the same mark need not be told apart: they are counted. */
  isFirst(way: "single" | "whole", mark: number): boolean {
    const step = way === "single" ? 1 : -1;
    const ahead = this.#ahead.get(mark) ?? 0;
    if (ahead + step === 0) this.#ahead.delete(mark);
    else this.#ahead.set(mark, ahead + step);
    this.#last = { way: step, mark };
    return ahead * step >= 0;
  }

  /** Of what came by now no second copies come, but of the very last. */
  forget(): void {
    const last = this.#last;
    const isAlone = last !== undefined && (this.#ahead.get(last.mark) ?? 0) * last.way > 0;
    this.#ahead.clear();
    if (last !== undefined && isAlone) this.#ahead.set(last.mark, last.way);
  }
}
