import { type HandshakeOptions, RawSocket, RawWebSocket } from "../server/raw-socket.testkit.js";
import type { TestNode } from "../supervisor/node.testkit.js";

/** What somebody does to the node; resolves when it is over and the node did what it should. */
export interface Attack {
  readonly name: string;
  /** What it found, for the report. */
  run(node: TestNode): Promise<string>;
}

/** Sum of one counter of the gateway or engine over all workers, as of their last beat. */
export async function total(node: TestNode, of: "engine" | "gateway", name: string): Promise<number> {
  const { workers } = await node.status();
  return workers.reduce(
    (sum, { report }) =>
      sum + Number(Object.entries(report?.counters[of] ?? {}).find(([key]) => key === name)?.[1] ?? 0),
    0,
  );
}

/** A handshake that is tried again where the node says that too many come at once. */
export async function join(node: TestNode, options: HandshakeOptions = {}): Promise<RawWebSocket> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await RawWebSocket.open(node.port, options);
    } catch (cause) {
      if (attempt === 50 || !String(cause).includes("refused: 503")) throw cause;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

export async function joinMany(
  node: TestNode,
  count: number,
  options: HandshakeOptions = {},
): Promise<RawWebSocket[]> {
  return Promise.all(Array.from({ length: count }, () => join(node, options)));
}

export async function connectMany(node: TestNode, count: number): Promise<RawSocket[]> {
  return Promise.all(Array.from({ length: count }, () => RawSocket.connect(node.port)));
}

/** How many ended with which close code. */
export async function endings(sockets: readonly RawWebSocket[]): Promise<ReadonlyMap<number, number>> {
  const counts = new Map<number, number>();
  for (const { code } of await Promise.all(sockets.map((socket) => socket.untilClosed())))
    counts.set(code, (counts.get(code) ?? 0) + 1);
  return counts;
}

/** Lets everything else run. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
