import type { FeedMessage } from "./publisher.js";

export const NODES_ROOM = "host.nodes";

/** A node of the demo, as the page gets to know it. */
export interface DemoNode {
  readonly name: string;
  /** Where its page is, on the host that the page was opened on. */
  readonly port: number;
}

/** Parses `node-a=9001,node-b=9101`; undefined where it is no such list. */
export function parseNodes(list: string): readonly DemoNode[] | undefined {
  const nodes: DemoNode[] = [];
  for (const part of list.split(",")) {
    const [, name, port] = /^([A-Za-z0-9._-]{1,64})=(\d{1,5})$/.exec(part.trim()) ?? [];
    if (name === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined;
    nodes.push({ name, port: Number(port) });
  }
  return nodes;
}

/** One message a node, keyed by its name; the first of them is the one that the feed publishes to. */
export function nodeMessages(nodes: readonly DemoNode[]): FeedMessage[] {
  return nodes.map(({ name, port }, index) => ({
    room: NODES_ROOM,
    key: name,
    data: { port, feed: index === 0 },
  }));
}
