import type { DemoNode } from "./parse.js";

/** As many as fit the page. */
const NODES_MAX = 8;

/** A node as the page shows it. */
export interface ShownNode {
  readonly name: string;
  /** The page is on this one. */
  readonly here: boolean;
  /** The feed publishes to this one. */
  readonly feed: boolean;
  /** Port of its page; undefined where the page knows only the one that it is on. */
  readonly port: number | undefined;
}

/** The nodes of the deployment: the one that the page is on by its own word, the others by the feed's. */
export class Nodes {
  readonly #told = new Map<string, DemoNode>();
  #here = "";

  /** @param node What the server calls itself: the node's name, behind a dot the number of one of its workers. */
  connected(node: string): void {
    this.#here = node.replace(/\.\d+$/, "");
  }

  apply(name: string, node: DemoNode): void {
    if (this.#told.has(name) || this.#told.size < NODES_MAX) this.#told.set(name, node);
  }

  /** By name. Nothing before the first connection. */
  list(): readonly ShownNode[] {
    if (this.#here === "") return [];
    const names = [...new Set([this.#here, ...this.#told.keys()])].sort();
    return names.map((name) => {
      const told = this.#told.get(name);
      return { name, here: name === this.#here, feed: told?.feed ?? false, port: told?.port };
    });
  }
}
