/** From values to places on an axis. */
export interface Scale {
  readonly low: number;
  readonly high: number;
  /** Round values to mark, ascending. */
  readonly ticks: readonly number[];
  /** 0 at the low end, 1 at the high one; not bounded to that. */
  at(value: number): number;
}

/** From 0 to a round value above `high`. */
export function linear(high: number, ticksMax = 5): Scale {
  const top = high > 0 && Number.isFinite(high) ? high : 1;
  const step = roundStep(top / ticksMax);
  const end = Math.ceil(top / step - 1e-9) * step;
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, index) => index * step);
  return { low: 0, high: end, ticks, at: (value) => value / end };
}

/** Both ends above 0. With more than two decades only powers of ten are marked. */
export function logarithmic(low: number, high: number): Scale {
  const [from, to] = [Math.log10(low), Math.log10(Math.max(high, low * 1.001))];
  const factors = to - from > 2.2 ? [1] : to - from > 1.2 ? [1, 3] : [1, 2, 5];
  const ticks: number[] = [];
  for (let decade = Math.floor(from); decade <= to; decade++)
    for (const factor of factors) {
      const value = factor * 10 ** decade;
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
    }
  return { low, high, ticks, at: (value) => (Math.log10(value) - from) / (to - from) };
}

/** 1, 2 or 5 of a decade, at least that much. */
function roundStep(step: number): number {
  const decade = 10 ** Math.floor(Math.log10(step));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * decade >= step * 0.999) ?? 10;
  return factor * decade;
}

/** 1,200 → 1.2k; for axes and cells. */
export function short(value: number): string {
  const units = [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const;
  for (const [size, name] of units)
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${name}`;
  return String(Number(value.toPrecision(3)));
}
