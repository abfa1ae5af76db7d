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

interface Task {
  readonly intervalMs: number;
  readonly run: (nowMs: number) => void;
  beat: number;
}

/**
 * Runs tasks in the browser's frames, so that a hidden page draws nothing. Tasks of one interval share their frames:
 * a page that writes 20 times a second is laid out and painted 20 times a second, not 60.
 */
export class Frames {
  readonly #tasks: Task[] = [];

  /** `intervalMs` 0: every frame. */
  add(intervalMs: number, run: (nowMs: number) => void): void {
    this.#tasks.push({ intervalMs, run, beat: -1 });
    if (this.#tasks.length === 1) requestAnimationFrame(this.#frame);
  }

  readonly #frame = (nowMs: number): void => {
    requestAnimationFrame(this.#frame);
    for (const task of this.#tasks) {
      const beat = Math.floor(nowMs / Math.max(1, task.intervalMs));
      if (beat === task.beat && task.intervalMs > 0) continue;
      task.beat = beat;
      task.run(nowMs);
    }
  };
}
