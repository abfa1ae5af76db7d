import { part, setText } from "./dom.js";
import type { OpsApi } from "./ops-api.js";
import type { NodeFacts } from "./ops-data.js";
import { whole0 } from "./ops-format.js";

/** The button that ends the node, once it was confirmed and, where keys are needed, with one given for this alone. */
export class DrainView {
  readonly #api: OpsApi;
  readonly #button = part("drain", HTMLButtonElement);
  readonly #dialog = part("drain-dialog", HTMLDialogElement);
  readonly #key = part("drain-key", HTMLInputElement);
  readonly #problem = part("drain-problem", HTMLElement);
  readonly #go = part("drain-go", HTMLButtonElement);
  #node: NodeFacts | undefined;

  constructor(api: OpsApi) {
    this.#api = api;
    this.#button.addEventListener("click", () => this.#ask());
    part("drain-cancel", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    part("drain-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#drain();
    });
  }

  show(node: NodeFacts): void {
    this.#node = node;
    this.#button.disabled = node.state === "draining";
    setText(this.#button, node.state === "draining" ? "Draining" : "Drain…");
  }

  /** Nobody is there to ask. */
  away(): void {
    this.#button.disabled = true;
  }

  #ask(): void {
    const { node = "", connections = 0 } = this.#node ?? {};
    const about = `${node} takes no new connections, sends its ${whole0(connections)} clients elsewhere, and ends. Whoever watches it may start it again.`;
    setText(part("drain-about", HTMLElement), about);
    part("drain-key-field", HTMLElement).hidden = !this.#api.drainNeedsKey;
    this.#key.required = this.#api.drainNeedsKey;
    this.#key.value = "";
    setText(this.#problem, "");
    this.#dialog.showModal();
  }

  async #drain(): Promise<void> {
    this.#go.disabled = true;
    try {
      await this.#api.drain(this.#api.drainNeedsKey ? this.#key.value : undefined);
      this.#dialog.close();
    } catch (cause) {
      setText(this.#problem, cause instanceof Error ? cause.message : String(cause));
    } finally {
      this.#go.disabled = false;
      this.#key.value = "";
    }
  }
}
