import { type Cursor, type Cursors, Throttle } from "./cursors.js";
import { type Frames, make, part, setText } from "./dom.js";
import type { Pointer } from "./parse.js";
import { hueOf, type Visitor } from "./visitor.js";

/** At most 20 a second. */
const PUBLISH_MS = 50;
/** A still pointer says that it is still there. */
const BEAT_MS = 2_000;
/** Share of the way to its target that a cursor goes in a frame of 60 a second. */
const EASE = 0.35;
/** Pixels that make no difference. */
const NEAR = 0.1;
const ARROW = "M1 1v14.5l3.6-3.4 2.5 5.9 2.7-1.1-2.5-5.8 5-.2z";

interface CursorView {
  readonly element: HTMLElement;
  readonly name: HTMLElement;
  x: number;
  y: number;
  placed: boolean;
}

/** Everybody's pointers over the page, each at its place within a part of it. */
export class CursorsView {
  readonly #cursors: Cursors;
  readonly #layer = part("cursors", HTMLElement);
  readonly #count = part("vital-visitors", HTMLElement);
  readonly #views = new Map<string, CursorView>();

  constructor(cursors: Cursors, frames: Frames) {
    this.#cursors = cursors;
    frames.add(0, () => this.#draw());
  }

  #draw(): void {
    this.#cursors.expire(performance.now());
    setText(this.#count, String(this.#cursors.size + 1));
    // All reads before all writes: one layout a frame at the most.
    const places = new Map<string, DOMRect>();
    for (const { pointer } of this.#cursors.all()) {
      const place = places.has(pointer.at) ? undefined : partOf(pointer.at);
      if (place !== undefined) places.set(pointer.at, place.getBoundingClientRect());
    }
    const seen = new Set<string>();
    for (const cursor of this.#cursors.all()) {
      const place = places.get(cursor.pointer.at);
      if (place === undefined) continue;
      seen.add(cursor.id);
      this.#move(this.#views.get(cursor.id) ?? this.#add(cursor), cursor, place);
    }
    for (const [id, view] of this.#views) if (!seen.has(id)) this.#remove(id, view);
  }

  #move(view: CursorView, { pointer }: Cursor, place: DOMRect): void {
    const x = place.left + pointer.x * place.width;
    const y = place.top + pointer.y * place.height;
    setText(view.name, pointer.name);
    if (Math.abs(x - view.x) < NEAR && Math.abs(y - view.y) < NEAR) return;
    view.x += (x - view.x) * (view.placed ? EASE : 1);
    view.y += (y - view.y) * (view.placed ? EASE : 1);
    view.placed = true;
    view.element.style.transform = `translate3d(${view.x.toFixed(1)}px, ${view.y.toFixed(1)}px, 0)`;
  }

  #add(cursor: Cursor): CursorView {
    const element = make("div", "cursor");
    element.dataset.visitor = cursor.id;
    element.style.setProperty("--hue", String(hueOf(cursor.id)));
    const arrow = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    arrow.setAttribute("viewBox", "0 0 16 20");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", ARROW);
    arrow.append(path);
    const name = make("span");
    element.append(arrow, name);
    this.#layer.append(element);
    const view: CursorView = { element, name, x: 0, y: 0, placed: false };
    this.#views.set(cursor.id, view);
    return view;
  }

  #remove(id: string, { element }: CursorView): void {
    this.#views.delete(id);
    element.classList.add("gone");
    setTimeout(() => element.remove(), 400);
  }
}

/**
 * Publishes this visitor's own pointer: at most 20 times a second while it moves, every two seconds while it rests, and a
 * goodbye when the page is left or hidden.
 */
export function publishPointer(visitor: Visitor, publish: (pointer: Pointer) => void): void {
  let last: Pointer | undefined;
  const throttle = new Throttle<Pointer>(PUBLISH_MS, (pointer) => {
    last = pointer;
    publish(pointer);
  });
  const leave = (): void => {
    if (last === undefined) return;
    last = undefined;
    throttle.clear();
    publish({ name: visitor.name, at: "", x: 0, y: 0 });
  };
  addEventListener(
    "pointermove",
    (event) => {
      const place = event.target instanceof Element ? event.target.closest("[data-part]") : null;
      if (place === null || !(place instanceof HTMLElement)) return;
      const box = place.getBoundingClientRect();
      const x = clamp((event.clientX - box.left) / box.width);
      const y = clamp((event.clientY - box.top) / box.height);
      throttle.push({ name: visitor.name, at: place.dataset.part ?? "", x, y }, performance.now());
    },
    { passive: true },
  );
  document.addEventListener("pointerleave", leave);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) leave();
  });
  addEventListener("pagehide", leave);
  setInterval(() => {
    if (last !== undefined) throttle.push(last, performance.now());
  }, BEAT_MS);
}

function partOf(name: string): Element | undefined {
  return document.querySelector(`[data-part="${CSS.escape(name)}"]`) ?? undefined;
}

function clamp(share: number): number {
  return Math.round(Math.min(1, Math.max(0, share)) * 10_000) / 10_000;
}
