import uPlot from "uplot";
import { type Frames, make, part, setText } from "./dom.js";
import { NONE } from "./format.js";
import type { Stats } from "./ops-data.js";
import { clockOf, minuteOf } from "./ops-format.js";
import { type History, WINDOW_SECONDS } from "./ops-history.js";
import type { Palette, Themes } from "./palette.js";

const REDRAW_MS = 250;

/** One line of a chart. */
export interface Series {
  readonly label: string;
  readonly colour: keyof Palette;
  readonly of: (stats: Stats) => number | undefined;
}

export interface ChartPlan {
  /** Of the figure. */
  readonly id: string;
  readonly title: string;
  /** What it draws, of the newest sample: processes come and go. */
  readonly series: (stats: Stats | undefined) => readonly Series[];
  /** A value with its unit, for the legend. */
  readonly text: (value: number) => string;
  /** The same on the axis. */
  readonly tick: (value: number) => string;
  /** The axis reaches at least so far. */
  readonly topMin: number;
  /** Whether the first line is filled. */
  readonly filled: boolean;
}

interface Legend {
  readonly series: Series;
  readonly value: HTMLElement;
}

/** A chart of the last five minutes. All of them share their cursor: what happened when is seen in every one. */
export class OpsChart {
  readonly #plan: ChartPlan;
  readonly #themes: Themes;
  readonly #history: History;
  readonly #place = make("div", "plot");
  readonly #legendPlace = make("div", "legend");
  readonly #time = make("span", "at");
  #series: readonly Series[] = [];
  #legends: readonly Legend[] = [];
  #plot: uPlot | undefined;
  #drawn = -1;

  constructor(plan: ChartPlan, history: History, themes: Themes, frames: Frames) {
    this.#plan = plan;
    this.#history = history;
    this.#themes = themes;
    const figure = part(plan.id, HTMLElement);
    const caption = make("figcaption");
    caption.append(make("h2", "", plan.title), this.#time, this.#legendPlace);
    figure.append(caption, this.#place);
    this.#place.setAttribute("role", "img");
    this.#place.setAttribute("aria-label", `${plan.title}, the last five minutes`);
    this.#build();
    new ResizeObserver(() => this.#fit()).observe(this.#place);
    themes.onChange(() => this.#build());
    frames.add(REDRAW_MS, () => this.#draw());
  }

  #draw(): void {
    if (this.#drawn === this.#history.version) return;
    const series = this.#plan.series(this.#history.last);
    if (labelsOf(series) !== labelsOf(this.#series)) this.#build();
    this.#drawn = this.#history.version;
    const lines = this.#series.map(({ of }) => this.#history.line(of));
    this.#plot?.setData([[...this.#history.times], ...lines]);
    this.#showValues();
  }

  #fit(): void {
    const { clientWidth: width, clientHeight: height } = this.#place;
    if (width > 0 && height > 0) this.#plot?.setSize({ width, height });
  }

  #build(): void {
    this.#plot?.destroy();
    this.#drawn = -1;
    this.#series = this.#plan.series(this.#history.last);
    this.#legends = this.#series.map((series) => ({ series, value: make("b", "", NONE) }));
    this.#legendPlace.replaceChildren(
      ...this.#legends.map(({ series, value }) => {
        const entry = make("span", "entry");
        const swatch = make("i");
        swatch.dataset.colour = series.colour;
        entry.append(swatch, series.label, value);
        return entry;
      }),
    );
    const { clientWidth: width, clientHeight: height } = this.#place;
    const empty: uPlot.AlignedData = [[], ...this.#series.map(() => [])];
    this.#plot = new uPlot(this.#options(Math.max(1, width), Math.max(1, height)), empty, this.#place);
  }

  #options(width: number, height: number): uPlot.Options {
    const { palette } = this.#themes;
    const axis: uPlot.Axis = {
      stroke: palette.muted,
      font: `11px ${getComputedStyle(document.body).fontFamily}`,
      grid: { stroke: palette.grid, width: 1 },
      ticks: { show: false },
    };
    const { topMin, filled, tick } = this.#plan;
    return {
      width,
      height,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: "ops" } },
      scales: {
        x: { range: (_, _min, max) => [max - WINDOW_SECONDS, max] },
        y: { range: (_, _min, max) => [0, Math.max(topMin, (max ?? 0) * 1.12)] },
      },
      axes: [
        {
          ...axis,
          size: 22,
          gap: 5,
          space: 40,
          incrs: [60, 120],
          values: (_, splits) => splits.map((time) => minuteOf(time * 1_000)),
        },
        { ...axis, size: 46, gap: 6, space: 30, values: (_, splits) => splits.map(tick) },
      ],
      series: [
        {},
        ...this.#series.map(
          ({ colour }, index): uPlot.Series => ({
            stroke: palette[colour],
            width: 1.5,
            points: { show: false },
            ...(filled && index === 0
              ? { fill: `color-mix(in srgb, ${palette[colour]} 14%, transparent)` }
              : {}),
          }),
        ),
      ],
      hooks: { setCursor: [() => this.#showValues()] },
    };
  }

  /** Of the moment that is pointed at, else of now. */
  #showValues(): void {
    const pointed = this.#plot?.cursor.idx ?? undefined;
    const index = pointed ?? this.#history.times.length - 1;
    const stats = this.#history.at(index);
    const time = pointed === undefined ? undefined : this.#history.times[pointed];
    setText(this.#time, time === undefined ? "" : clockOf(time * 1_000));
    for (const { series, value } of this.#legends) {
      const number = stats === undefined ? undefined : series.of(stats);
      setText(value, number === undefined ? NONE : this.#plan.text(number));
    }
  }
}

function labelsOf(series: readonly Series[]): string {
  return series.map(({ label }) => label).join("\n");
}
