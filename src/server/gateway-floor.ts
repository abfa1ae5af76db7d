import type { GatewayCounters } from "./gateway-limits.js";
import type { GatewayLog } from "./gateway-log.js";
import type { Connection } from "./gateway-socket.js";

/** Who is in: what letting in, serving and leaving have in common. */
export class Floor {
  readonly connections = new Set<Connection>();
  readonly log: GatewayLog;
  readonly counters: GatewayCounters;
  /** TCP connections that are no WebSocket (yet). */
  plainConnections = 0;
  /** Nothing new is taken any more. */
  isLeaving = false;

  constructor(log: GatewayLog, counters: GatewayCounters) {
    this.log = log;
    this.counters = counters;
  }

  /** About once a second, some 0.1 µs each: who takes nothing at all is not told of by any callback. */
  lookAtBuffers(): void {
    let bytes = 0;
    let sockets = 0;
    for (const connection of this.connections) {
      const waiting = connection.bufferedBytes();
      if (waiting === 0) continue;
      connection.session?.lookAtBuffer();
      bytes += waiting;
      sockets += 1;
    }
    this.counters.waitingBytes = bytes;
    this.counters.waitingSockets = sockets;
  }

  /** A handler threw, which is a bug. */
  fault(where: string, cause: unknown, session?: string): void {
    this.counters.faults += 1;
    this.log.error({ err: cause, where, session }, "a handler threw");
  }
}
