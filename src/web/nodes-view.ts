import { make, part } from "./dom.js";
import type { Nodes, ShownNode } from "./nodes.js";

/** Names the node that the page is on, and leads to the others. */
export class NodesView {
  readonly #nodes: Nodes;
  readonly #list = part("nodes", HTMLElement);
  #shown = "";

  constructor(nodes: Nodes) {
    this.#nodes = nodes;
  }

  /** Changes the page only where something has changed: the feed repeats itself. */
  show(): void {
    const list = this.#nodes.list();
    const now = JSON.stringify(list);
    if (now === this.#shown) return;
    this.#shown = now;
    this.#list.hidden = list.length === 0;
    this.#list.dataset.count = String(list.length);
    this.#list.replaceChildren(...list.map(itemOf));
  }
}

function itemOf(node: ShownNode): HTMLElement {
  const element = node.here || node.port === undefined ? make("span", "node") : linkTo(node, node.port);
  if (node.here) element.setAttribute("aria-current", "page");
  element.append(make("b", "", node.name));
  if (node.feed) {
    const note = make("small", "", "feed");
    note.title = "The feed publishes to this node; the others get it through NATS";
    element.append(note);
  }
  return element;
}

function linkTo({ name }: ShownNode, port: number): HTMLAnchorElement {
  const link = make("a", "node");
  const there = new URL(location.href);
  there.port = String(port);
  link.href = there.href;
  link.title = `The same rooms, served by ${name}`;
  return link;
}
