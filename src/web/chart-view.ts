import uPlot from "uplot";
import type { Row } from "./board.js";
import { type Frames, part, setText } from "./dom.js";
import { currencyName, formatChange, formatDate, formatTick, NONE } from "./format.js";
import type { Themes } from "./palette.js";

const DAY_SECONDS = 86_400;
const REDRAW_MS = 100;

const RANGES = { "3M": 92, "1Y": 366, "5Y": 1_827, All: Number.POSITIVE_INFINITY } as const;
type RangeName = keyof typeof RANGES;

/** The selected pair, large: its rate and its past. */
export class ChartView {
  readonly #themes: Themes;
  readonly #place = part("chart-plot", HTMLElement);
  readonly #title = part("chart-pair", HTMLElement);
  readonly #names = part("chart-names", HTMLElement);
  readonly #rate = part("chart-rate", HTMLElement);
  readonly #change = part("chart-change", HTMLElement);
  readonly #date = part("chart-date", HTMLElement);
  readonly #low = part("chart-low", HTMLElement);
  readonly #high = part("chart-high", HTMLElement);
  readonly #hover = part("chart-hover", HTMLElement);
  #plot: uPlot | undefined;
  #row: Row | undefined;
  #range: RangeName = "3M";
  /** Of the row when it was drawn last. */
  #drawn = "";

  constructor(themes: Themes, frames: Frames) {
    this.#themes = themes;
    for (const button of document.querySelectorAll<HTMLButtonElement>("[data-range]")) {
      button.addEventListener("click", () => this.#choose(rangeOf(button.dataset.range)));
    }
    new ResizeObserver(() => this.#fit()).observe(this.#place);
    themes.onChange(() => this.#build());
    frames.add(REDRAW_MS, () => this.#draw());
  }

  show(row: Row): void {
    this.#row = row;
    this.#drawn = "";
    setText(this.#title, `${row.base}/${row.quote}`);
    setText(this.#names, `${currencyName(row.base)} in ${currencyName(row.quote)}`);
    this.#build();
  }

  #choose(range: RangeName): void {
    this.#range = range;
    this.#drawn = "";
    for (const button of document.querySelectorAll<HTMLButtonElement>("[data-range]")) {
      button.setAttribute("aria-pressed", String(button.dataset.range === range));
    }
  }

  #draw(): void {
    const row = this.#row;
    if (row === undefined || this.#plot === undefined) return;
    const state = `${row.symbol} ${row.updates} ${row.series.length}`;
    if (state === this.#drawn) return;
    this.#drawn = state;
    const { series } = row;
    const [times, rates] = series.slice(series.indexOf(row.time - RANGES[this.#range] * DAY_SECONDS));
    this.#plot.setData([times, rates]);
    const text = (rate: number): string => (Number.isFinite(rate) ? rate.toFixed(row.decimals) : NONE);
    setText(this.#rate, text(row.rate));
    setText(this.#change, formatChange(row.day));
    this.#change.dataset.trend = row.day > 0 ? "up" : row.day < 0 ? "down" : "flat";
    setText(this.#date, formatDate(row.time));
    setText(this.#low, text(Math.min(...rates)));
    setText(this.#high, text(Math.max(...rates)));
  }

  #fit(): void {
    const { clientWidth: width, clientHeight: height } = this.#place;
    if (width > 0 && height > 0) this.#plot?.setSize({ width, height });
  }

  #build(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
    this.#drawn = "";
    const { clientWidth: width, clientHeight: height } = this.#place;
    if (this.#row === undefined) return;
    this.#plot = new uPlot(this.#options(Math.max(1, width), Math.max(1, height)), [[], []], this.#place);
  }

  #options(width: number, height: number): uPlot.Options {
    const { palette } = this.#themes;
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const axis: uPlot.Axis = {
      stroke: palette.muted,
      font,
      grid: { stroke: palette.grid, width: 1 },
      ticks: { show: false },
    };
    return {
      width,
      height,
      padding: [10, 0, 0, 16],
      legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), "Etc/UTC"),
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { y: { range: (_, min, max) => paddedRange(min, max) } },
      axes: [
        {
          ...axis,
          size: 24,
          gap: 6,
          space: 80,
          values: (_, splits, _axis, _space, step) => splits.map((time) => formatTick(time, step)),
        },
        {
          ...axis,
          side: 1,
          size: 62,
          gap: 8,
          space: 44,
          values: (_, splits) => splits.map((value) => value.toFixed(this.#row?.decimals ?? 4)),
        },
      ],
      series: [
        {},
        {
          stroke: palette.accent,
          width: 1.5,
          fill: (plot) => gradient(plot, palette.accent),
          points: { show: false },
        },
      ],
      hooks: {
        draw: [(plot) => this.#drawLast(plot, font)],
        setCursor: [(plot) => this.#showHover(plot)],
      },
    };
  }

  /** A dashed line at the newest rate, with the rate on the axis. */
  #drawLast(plot: uPlot, font: string): void {
    const row = this.#row;
    if (row === undefined || plot.data[0].length === 0) return;
    const { palette } = this.#themes;
    const ratio = devicePixelRatio;
    const { left, width } = plot.bbox;
    const y = Math.round(plot.valToPos(row.rate, "y", true)) + 0.5;
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = palette.accent;
    ctx.lineWidth = ratio;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.fillStyle = palette.accent;
    ctx.fillRect(left + width + ratio, y - 9 * ratio, 60 * ratio, 18 * ratio);
    ctx.fillStyle = palette.panel;
    ctx.font = `600 ${11 * ratio}px${font.slice(font.indexOf(" "))}`;
    ctx.textBaseline = "middle";
    ctx.fillText(row.rate.toFixed(row.decimals), left + width + 8 * ratio, y + ratio / 2);
    ctx.restore();
  }

  #showHover(plot: uPlot): void {
    const index = plot.cursor.idx;
    const time = index == null ? undefined : plot.data[0][index];
    const rate = index == null ? undefined : plot.data[1]?.[index];
    const text =
      time == null || rate == null ? "" : `${formatDate(time)}  ${rate.toFixed(this.#row?.decimals ?? 4)}`;
    setText(this.#hover, text);
  }
}

/** A little air above and below; a flat line in the middle. */
function paddedRange(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return [0, 1];
  const air = max > min ? (max - min) * 0.08 : Math.abs(max) * 0.01;
  return [min - air, max + air];
}

function gradient(plot: uPlot, colour: string): CanvasGradient | string {
  const { top, height } = plot.bbox;
  // Before the first layout there is no height yet.
  if (!Number.isFinite(height) || height === 0) return "transparent";
  const fill = plot.ctx.createLinearGradient(0, top, 0, top + height);
  fill.addColorStop(0, `color-mix(in srgb, ${colour} 24%, transparent)`);
  fill.addColorStop(1, `color-mix(in srgb, ${colour} 0%, transparent)`);
  return fill;
}

function rangeOf(name: string | undefined): RangeName {
  return name === "1Y" || name === "5Y" || name === "All" ? name : "3M";
}
