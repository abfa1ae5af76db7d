import type { ConnectionState } from "../client/index.js";
import { type Frames, part, setText } from "./dom.js";
import type { NodeFacts } from "./ops-data.js";
import { clockOf, duration } from "./ops-format.js";

/** Samples come once a second: so late they are old. */
const STALE_MS = 3_500;
const LOOK_MS = 250;

/** The line that says whether what is shown is of now, and how the node is. */
export class StatusView {
  readonly #pill = part("status", HTMLElement);
  readonly #text = part("status-text", HTMLElement);
  readonly #detail = part("status-detail", HTMLElement);
  readonly #banner = part("banner", HTMLElement);
  readonly #content = part("content", HTMLElement);
  readonly #onAway: () => void;
  #connection: ConnectionState = { kind: "idle" };
  #node: NodeFacts | undefined;
  /** When the last sample was made, and when it came. */
  #sampleMs = 0;
  #cameMs = Number.NEGATIVE_INFINITY;

  constructor(frames: Frames, onAway: () => void) {
    this.#onAway = onAway;
    frames.add(LOOK_MS, (nowMs) => this.#write(nowMs));
  }

  connection(state: ConnectionState): void {
    this.#connection = state;
  }

  node(node: NodeFacts): void {
    this.#node = node;
    setText(part("node-name", HTMLElement), node.node);
    setText(part("node-about", HTMLElement), `${node.version} · up ${duration(node.uptimeSeconds)}`);
    document.title = `${node.node} · fanwire`;
  }

  sample(timeMs: number): void {
    this.#sampleMs = timeMs;
    this.#cameMs = performance.now();
  }

  #write(nowMs: number): void {
    const isOpen = this.#connection.kind === "open";
    const isStale = nowMs - this.#cameMs > STALE_MS;
    const since = this.#sampleMs === 0 ? "" : clockOf(this.#sampleMs);
    this.#content.classList.toggle("stale", isStale && since !== "");
    if (isStale && since !== "") {
      this.#say("down", "Data stale", `since ${since}`);
      this.#warn(
        isOpen
          ? `The node has said nothing since ${since}: its supervisor stands still. What is shown is of then.`
          : `No connection to the node since ${since}: it has ended, or this port cannot be reached. What is shown is of then.`,
      );
      this.#onAway();
      return;
    }
    const { state = "", ready = true, reasons = [], degraded = [] } = this.#node ?? {};
    if (!isOpen || since === "") this.#say("busy", "Connecting", "");
    else if (!ready)
      this.#say(
        state === "draining" ? "busy" : "down",
        state === "running" ? "Not ready" : capital(state),
        "",
      );
    else this.#say("live", "Live", state === "running" ? "" : state);
    // A state says itself.
    const said = reasons.filter((reason) => !reason.startsWith("the node is "));
    const warnings = [
      ...(said.length > 0 ? [`Not ready: ${said.join("; ")}.`] : []),
      ...(degraded.length > 0 ? [`Part of the rooms gets nothing new: ${degraded.join("; ")}.`] : []),
    ];
    this.#warn(isOpen ? warnings.join(" ") : "");
  }

  #say(kind: string, text: string, detail: string): void {
    this.#pill.dataset.kind = kind;
    setText(this.#text, text);
    setText(this.#detail, detail);
  }

  #warn(text: string): void {
    this.#banner.hidden = text === "";
    setText(this.#banner, text);
  }
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
