import type { Rate } from "../client/index.js";
import { type Frames, part, setText } from "./dom.js";
import { formatBytes, formatCount, formatMs } from "./format.js";
import type { Followed, Station } from "./station.js";

const SHOW_MS = 250;

/** The board's delivery class: a switch, and what it makes of messages, WebSocket messages, bytes and staleness. */
export class PaceView {
  readonly #station: Station;
  readonly #market: Followed;
  readonly #buttons = [...document.querySelectorAll<HTMLButtonElement>("[data-rate]")];
  readonly #values = {
    messages: part("pace-messages", HTMLElement),
    frames: part("pace-frames", HTMLElement),
    bytes: part("pace-bytes", HTMLElement),
    staleness: part("pace-staleness", HTMLElement),
  };

  constructor(station: Station, market: Followed, frames: Frames) {
    this.#station = station;
    this.#market = market;
    for (const button of this.#buttons)
      button.addEventListener("click", () => market.subscription.setRate(rateOf(button)));
    frames.add(SHOW_MS, () => this.#show(performance.now()));
  }

  #show(nowMs: number): void {
    const { rate, staleness, subscription } = this.#market;
    const { frames, bytes } = this.#station;
    for (const button of this.#buttons)
      button.setAttribute("aria-pressed", String(rateOf(button) === (subscription.rate ?? "all")));
    setText(this.#values.messages, formatCount(rate.perSecond(nowMs)));
    setText(this.#values.frames, formatCount(frames.perSecond(nowMs)));
    setText(this.#values.bytes, formatBytes(bytes.perSecond(nowMs)));
    const [p50] = staleness.percentiles([0.5], nowMs);
    setText(this.#values.staleness, formatMs(p50));
  }
}

function rateOf({ dataset }: HTMLButtonElement): Rate {
  return dataset.rate === "all" ? "all" : Number(dataset.rate);
}
