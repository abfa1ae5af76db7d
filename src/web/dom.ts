/** The page's element with this id. @throws Error where index.html and the code have parted ways. */
export function part<T extends Element>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`index.html has no ${type.name} with id ${id}`);
}

/** A new element with class and text. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  text = "",
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  if (text !== "") element.textContent = text;
  return element;
}

/** Sets text only where it differs: an equal write would still cost a layout. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Runs tasks once a frame. A hidden page gets no frames, so nothing is drawn there. */
export class Frames {
  readonly #tasks: ((nowMs: number) => void)[] = [];

  add(task: (nowMs: number) => void): void {
    this.#tasks.push(task);
    if (this.#tasks.length === 1) requestAnimationFrame(this.#run);
  }

  readonly #run = (nowMs: number): void => {
    requestAnimationFrame(this.#run);
    for (const task of this.#tasks) task(nowMs);
  };
}

/** True at most once an interval: for what need not follow every frame. */
export class Every {
  readonly #intervalMs: number;
  #nextMs = 0;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  due(nowMs: number): boolean {
    if (nowMs < this.#nextMs) return false;
    this.#nextMs = nowMs + this.#intervalMs;
    return true;
  }
}
