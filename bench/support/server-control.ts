import { answerParent, tellParent } from "./child.js";
import { hostMicros } from "./clock.js";
import { benchRoom, createData, setDue } from "./message-scan.js";
import { type PublishPlan, planShots, runShots } from "./schedule.js";

/** What a bench asks of a server under test. */
export type ServerRequest =
  | { readonly kind: "publish"; readonly plan: PublishPlan }
  | { readonly kind: "collect" };

export type ServerReply =
  | { readonly kind: "ready"; readonly port: number }
  /** Every message is published; `heads` holds each room's last offset. */
  | { readonly kind: "published"; readonly heads: readonly number[] }
  /** Garbage is collected, as far as the process runs with --expose-gc; the heap's size in use. */
  | { readonly kind: "collected"; readonly heapUsedBytes: number };

/** A server under test as its own process sees it. */
export interface ServerUnderTest {
  readonly port: number;
  /** Publishes one message and says its offset. The data's buffer is used again afterwards. */
  publish(room: string, data: Uint8Array): number | Promise<number>;
  stop(): void;
}

/**
 * Lets the parent process drive a server. The publisher runs in the server's process, alike for every server, so that
 * its cost (a few µs a message, spread over all its deliveries) is the same on both sides of a comparison.
 */
export function serveControl(server: ServerUnderTest): void {
  answerParent<ServerRequest, ServerReply>(
    async (request) => {
      switch (request.kind) {
        case "publish":
          return { kind: "published", heads: await publish(server, request.plan) };
        case "collect":
          for (let round = 0; round < 3; round++) globalThis.gc?.();
          return { kind: "collected", heapUsedBytes: process.memoryUsage().heapUsed };
      }
    },
    () => {
      server.stop();
      process.exit(0);
    },
  );
  tellParent({ kind: "ready", port: server.port } satisfies ServerReply);
}

async function publish(server: ServerUnderTest, plan: PublishPlan): Promise<number[]> {
  const rooms = Array.from({ length: plan.rooms }, (_, index) => benchRoom(index));
  const heads = rooms.map(() => 0);
  const data = createData(plan.bytes);
  const pending: Promise<void>[] = [];
  const note = (room: number, offset: number): void => {
    heads[room] = Math.max(heads[room] ?? 0, offset);
  };
  // Half a second of rest lets both sides become quiet before the first shot.
  await runShots(planShots(plan, hostMicros() + 500_000), (shot) => {
    setDue(data, shot.dueMicros);
    for (let message = 0; message < plan.burst; message++) {
      const offset = server.publish(rooms[shot.room] ?? "", data);
      if (typeof offset === "number") note(shot.room, offset);
      else pending.push(offset.then((stored) => note(shot.room, stored)));
    }
  });
  await Promise.all(pending);
  return heads;
}
