import { getHeapSpaceStatistics } from "node:v8";
import { answerParent, tellParent } from "./child.js";

/** What a bench asks of a server under test, besides what every client may. */
export interface ServerRequest {
  readonly kind: "collect";
}

export type ServerReply =
  | { readonly kind: "ready"; readonly port: number }
  /** Garbage is collected, as far as the process runs with --expose-gc. */
  | {
      readonly kind: "collected";
      /** Objects that are kept. */
      readonly heapUsedBytes: number;
      /** What V8 holds for new objects: it grows with the rate of allocation to a fixed limit, not with connections. */
      readonly youngBytes: number;
    };

/** Tells the parent that the server listens, and ends the process when the parent is gone. */
export function serveControl(port: number): void {
  answerParent<ServerRequest, ServerReply>(
    async () => {
      // Finalizers of one round free what only the next can collect.
      for (let round = 0; round < 3; round++) globalThis.gc?.();
      const young = getHeapSpaceStatistics().find((space) => space.space_name === "new_space");
      return {
        kind: "collected",
        heapUsedBytes: process.memoryUsage().heapUsed,
        youngBytes: young?.physical_space_size ?? 0,
      };
    },
    () => process.exit(0),
  );
  tellParent({ kind: "ready", port } satisfies ServerReply);
}
