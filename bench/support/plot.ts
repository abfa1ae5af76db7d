/** One quantity, told for several things that were measured. */
export interface Series {
  readonly name: string;
  /** One for each of the plot's places; undefined where there is none. */
  readonly values: readonly (number | undefined)[];
}

/** A chart: a group of bars a place, or lines over places that are numbers. */
export interface Plot {
  readonly title: string;
  readonly kind: "bars" | "lines";
  /** What the places are, with their unit. */
  readonly x: string;
  readonly places: readonly string[];
  /** What the values are, with their unit. */
  readonly y: string;
  /** For values that are far apart; of lines only, as what a bar stands for is its length. */
  readonly isLogarithmic?: boolean;
  readonly series: readonly Series[];
}

const WIDTH = 640;
const HEIGHT = 320;
const LEFT = 70;
const RIGHT = 16;
const TOP = 44;
const BOTTOM = 54;
const TICKS = 5;
/** Of the values at bars and points, and of one of their characters. */
const LABEL_HEIGHT = 12;
const LABEL_WIDTH = 6.5;
/** Told apart in light and dark, and by who sees no red. */
const COLOURS = ["--a", "--b", "--c", "--d", "--e"];

/** What there is to look at: without values that are no numbers, series without values, and plots without series. */
export function seenPlots(plots: readonly Plot[]): Plot[] {
  return plots.flatMap((plot) => {
    const series = plot.series
      .map(({ name, values }) => ({ name, values: values.map(finite) }))
      .filter(({ values }) => values.some((value) => value !== undefined));
    return series.length === 0 ? [] : [{ ...plot, series }];
  });
}

function finite(value: number | undefined): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

/** A page of its own, without scripts and without anything from elsewhere. */
export function plotPage(title: string, notes: readonly string[], plots: readonly Plot[]): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>
:root { color-scheme: light dark; --ink: #1b2733; --soft: #5b6c7d; --paper: #fff; --rule: #dfe5eb; --a: #2f6fb3; --b: #e08a1e; --c: #3b8f6a; --d: #8a5fb0; --e: #7a7f87 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #93a4b5; --paper: #10161c; --rule: #25303a; --a: #6aa9ec; --b: #f0a94b; --c: #5cc094; --d: #b78fe0; --e: #a3a9b2 } }
body { margin: 2rem auto; max-width: 1340px; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.4rem; margin: 0 0 .3rem } p { color: var(--soft); margin: .1rem 0; max-width: 90ch }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr)); gap: 1.5rem; margin-top: 1.5rem }
figure { margin: 0 } figcaption { font-weight: 600 }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif } svg text { fill: var(--ink) } svg .soft { fill: var(--soft) }
</style>
<h1>${escapeHtml(title)}</h1>
${notes.map((note) => `<p>${escapeHtml(note)}</p>`).join("\n")}
<main>
${plots.map(figure).join("\n")}
</main>
</html>
`;
}

function figure(plot: Plot): string {
  const scale = new Scale(plot);
  const drawn = plot.kind === "bars" ? bars(plot, scale) : lines(plot, scale);
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  const y = scale.isLogarithmic ? `${plot.y}, logarithmic` : plot.y;
  return `<figure>
<figcaption>${escapeHtml(plot.title)}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(plot.title)}">
${scale.ticks.map((tick) => ruleAt(tick, scale)).join("")}
${drawn}
<text class="soft" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 10}" text-anchor="middle">${escapeHtml(plot.x)}</text>
<text class="soft" x="16" y="${middle}" text-anchor="middle" transform="rotate(-90 16 ${middle})">${escapeHtml(y)}</text>
${plot.series.length > 1 ? legend(plot.series) : ""}
</svg>
</figure>`;
}

/** From values to heights. */
class Scale {
  readonly ticks: readonly number[];
  readonly isLogarithmic: boolean;
  readonly #low: number;
  readonly #high: number;
  readonly #map: (value: number) => number;

  constructor({ kind, series, isLogarithmic: isAsked = false }: Plot) {
    const isLogarithmic = isAsked && kind === "lines";
    this.isLogarithmic = isLogarithmic;
    const values = series.flatMap((one) => one.values.filter((value) => value !== undefined));
    const high = Math.max(...values, 0);
    this.#map = isLogarithmic ? Math.log10 : (value) => value;
    this.ticks = isLogarithmic
      ? decades(Math.min(...values.filter((value) => value > 0)), high)
      : evenly(high);
    this.#low = this.#map(this.ticks[0] ?? 0);
    this.#high = this.#map(this.ticks[this.ticks.length - 1] ?? 1);
  }

  y(value: number): number {
    // What has no logarithm stands on the axis.
    const share = Math.max(0, (this.#map(value) - this.#low) / (this.#high - this.#low || 1));
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
  }
}

function ruleAt(tick: number, scale: Scale): string {
  const y = scale.y(tick).toFixed(1);
  return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" stroke="var(--rule)"/><text class="soft" x="${LEFT - 8}" y="${y}" dy=".35em" text-anchor="end">${short(tick)}</text>`;
}

function bars({ places, series }: Plot, scale: Scale): string {
  const wide = (WIDTH - LEFT - RIGHT) / places.length;
  const bar = Math.min(60, (wide * 0.76) / series.length);
  return places
    .map((place, at) => {
      const middle = LEFT + wide * (at + 0.5);
      let last: Label | undefined;
      const drawn = series.map(({ values }, index) => {
        const value = values[at];
        if (value === undefined) return "";
        const x = middle + (index - series.length / 2) * bar;
        const y = scale.y(value);
        last = clearOf(last, { text: short(value), x: x + bar / 2, y: y - 5 });
        return `<rect x="${(x + 1).toFixed(1)}" y="${y.toFixed(1)}" width="${(bar - 2).toFixed(1)}" height="${(HEIGHT - BOTTOM - y).toFixed(1)}" rx="2" fill="${colour(index)}"/>${labelAt(last)}`;
      });
      return `${drawn.join("")}${placeAt(place, middle)}`;
    })
    .join("\n");
}

interface Label {
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

/** The label as it is, or above the one before it where they would overlap. */
function clearOf(before: Label | undefined, label: Label): Label {
  if (before === undefined || Math.abs(before.y - label.y) >= LABEL_HEIGHT) return label;
  const width = (LABEL_WIDTH * (before.text.length + label.text.length)) / 2;
  return label.x - before.x >= width ? label : { ...label, y: before.y - LABEL_HEIGHT };
}

function labelAt({ text, x, y }: Label): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="middle" font-size="11">${text}</text>`;
}

/** Over the logarithm of the places, as loads are tried in steps that multiply. */
function lines({ places, series }: Plot, scale: Scale): string {
  const logs = places.map((place) => Math.log(Number(place)));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const x = (log: number): number =>
    LEFT + 24 + ((log - low) / (high - low || 1)) * (WIDTH - LEFT - RIGHT - 60);
  const drawn = series.map(({ values }, index) => {
    const points = values.flatMap((value, at) =>
      value === undefined
        ? []
        : [
            {
              x: x(logs[at] ?? low),
              y: scale.y(value),
              value,
              isTop: series.every((one) => (one.values[at] ?? value) <= value),
            },
          ],
    );
    const path = points.map((point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`).join(" ");
    const marks = points.map(
      (point) =>
        `<circle cx="${point.x.toFixed(1)}" cy="${point.y.toFixed(1)}" r="3.5" fill="${colour(index)}"/><text x="${point.x.toFixed(1)}" y="${(point.y + (point.isTop ? -9 : 18)).toFixed(1)}" text-anchor="middle" font-size="11">${short(point.value)}</text>`,
    );
    return `<polyline points="${path}" fill="none" stroke="${colour(index)}" stroke-width="2"/>${marks.join("")}`;
  });
  return [...drawn, ...places.map((place, at) => placeAt(place, x(logs[at] ?? low)))].join("\n");
}

function placeAt(place: string, x: number): string {
  return `<text x="${x.toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${escapeHtml(place)}</text>`;
}

function legend(series: readonly Series[]): string {
  const wide = (WIDTH - LEFT - RIGHT) / series.length;
  return series
    .map(({ name }, index) => {
      const x = LEFT + index * Math.min(wide, 170);
      return `<rect x="${x}" y="8" width="12" height="12" rx="2" fill="${colour(index)}"/><text x="${x + 18}" y="18">${escapeHtml(name)}</text>`;
    })
    .join("");
}

function colour(index: number): string {
  return `var(${COLOURS[index % COLOURS.length]})`;
}

/** From 0 in round steps to above the highest. */
function evenly(high: number): number[] {
  if (high <= 0) return [0, 1];
  const rough = high / TICKS;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = decade * ([1, 2, 2.5, 5, 10].find((factor) => factor * decade >= rough) ?? 10);
  return Array.from({ length: Math.ceil((high * 1.04) / step) + 1 }, (_, index) => index * step);
}

/** 1, 2 and 5 of every decade, from at or below the lowest to at or above the highest. */
function decades(low: number, high: number): number[] {
  if (high <= 0) return [0.1, 1];
  const all: number[] = [];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade += 1)
    for (const factor of [1, 2, 5]) all.push(factor * 10 ** decade);
  const first = all.findLastIndex((tick) => tick <= 0.9 * low);
  const last = all.findIndex((tick) => tick >= high);
  return all.slice(Math.max(0, first), Math.max(last + 1, first + 2));
}

/** Three digits at the most, without an exponent. */
function short(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(value >= 100 ? 3 : 2)));
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
