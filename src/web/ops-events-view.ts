import { make, part } from "./dom.js";
import type { EventFacts } from "./ops-data.js";
import { clockOf } from "./ops-format.js";

const SHOWN_MAX = 200;

/** What happened, the newest first. */
export class EventsView {
  readonly #place = part("events", HTMLElement);
  readonly #empty = part("events-empty", HTMLElement);

  add(timeMs: number, { level, text }: EventFacts): void {
    const item = make("li");
    item.dataset.level = level;
    const time = make("time", "", clockOf(timeMs));
    time.dateTime = new Date(timeMs).toISOString();
    time.title = new Date(timeMs).toLocaleString();
    item.append(time, make("span", "", text));
    this.#place.prepend(item);
    while (this.#place.childElementCount > SHOWN_MAX) this.#place.lastElementChild?.remove();
    this.#empty.hidden = true;
  }

  clear(): void {
    this.#place.replaceChildren();
    this.#empty.hidden = false;
  }
}
