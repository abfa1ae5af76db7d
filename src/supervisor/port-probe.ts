import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { portError } from "../server/gateway-port.js";

const EVERY_MS = 100;

/**
 * A port that nobody listens on, neither alone nor shared: `port` itself, or any where it is 0. Workers of a
 * supervisor that was killed need a moment to let go of theirs, so a taken one is tried again for a while.
 * @throws Error saying why not and what to do.
 */
export async function freePort(host: string, port: number, waitMs = 3_000): Promise<number> {
  const endMs = performance.now() + waitMs;
  for (;;) {
    const probe = createServer();
    try {
      // Without SO_REUSEPORT it fails beside any other listener.
      probe.listen({ host, port, exclusive: true });
      await once(probe, "listening");
      const { port: found } = probe.address() as AddressInfo;
      await new Promise((resolve) => probe.close(resolve));
      return found;
    } catch (cause) {
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
      if (code !== "EADDRINUSE" || performance.now() >= endMs) throw portError(host, port, code);
    }
    await sleep(EVERY_MS);
  }
}
