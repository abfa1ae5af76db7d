import { escapeHtml } from "./page.js";
import { type Scale, short } from "./scale.js";

export interface Axis {
  readonly label: string;
  readonly scale: Scale;
  readonly format?: (value: number) => string;
}

export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly x: Axis;
  readonly y: Axis;
  /** What is drawn, for those who cannot see it. */
  readonly name: string;
}

export type XY = readonly [x: number, y: number];

const LEFT = 62;
const RIGHT = 16;
const TOP = 12;
const BOTTOM = 44;

/** A frame with axes, and what is drawn into it; all in user units of one SVG. */
export class Chart {
  readonly #frame: Frame;
  readonly #marks: string[] = [];
  readonly #legend: string[] = [];

  constructor(frame: Frame) {
    this.#frame = frame;
  }

  x(value: number): number {
    return round(LEFT + clamp(this.#frame.x.scale.at(value)) * (this.#frame.width - LEFT - RIGHT));
  }

  y(value: number): number {
    return round(
      this.#frame.height -
        BOTTOM -
        clamp(this.#frame.y.scale.at(value)) * (this.#frame.height - TOP - BOTTOM),
    );
  }

  /** `colour`: a variable of the page's. */
  line(
    points: readonly XY[],
    colour: string,
    options: { readonly dashed?: boolean; readonly name?: string } = {},
  ): this {
    if (points.length < 2) return this;
    const dash = options.dashed === true ? ' stroke-dasharray="5 4"' : "";
    this.#marks.push(
      `<path d="${this.#path(points)}" fill="none" stroke="var(${colour})" stroke-width="2"${dash}/>`,
    );
    if (options.name !== undefined)
      this.#name(options.name, colour, options.dashed === true ? "dashed" : "line");
    return this;
  }

  /** Between two lines of as many points. */
  area(
    low: readonly XY[],
    high: readonly XY[],
    fill: string,
    options: { readonly opacity?: number; readonly name?: string } = {},
  ): this {
    const there = this.#path(high);
    const back = [...low].reverse().map(([x, y]) => `L${this.x(x)} ${this.y(y)}`);
    this.#marks.push(
      `<path d="${there}${back.join("")}Z" fill="var(${fill})" opacity="${options.opacity ?? 1}"/>`,
    );
    if (options.name !== undefined) this.#name(options.name, fill, "box");
    return this;
  }

  dots(
    points: readonly { readonly at: XY; readonly title: string; readonly open?: boolean }[],
    colour: string,
    name?: string,
  ): this {
    for (const { at, title, open } of points) {
      const fill = open === true ? "var(--card)" : `var(${colour})`;
      this.#marks.push(
        `<circle cx="${this.x(at[0])}" cy="${this.y(at[1])}" r="4.5" fill="${fill}" stroke="var(${colour})" stroke-width="2"><title>${escapeHtml(title)}</title></circle>`,
      );
    }
    if (name !== undefined && points.length > 0)
      this.#name(name, colour, points.every(({ open }) => open) ? "ring" : "dot");
    return this;
  }

  /** A line over the whole width at a value, with its name above the right end. */
  level(value: number, colour: string, name: string): this {
    const { width, y } = this.#frame;
    if (y.scale.at(value) > 1 || y.scale.at(value) < 0) return this;
    const at = this.y(value);
    this.#marks.push(
      `<line x1="${LEFT}" x2="${width - RIGHT}" y1="${at}" y2="${at}" stroke="var(${colour})" stroke-dasharray="3 3"/><text x="${width - RIGHT - 4}" y="${at - 5}" text-anchor="end" style="fill:var(${colour})">${escapeHtml(name)}</text>`,
    );
    return this;
  }

  /** Where the reader's own case lies. */
  here(at: XY, name: string): this {
    const [x, y] = [this.x(at[0]), this.y(at[1])];
    const isRight = this.#frame.x.scale.at(at[0]) > 0.6;
    this.#marks.push(
      `<line class="rule" x1="${x}" x2="${x}" y1="${y}" y2="${this.#frame.height - BOTTOM}" stroke-dasharray="2 3"/><circle cx="${x}" cy="${y}" r="6" fill="var(--own)" stroke="var(--card)" stroke-width="2"/><text x="${isRight ? x - 10 : x + 10}" y="${y - 9}" text-anchor="${isRight ? "end" : "start"}" style="fill:var(--own);font-weight:600">${escapeHtml(name)}</text>`,
    );
    return this;
  }

  svg(): string {
    const { width, height, name } = this.#frame;
    const legend = this.#legend.length === 0 ? "" : `<g>${this.#legend.join("")}</g>`;
    const drop =
      this.#legend.length === 0 ? 0 : LEGEND_HEIGHT * Math.ceil(this.#legend.length / LEGEND_COLUMNS);
    return `<svg viewBox="0 0 ${width} ${height + drop}" role="img" aria-label="${escapeHtml(name)}">${this.#axes()}${this.#marks.join("")}${legend}</svg>`;
  }

  #axes(): string {
    const { width, height, x, y } = this.#frame;
    const bottom = height - BOTTOM;
    const [formatX, formatY] = [x.format ?? short, y.format ?? short];
    return [
      ...y.scale.ticks.map((value) => {
        const at = this.y(value);
        return `<line class="rule" x1="${LEFT}" x2="${width - RIGHT}" y1="${at}" y2="${at}"/><text class="soft" x="${LEFT - 7}" y="${at + 4}" text-anchor="end">${formatY(value)}</text>`;
      }),
      ...x.scale.ticks.map((value) => {
        const at = this.x(value);
        return `<line class="rule" x1="${at}" x2="${at}" y1="${bottom}" y2="${bottom + 5}"/><text class="soft" x="${at}" y="${bottom + 18}" text-anchor="middle">${formatX(value)}</text>`;
      }),
      `<line x1="${LEFT}" x2="${width - RIGHT}" y1="${bottom}" y2="${bottom}" stroke="var(--soft)"/>`,
      `<text class="soft" x="${(LEFT + width - RIGHT) / 2}" y="${height - 8}" text-anchor="middle">${escapeHtml(x.label)}</text>`,
      `<text class="soft" transform="translate(13 ${(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(y.label)}</text>`,
    ].join("");
  }

  #path(points: readonly XY[]): string {
    return points.map(([x, y], index) => `${index === 0 ? "M" : "L"}${this.x(x)} ${this.y(y)}`).join("");
  }

  #name(name: string, colour: string, kind: "line" | "dashed" | "box" | "dot" | "ring"): void {
    const { width, height } = this.#frame;
    const column = this.#legend.length % LEGEND_COLUMNS;
    const x = LEFT + (column * (width - LEFT)) / LEGEND_COLUMNS;
    const y = height + 12 + Math.floor(this.#legend.length / LEGEND_COLUMNS) * LEGEND_HEIGHT;
    const marks = {
      line: `<line x1="${x}" x2="${x + 18}" y1="${y - 4}" y2="${y - 4}" stroke="var(${colour})" stroke-width="2"/>`,
      dashed: `<line x1="${x}" x2="${x + 18}" y1="${y - 4}" y2="${y - 4}" stroke="var(${colour})" stroke-width="2" stroke-dasharray="5 4"/>`,
      box: `<rect x="${x + 2}" y="${y - 10}" width="14" height="12" rx="2" fill="var(${colour})"/>`,
      dot: `<circle cx="${x + 9}" cy="${y - 4}" r="4.5" fill="var(${colour})"/>`,
      ring: `<circle cx="${x + 9}" cy="${y - 4}" r="4.5" fill="var(--card)" stroke="var(${colour})" stroke-width="2"/>`,
    } as const;
    this.#legend.push(`${marks[kind]}<text class="soft" x="${x + 24}" y="${y}">${escapeHtml(name)}</text>`);
  }
}

const LEGEND_COLUMNS = 2;
const LEGEND_HEIGHT = 19;

/** A little beyond the frame is drawn at its edge. */
function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
