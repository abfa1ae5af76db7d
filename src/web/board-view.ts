import type { Board, Row, Sort, SortColumn } from "./board.js";
import { Canvas } from "./canvas.js";
import { type Frames, make, part, setText } from "./dom.js";
import { currencyName, formatChange, formatCount, NONE } from "./format.js";
import type { Themes } from "./palette.js";

const SPARK_POINTS = 63;
const SPARK_WIDTH = 84;
const SPARK_HEIGHT = 18;
const SPARK_MS = 250;
/** A person reads no faster, and every drawing costs a layout and a painting of the page. */
const DRAW_MS = 50;
const SORT_MS = 1_000;
/** A move lights its cell up for this long, and a weaker light follows. */
const BRIGHT_MS = 150;
const DIM_MS = 400;

interface RowView {
  readonly row: Row;
  readonly element: HTMLTableRowElement;
  readonly big: HTMLElement;
  readonly pips: HTMLElement;
  readonly rate: HTMLElement;
  readonly day: HTMLElement;
  readonly month: HTMLElement;
  readonly spark: Canvas;
  /** Within the scrolled part: others are drawn when they come into sight. */
  visible: boolean;
  stale: boolean;
  sparkedMs: number;
  /** When the light of the last move began; undefined when it is out. */
  litMs: number | undefined;
}

/** The watchlist: a row a pair, drawn at most once a frame and only while in sight. */
export class BoardView {
  readonly #board: Board;
  readonly #themes: Themes;
  readonly #onSelect: (row: Row) => void;
  readonly #views = new Map<string, RowView>();
  readonly #viewOf = new WeakMap<Element, RowView>();
  readonly #body = part("board-rows", HTMLTableSectionElement);
  readonly #scroll = part("board-scroll", HTMLElement);
  readonly #filter = part("board-filter", HTMLInputElement);
  readonly #count = part("board-count", HTMLElement);
  readonly #empty = part("board-empty", HTMLElement);
  readonly #sight: IntersectionObserver;
  #sort: Sort = { column: "symbol", descending: false };
  #selected: string | undefined;
  /** The visitor has begun to look around: the board scrolls by itself no more. */
  #touched = false;
  #order = "";

  constructor(board: Board, themes: Themes, frames: Frames, onSelect: (row: Row) => void) {
    this.#board = board;
    this.#themes = themes;
    this.#onSelect = onSelect;
    const sight = { root: this.#scroll, rootMargin: "60px" };
    this.#sight = new IntersectionObserver((entries) => this.#see(entries), sight);
    for (const event of ["pointerdown", "wheel", "keydown"]) {
      this.#scroll.addEventListener(
        event,
        () => {
          this.#touched = true;
        },
        { passive: true },
      );
    }
    this.#filter.addEventListener("input", () => this.#arrange());
    this.#body.addEventListener("click", (event) => this.#selectAt(event.target));
    this.#body.addEventListener("keydown", (event) => this.#key(event));
    for (const button of document.querySelectorAll<HTMLButtonElement>("[data-sort]")) {
      button.addEventListener("click", () => this.#sortBy(columnOf(button.dataset.sort)));
    }
    themes.onChange(() => {
      for (const view of this.#views.values()) {
        view.stale = true;
        view.sparkedMs = 0;
      }
    });
    frames.add(DRAW_MS, (nowMs) => this.#draw(nowMs));
    frames.add(SORT_MS, () => {
      if (this.#sort.column !== "symbol") this.#arrange();
    });
  }

  select(symbol: string): void {
    const row = this.#board.row(symbol);
    if (row === undefined) return;
    this.#selected = symbol;
    for (const view of this.#views.values()) this.#mark(view);
    this.#onSelect(row);
  }

  /** Scrolls the selected row into the middle of the board, without moving the page. */
  #reveal(): void {
    const view = this.#selected === undefined ? undefined : this.#views.get(this.#selected);
    if (view === undefined) return;
    this.#scroll.scrollTop = view.element.offsetTop - this.#scroll.clientHeight / 2;
  }

  focusFilter(): void {
    this.#filter.focus();
    this.#filter.select();
  }

  #draw(nowMs: number): void {
    const before = this.#views.size;
    for (const row of this.#board.takeDirty()) {
      const view = this.#views.get(row.symbol) ?? this.#add(row);
      view.stale = true;
      if (row.move !== 0) view.litMs = nowMs;
    }
    if (this.#views.size !== before) {
      this.#arrange();
      if (!this.#touched) this.#reveal();
    }
    for (const view of this.#views.values()) {
      if (!view.visible) continue;
      if (view.stale) this.#paint(view, nowMs);
      if (view.litMs !== undefined) light(view, nowMs - view.litMs);
    }
  }

  #paint(view: RowView, nowMs: number): void {
    const { row } = view;
    const text = row.rate.toFixed(row.decimals);
    setText(view.big, text.slice(0, -2));
    setText(view.pips, text.slice(-2));
    setText(view.day, formatChange(row.day));
    setText(view.month, formatChange(row.month));
    setTrend(view.day, row.day);
    setTrend(view.month, row.month ?? 0);
    if (nowMs - view.sparkedMs < SPARK_MS) return;
    view.sparkedMs = nowMs;
    view.stale = false;
    this.#spark(view);
  }

  #spark({ row, spark }: RowView): void {
    const { series } = row;
    const first = Math.max(0, series.length - SPARK_POINTS);
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let index = first; index < series.length; index += 1) {
      low = Math.min(low, series.valueAt(index));
      high = Math.max(high, series.valueAt(index));
    }
    const { palette } = this.#themes;
    const rising = row.rate >= series.valueAt(first);
    spark.draw((context, width, height) => {
      const scale = high > low ? (height - 4) / (high - low) : 0;
      const yOf = (value: number): number => (scale === 0 ? height / 2 : height - 2 - (value - low) * scale);
      const step = (width - 3) / (SPARK_POINTS - 1);
      context.beginPath();
      for (let index = first; index < series.length; index += 1) {
        context.lineTo((SPARK_POINTS - series.length + index) * step, yOf(series.valueAt(index)));
      }
      context.strokeStyle = rising ? palette.up : palette.down;
      context.lineWidth = 1.25;
      context.stroke();
      context.beginPath();
      context.arc(width - 3, yOf(row.rate), 1.75, 0, 2 * Math.PI);
      context.fillStyle = context.strokeStyle;
      context.fill();
    });
  }

  #add(row: Row): RowView {
    const element = make("tr");
    const name = make("th", "pair");
    name.scope = "row";
    name.append(make("span", "base", row.base), make("span", "quote", row.quote));
    name.title = `${currencyName(row.base)} / ${currencyName(row.quote)}`;
    const rate = make("td", "rate");
    const big = make("span", "", NONE);
    const pips = make("span", "pips");
    rate.append(big, pips);
    const day = make("td", "change");
    const month = make("td", "change month");
    const sparkCell = make("td", "spark");
    const canvas = make("canvas");
    canvas.setAttribute("aria-hidden", "true");
    sparkCell.append(canvas);
    element.append(name, rate, day, month, sparkCell);
    element.dataset.symbol = row.symbol;
    const spark = new Canvas(canvas, { width: SPARK_WIDTH, height: SPARK_HEIGHT });
    const view: RowView = {
      row,
      element,
      big,
      pips,
      rate,
      day,
      month,
      spark,
      visible: false,
      stale: true,
      sparkedMs: 0,
      litMs: undefined,
    };
    this.#views.set(row.symbol, view);
    this.#viewOf.set(element, view);
    this.#sight.observe(element);
    this.#mark(view);
    return view;
  }

  /** Puts the rows in their order, touching the document only where it differs. */
  #arrange(): void {
    const rows = this.#board.select(this.#filter.value, this.#sort);
    setText(
      this.#count,
      rows.length === this.#board.size ? formatCount(rows.length) : `${rows.length} of ${this.#board.size}`,
    );
    this.#empty.hidden = rows.length > 0;
    setText(this.#empty, this.#board.size === 0 ? "No rates yet." : "No pair matches.");
    const order = rows.map((row) => row.symbol).join();
    if (order === this.#order) return;
    this.#order = order;
    const focused = document.activeElement;
    this.#body.replaceChildren(...rows.flatMap((row) => this.#views.get(row.symbol)?.element ?? []));
    if (focused instanceof HTMLTableRowElement && focused.isConnected) focused.focus({ preventScroll: true });
  }

  #sortBy(column: SortColumn): void {
    // Text begins at A, numbers with the largest.
    const descending = this.#sort.column === column ? !this.#sort.descending : column !== "symbol";
    this.#sort = { column, descending };
    for (const button of document.querySelectorAll<HTMLButtonElement>("[data-sort]")) {
      const current = button.dataset.sort === column;
      button
        .closest("th")
        ?.setAttribute("aria-sort", current ? (descending ? "descending" : "ascending") : "none");
    }
    this.#arrange();
  }

  #see(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) {
      const view = this.#viewOf.get(target);
      if (view !== undefined) view.visible = isIntersecting;
    }
  }

  #mark({ row, element }: RowView): void {
    const selected = row.symbol === this.#selected;
    element.setAttribute("aria-selected", String(selected));
    // One stop for the Tab key; the arrows move within.
    element.tabIndex = selected ? 0 : -1;
  }

  #selectAt(target: EventTarget | null): void {
    const element = target instanceof Element ? target.closest("tr") : null;
    const view = element === null ? undefined : this.#viewOf.get(element);
    if (view !== undefined) this.select(view.row.symbol);
  }

  #key(event: KeyboardEvent): void {
    const rows = [...this.#body.rows];
    const focused = document.activeElement;
    const at = focused instanceof HTMLTableRowElement ? rows.indexOf(focused) : -1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    const row = to === undefined ? undefined : rows[to];
    if (row === undefined) return;
    event.preventDefault();
    row.focus();
    this.#selectAt(row);
  }
}

/** In two steps instead of an animation, which would repaint the board in every frame. */
function light(view: RowView, ageMs: number): void {
  const step = ageMs < BRIGHT_MS ? "bright" : ageMs < DIM_MS ? "dim" : "";
  const flash = step === "" ? "" : `${view.row.move > 0 ? "up" : "down"}-${step}`;
  if (view.rate.dataset.flash !== flash) view.rate.dataset.flash = flash;
  if (step === "") view.litMs = undefined;
}

function setTrend(element: HTMLElement, value: number): void {
  const trend = value > 0 ? "up" : value < 0 ? "down" : "flat";
  if (element.dataset.trend !== trend) element.dataset.trend = trend;
}

function columnOf(name: string | undefined): SortColumn {
  return name === "rate" || name === "day" || name === "month" ? name : "symbol";
}
