import type { ConnectionState } from "../client/index.js";
import { Canvas, drawTrace, Trace } from "./canvas.js";
import { type Frames, make, part, setText } from "./dom.js";
import { formatBytes, formatClock, formatCount, formatMs, NONE } from "./format.js";
import type { Palette, Themes } from "./palette.js";
import type { Followed, Station } from "./station.js";

const REFRESH_MS = 250;
const SAMPLE_MS = 500;
/** A minute. */
const POINTS = 120;
/** The latency chart is logarithmic, from a tenth of a millisecond to a second. */
const LATENCY_MS_MIN = 0.1;
const LATENCY_DECADES = 4;
/** The first messages are the state and the past, which would dwarf the flow. */
const SETTLE_MS = 3_000;
const ENTRIES_MAX = 60;

interface RoomRow {
  readonly position: HTMLElement;
  readonly rate: HTMLElement;
  readonly missing: HTMLElement;
  readonly state: HTMLElement;
}

/** What the connection does: its state, its numbers, its rooms and what happened to it. */
export class LineView {
  readonly #station: Station;
  readonly #themes: Themes;
  readonly #status = part("status", HTMLElement);
  readonly #statusText = part("status-text", HTMLElement);
  readonly #statusDetail = part("status-detail", HTMLElement);
  readonly #cut = part("cut", HTMLButtonElement);
  readonly #log = part("log", HTMLElement);
  readonly #vitals = {
    messages: part("vital-messages", HTMLElement),
    bytes: part("vital-bytes", HTMLElement),
    p50: part("vital-p50", HTMLElement),
    p99: part("vital-p99", HTMLElement),
    missing: part("vital-missing", HTMLElement),
  };
  readonly #skew = part("latency-note", HTMLElement);
  readonly #rooms = part("room-rows", HTMLTableSectionElement);
  readonly #rows = new Map<Followed, RoomRow>();
  readonly #p50 = new Trace(POINTS);
  readonly #p99 = new Trace(POINTS);
  readonly #flow = new Trace(POINTS);
  readonly #latencyChart: Canvas;
  readonly #flowChart: Canvas;

  constructor(station: Station, themes: Themes, frames: Frames) {
    this.#station = station;
    this.#themes = themes;
    this.#latencyChart = new Canvas(part("latency-chart", HTMLCanvasElement), () => this.#drawCharts());
    this.#flowChart = new Canvas(part("flow-chart", HTMLCanvasElement), () => this.#drawCharts());
    this.#cut.addEventListener("click", () => this.#press());
    themes.onChange(() => this.#drawCharts());
    frames.add(SAMPLE_MS, () => this.#takeSample(performance.now()));
    frames.add(REFRESH_MS, () => this.#show(performance.now()));
  }

  /** A line in the log, newest first. */
  tell(text: string, kind: "plain" | "good" | "bad" = "plain"): void {
    const entry = make("li", kind);
    entry.append(make("time", "", formatClock(new Date())), make("span", "", text));
    this.#log.prepend(entry);
    while (this.#log.childElementCount > ENTRIES_MAX) this.#log.lastElementChild?.remove();
  }

  #press(): void {
    const chosen = document.querySelector<HTMLInputElement>("input[name=cut-seconds]:checked");
    const seconds = Number(chosen?.value ?? 5);
    this.#station.cut(seconds * 1_000);
    this.tell(`connection cut for ${seconds} s`);
  }

  #takeSample(nowMs: number): void {
    const [p50, p99] = this.#station.latency.percentiles([0.5, 0.99], nowMs);
    this.#p50.push(decadeOf(p50));
    this.#p99.push(decadeOf(p99));
    if (nowMs > SETTLE_MS) this.#flow.push(this.#station.messages.perSecond(nowMs));
    this.#drawCharts();
  }

  #show(nowMs: number): void {
    const { latency, messages, bytes, rooms, client } = this.#station;
    this.#station.measure(nowMs);
    const [p50, p99] = latency.percentiles([0.5, 0.99], nowMs);
    const missing = rooms.reduce((sum, { ledger }) => sum + ledger.missing, 0);
    setText(this.#vitals.messages, formatCount(messages.perSecond(nowMs)));
    setText(this.#vitals.bytes, formatBytes(bytes.perSecond(nowMs)));
    setText(this.#vitals.p50, formatMs(p50));
    setText(this.#vitals.p99, formatMs(p99));
    setText(this.#vitals.missing, formatCount(missing));
    const { skewMs } = this.#station;
    const skew = skewMs === 0 ? "" : `clocks differ by ${formatMs(Math.abs(skewMs))}, corrected`;
    setText(this.#skew, skew);
    this.#showStatus(client.state, nowMs);
    for (const followed of rooms) this.#showRoom(followed, nowMs);
  }

  #showStatus(state: ConnectionState, nowMs: number): void {
    const { cutUntilMs } = this.#station;
    const { kind, text, detail } = statusOf(state, cutUntilMs, nowMs);
    this.#status.dataset.kind = kind;
    setText(this.#statusText, text);
    setText(this.#statusDetail, detail);
    this.#cut.disabled = cutUntilMs !== undefined || state.kind !== "open";
    const left = cutUntilMs === undefined ? undefined : Math.ceil((cutUntilMs - nowMs) / 1_000);
    setText(this.#cut, left === undefined ? "Cut the connection" : `Cut, back in ${left} s`);
  }

  #showRoom(followed: Followed, nowMs: number): void {
    const { ledger, rate, subscription } = followed;
    const row = this.#rows.get(followed) ?? this.#addRoom(followed);
    const { epoch, offset } = ledger.position;
    setText(row.position, offset === 0 ? "ephemeral" : formatCount(offset));
    row.position.title = epoch === "" ? "" : `epoch ${epoch}, offset ${offset}`;
    setText(row.rate, rate.perSecond(nowMs).toFixed(0));
    setText(row.missing, offset === 0 ? NONE : formatCount(ledger.missing));
    setText(row.state, subscription.state.kind);
    row.state.dataset.kind = subscription.state.kind;
  }

  #addRoom(followed: Followed): RoomRow {
    const element = make("tr");
    const name = make("th", "", followed.ledger.room);
    name.scope = "row";
    const row = {
      position: make("td", "number"),
      rate: make("td", "number"),
      missing: make("td", "number"),
      state: make("td", "state"),
    };
    element.dataset.room = followed.ledger.room;
    element.append(name, row.position, row.rate, row.missing, row.state);
    this.#rooms.append(element);
    this.#rows.set(followed, row);
    return row;
  }

  #drawCharts(): void {
    const { palette } = this.#themes;
    const fill = `color-mix(in srgb, ${palette.accent} 16%, transparent)`;
    this.#latencyChart.draw((context, width, height) => {
      const box = { width, height, max: LATENCY_DECADES };
      drawDecades(context, box, palette);
      drawTrace(context, this.#p99, box, { stroke: palette.second });
      drawTrace(context, this.#p50, box, { stroke: palette.accent, fill });
    });
    this.#flowChart.draw((context, width, height) => {
      const box = { width, height, max: Math.max(100, this.#flow.max() * 1.15) };
      drawTrace(context, this.#flow, box, { stroke: palette.accent, fill });
    });
  }
}

/** Where a latency stands in the chart; a gap where there is none. */
function decadeOf(latencyMs: number | undefined): number {
  return latencyMs === undefined ? Number.NaN : Math.max(0, Math.log10(latencyMs / LATENCY_MS_MIN));
}

function drawDecades(
  context: CanvasRenderingContext2D,
  { width, height }: { readonly width: number; readonly height: number },
  palette: Palette,
): void {
  context.font = `9px ${getComputedStyle(document.body).fontFamily}`;
  for (let decade = 1; decade < LATENCY_DECADES; decade += 1) {
    const y = Math.round(height - 1 - (decade / LATENCY_DECADES) * (height - 3));
    context.fillStyle = palette.grid;
    context.fillRect(0, y, width, 1);
    context.fillStyle = palette.muted;
    context.fillText(`${LATENCY_MS_MIN * 10 ** decade} ms`, 0, y - 2);
  }
}

interface Status {
  readonly kind: "live" | "busy" | "down";
  readonly text: string;
  /** What changes every second, apart: a screen reader is told the text alone. */
  readonly detail: string;
}

/** The state in words, and as one of few kinds that the style sheet colours. */
export function statusOf(state: ConnectionState, cutUntilMs: number | undefined, nowMs: number): Status {
  const secondsTo = (ms: number): string => `${Math.max(0, (ms - nowMs) / 1_000).toFixed(0)} s`;
  if (cutUntilMs !== undefined) return { kind: "down", text: "Cut", detail: "" };
  switch (state.kind) {
    case "open":
      return { kind: "live", text: "Live", detail: "" };
    case "connecting":
      return { kind: "busy", text: "Connecting", detail: "" };
    case "waiting":
      return { kind: "down", text: "No connection", detail: `next try in ${secondsTo(state.resumeAtMs)}` };
    case "idle":
      return { kind: "down", text: "Not connected", detail: "" };
    case "closed":
      return { kind: "down", text: "Refused", detail: state.reason || String(state.code) };
  }
}
