import { escapeHtml } from "../plot/page.js";
import { short } from "../plot/scale.js";
import type { Calibration } from "./calibration.js";
import { type Limit, type Plan, planFor, type Wish } from "./plan.js";
import { LIMITS } from "./plan-text.js";

/** From an eighth of what is wished to eight times that, by factors of two. */
const FACTORS = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8] as const;
const CELL = { width: 60, height: 36, left: 62, bottom: 44, top: 6, gap: 2 } as const;
const COLOURS: Readonly<Record<Limit, string>> = {
  cores: "--a",
  memory: "--c",
  network: "--b",
  packets: "--d",
  reconnects: "--e",
};

const SHORT: Readonly<Record<Limit, string>> = {
  cores: "cores",
  memory: "memory",
  network: "network",
  packets: "packets",
  reconnects: "return",
};

interface Cell {
  readonly connections: number;
  readonly updates: number;
  readonly isOwn: boolean;
  /** undefined: no number of boxes is enough. */
  readonly plan: Plan | undefined;
}

export type Grid = readonly (readonly Cell[])[];

/** Plans for more and fewer connections and updates than wished; a row is one rate of updates, the highest first. */
export function gridOf(wish: Wish, calibration: Calibration): Grid {
  return [...FACTORS].reverse().map((up) =>
    FACTORS.map((across) => {
      const connections = Math.max(1, Math.round(wish.connections * across));
      const updates = wish.updates * up;
      const plan = tryPlan({ ...wish, connections, updates }, calibration);
      return { connections, updates, isOwn: up === 1 && across === 1, plan };
    }),
  );
}

function tryPlan(wish: Wish, calibration: Calibration): Plan | undefined {
  try {
    return planFor(wish, calibration);
  } catch (cause) {
    if (cause instanceof RangeError) return undefined;
    throw cause;
  }
}

/** How many boxes: the more the darker. */
export function costSurface(grid: Grid): string {
  const all = grid.flatMap((row) => row.flatMap(({ plan }) => (plan === undefined ? [] : [plan.boxes])));
  const [low, high] = [Math.log(Math.min(...all)), Math.log(Math.max(...all))];
  const share = (boxes: number): number => (high === low ? 0.5 : (Math.log(boxes) - low) / (high - low));
  return draw(grid, "Boxes by connections and updates", ({ plan }) => {
    if (plan === undefined)
      return { fill: "var(--rule)", opacity: 1, text: "–", title: "no number of boxes is enough" };
    const title = `${plan.boxes} boxes, bound by ${LIMITS[plan.limit]}`;
    return { fill: "var(--a)", opacity: 0.12 + 0.6 * share(plan.boxes), text: short(plan.boxes), title };
  });
}

/** What bounds the number of boxes. */
export function limitMap(grid: Grid): string {
  const seen = new Set(grid.flatMap((row) => row.map(({ plan }) => plan?.limit)));
  const named = (Object.keys(COLOURS) as Limit[]).filter((limit) => seen.has(limit));
  const svg = draw(grid, "Which limit binds, by connections and updates", ({ plan }) => {
    if (plan === undefined)
      return { fill: "var(--rule)", opacity: 1, text: "–", title: "no number of boxes is enough" };
    return {
      fill: `var(${COLOURS[plan.limit]})`,
      opacity: 0.6,
      text: SHORT[plan.limit],
      title: LIMITS[plan.limit],
    };
  });
  const keys = named.map(
    (limit) =>
      `<span style="white-space:nowrap"><span style="display:inline-block;width:.8em;height:.8em;border-radius:2px;background:var(${COLOURS[limit]});opacity:.7"></span> ${escapeHtml(LIMITS[limit])}</span>`,
  );
  return `${svg}<p class="note" style="margin:.3rem 0 0">${keys.join(" &nbsp; ")}</p>`;
}

interface Look {
  readonly fill: string;
  readonly opacity: number;
  readonly text: string;
  readonly title: string;
}

function draw(grid: Grid, name: string, look: (cell: Cell) => Look): string {
  const { width, height, left, bottom, top, gap } = CELL;
  const [first = []] = grid;
  const [w, h] = [left + first.length * width + 6, top + grid.length * height + bottom];
  const cells = grid.flatMap((row, y) =>
    row.map((cell, x) => {
      const { fill, opacity, text, title } = look(cell);
      const [atX, atY] = [left + x * width, top + y * height];
      const frame = cell.isOwn ? ' stroke="var(--own)" stroke-width="2.5"' : "";
      return `<g><title>${escapeHtml(`${short(cell.connections)} connections, ${short(cell.updates)} updates/s: ${title}`)}</title><rect x="${atX + gap / 2}" y="${atY + gap / 2}" width="${width - gap}" height="${height - gap}" rx="3" fill="${fill}" fill-opacity="${opacity.toFixed(2)}"${frame}/><text x="${atX + width / 2}" y="${atY + height / 2 + 4}" text-anchor="middle">${text}</text></g>`;
    }),
  );
  const rows = grid.map(
    ([cell], y) =>
      `<text class="soft" x="${left - 7}" y="${top + y * height + height / 2 + 4}" text-anchor="end">${short(cell?.updates ?? 0)}</text>`,
  );
  const columns = first.map(
    (cell, x) =>
      `<text class="soft" x="${left + x * width + width / 2}" y="${h - bottom + 17}" text-anchor="middle">${short(cell.connections)}</text>`,
  );
  const labels = `<text class="soft" x="${(left + w) / 2}" y="${h - 8}" text-anchor="middle">connections</text><text class="soft" transform="translate(13 ${(h - bottom) / 2}) rotate(-90)" text-anchor="middle">updates a second</text>`;
  return `<svg viewBox="0 0 ${w} ${h}" role="img" aria-label="${name}">${cells.join("")}${rows.join("")}${columns.join("")}${labels}</svg>`;
}
