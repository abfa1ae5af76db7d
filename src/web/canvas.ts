/** A canvas that keeps its pixels sharp and says its size in CSS pixels. */
export class Canvas {
  readonly element: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  #width = 0;
  #height = 0;

  /** A fixed size in CSS pixels, or that of the style sheet, and then what to do when it changes. */
  constructor(
    element: HTMLCanvasElement,
    size: { readonly width: number; readonly height: number } | (() => void),
  ) {
    const context = element.getContext("2d");
    if (context === null) throw new Error("this browser gives no 2d canvas");
    this.element = element;
    this.#context = context;
    if (typeof size !== "function") {
      this.#resize(size.width, size.height);
      return;
    }
    new ResizeObserver(([entry]) => {
      if (entry === undefined) return;
      this.#resize(entry.contentRect.width, entry.contentRect.height);
      size();
    }).observe(element);
  }

  #resize(width: number, height: number): void {
    const ratio = devicePixelRatio;
    this.#width = width;
    this.#height = height;
    this.element.width = Math.round(width * ratio);
    this.element.height = Math.round(height * ratio);
  }

  /** Clears and draws, in CSS pixels. */
  draw(paint: (context: CanvasRenderingContext2D, width: number, height: number) => void): void {
    if (this.#width === 0 || this.#height === 0) return;
    const ratio = devicePixelRatio;
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#context.clearRect(0, 0, this.#width, this.#height);
    paint(this.#context, this.#width, this.#height);
  }
}

export interface TraceStyle {
  readonly stroke: string;
  readonly fill?: string;
  readonly width?: number;
}

/** The newest values of a live chart. */
export class Trace {
  readonly #values: Float64Array;
  #next = 0;
  #length = 0;

  constructor(capacity: number) {
    this.#values = new Float64Array(capacity);
  }

  get capacity(): number {
    return this.#values.length;
  }

  push(value: number): void {
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % this.#values.length;
    this.#length = Math.min(this.#length + 1, this.#values.length);
  }

  /** 0 is the newest. */
  back(index: number): number | undefined {
    if (index >= this.#length) return undefined;
    return this.#values[(this.#next - 1 - index + this.#values.length) % this.#values.length];
  }

  /** The largest value, 0 where there is none. */
  max(): number {
    let max = 0;
    for (let index = 0; index < this.#length; index += 1) {
      const value = this.#values[index] ?? 0;
      // Gaps are NaN, which is above nothing.
      if (value > max) max = value;
    }
    return max;
  }
}

/** Draws a trace with its newest value at the right edge, 0 at the bottom and `max` at the top. NaN leaves a gap. */
export function drawTrace(
  context: CanvasRenderingContext2D,
  trace: Trace,
  box: { readonly width: number; readonly height: number; readonly max: number },
  style: TraceStyle,
): void {
  const step = box.width / (trace.capacity - 1);
  const line = new Path2D();
  const area = new Path2D();
  let open = false;
  let x = box.width;
  for (let index = 0; index < trace.capacity; index += 1) {
    const value = trace.back(index);
    if (value === undefined) break;
    if (!Number.isFinite(value)) {
      if (open) area.lineTo(x, box.height);
      open = false;
      continue;
    }
    x = box.width - index * step;
    const y = box.height - 1 - (Math.min(value, box.max) / box.max) * (box.height - 3);
    if (!open) area.moveTo(x, box.height);
    if (open) line.lineTo(x, y);
    else line.moveTo(x, y);
    area.lineTo(x, y);
    open = true;
  }
  if (open) area.lineTo(x, box.height);
  if (style.fill !== undefined) {
    context.fillStyle = style.fill;
    context.fill(area);
  }
  context.lineWidth = style.width ?? 1.25;
  context.lineJoin = "round";
  context.strokeStyle = style.stroke;
  context.stroke(line);
}
