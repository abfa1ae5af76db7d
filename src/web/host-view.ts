import { Canvas, drawTrace, Trace, type TraceStyle } from "./canvas.js";
import { type Frames, make, part, setText } from "./dom.js";
import { HOST_PANELS, type HostPanel, type Reading } from "./host.js";
import type { Palette, Themes } from "./palette.js";

/** A minute at ten samples a second. */
const POINTS = 600;
const DRAW_MS = 100;
/** Numbers that change faster cannot be read. */
const TEXT_MS = 250;

interface PanelView {
  readonly panel: HostPanel;
  readonly traces: readonly Trace[];
  readonly canvas: Canvas;
  readonly headline: HTMLElement;
  readonly notes: ReadonlyMap<string, HTMLElement>;
  stale: boolean;
  reading: Reading | undefined;
}

/** One host's telemetry, a small live chart a room. Where several hosts publish, the visitor chooses one. */
export class HostView {
  readonly #themes: Themes;
  readonly #choice = part("host-choice", HTMLSelectElement);
  readonly #cores = part("cpu-cores", HTMLElement);
  readonly #views: ReadonlyMap<string, PanelView>;

  constructor(themes: Themes, frames: Frames) {
    this.#themes = themes;
    this.#views = new Map(HOST_PANELS.map((panel) => [panel.room, viewOf(panel)]));
    this.#choice.addEventListener("change", () => this.gap());
    themes.onChange(() => {
      for (const view of this.#views.values()) view.stale = true;
    });
    frames.add(DRAW_MS, () => {
      for (const view of this.#views.values()) if (view.stale) this.#draw(view);
    });
    frames.add(TEXT_MS, () => {
      for (const view of this.#views.values()) this.#write(view);
    });
  }

  apply(room: string, host: string, data: unknown): void {
    const view = this.#views.get(room);
    const reading = view?.panel.read(data);
    if (view === undefined || reading === undefined || !this.#shows(host)) return;
    for (const [index, trace] of view.traces.entries()) trace.push(reading.values[index] ?? Number.NaN);
    view.stale = true;
    view.reading = reading;
  }

  /** The flow was interrupted and not made whole: the charts show a hole, not a line across it. */
  gap(): void {
    for (const { traces } of this.#views.values()) for (const trace of traces) trace.push(Number.NaN);
  }

  #shows(host: string): boolean {
    if (![...this.#choice.options].some((option) => option.value === host)) {
      this.#choice.append(new Option(host, host));
      this.#choice.disabled = this.#choice.options.length < 2;
    }
    return this.#choice.value === host;
  }

  #write({ reading, headline, notes }: PanelView): void {
    if (reading === undefined) return;
    setText(headline, reading.headline);
    for (const [name, text] of Object.entries(reading.notes)) {
      const note = notes.get(name);
      if (note !== undefined) setText(note, text);
    }
    if (reading.cores !== undefined) this.#showCores(reading.cores);
  }

  #showCores(cores: readonly number[]): void {
    while (this.#cores.childElementCount < cores.length) {
      const bar = make("span", "core");
      bar.append(make("i"));
      this.#cores.append(bar);
    }
    for (const [index, busy] of cores.entries()) {
      const bar = this.#cores.children[index];
      const level = bar?.firstElementChild;
      if (level instanceof HTMLElement) level.style.transform = `scaleY(${busy.toFixed(3)})`;
      bar?.setAttribute("title", `core ${index}: ${Math.round(busy * 100)} %`);
    }
  }

  #draw(view: PanelView): void {
    view.stale = false;
    const { panel, traces } = view;
    const max = panel.grows ? Math.max(panel.top, ...traces.map((trace) => trace.max() * 1.15)) : panel.top;
    const styles = stylesOf(this.#themes.palette);
    view.canvas.draw((context, width, height) => {
      drawGrid(context, width, height, this.#themes.palette.grid);
      for (const [index, trace] of traces.entries()) {
        const style = styles[index];
        if (style !== undefined) drawTrace(context, trace, { width, height, max }, style);
      }
    });
  }
}

function viewOf(panel: HostPanel): PanelView {
  const root = part(panel.id, HTMLElement);
  const notes = new Map<string, HTMLElement>();
  for (const note of root.querySelectorAll<HTMLElement>("[data-note]"))
    notes.set(note.dataset.note ?? "", note);
  const view: PanelView = {
    panel,
    traces: Array.from({ length: panel.traces }, () => new Trace(POINTS)),
    canvas: new Canvas(part(`${panel.id}-chart`, HTMLCanvasElement), () => {
      view.stale = true;
    }),
    headline: part(`${panel.id}-value`, HTMLElement),
    notes,
    stale: true,
    reading: undefined,
  };
  return view;
}

function stylesOf(palette: Palette): readonly TraceStyle[] {
  const faint = (colour: string): string => `color-mix(in srgb, ${colour} 16%, transparent)`;
  return [
    { stroke: palette.accent, fill: faint(palette.accent) },
    { stroke: palette.second, fill: faint(palette.second) },
    { stroke: palette.muted },
  ];
}

/** Lines at the quarters. */
function drawGrid(context: CanvasRenderingContext2D, width: number, height: number, colour: string): void {
  context.fillStyle = colour;
  for (const share of [0, 0.25, 0.5, 0.75]) context.fillRect(0, Math.round(height * share), width, 1);
  context.fillRect(0, height - 1, width, 1);
}
