import type { Engine } from "../core/engine.js";
import type { Limits } from "../core/limits.js";
import type { Fanout } from "../core/ports.js";
import type { Door } from "./auth/door.js";
import type { TokenWatch } from "./auth/token-watch.js";
import type { OpenFiles } from "./gateway-descriptors.js";
import type { GatewayCounters, GatewayLimits } from "./gateway-limits.js";
import type { ListenOptions } from "./gateway-listener.js";
import type { GatewayLog } from "./gateway-log.js";
import type { SessionFace } from "./gateway-socket.js";
import type { HttpHandler } from "./http-types.js";
import type { SubjectCounts } from "./subject-counts.js";
import type { TlsFiles } from "./tls-files.js";
import type { ProxySettings } from "./trusted-proxies.js";
import type { UpgradePolicy } from "./upgrade.js";

/** What the gateway calls of the engine. */
export interface EngineFace extends Pick<Engine, "tick" | "sweep"> {
  connect(...args: Parameters<Engine["connect"]>): SessionFace;
}

export interface GatewayOptions extends ListenOptions {
  /** See {@link UpgradePolicy.origins}. */
  readonly origins: readonly string[];
  readonly limits: Pick<Limits, "payloadBytes" | "bufferBytes">;
  readonly gatewayLimits: GatewayLimits;
  readonly proxies: ProxySettings;
  /** Checked by the caller. */
  readonly tls: TlsFiles & { readonly hstsSeconds?: number };
  /** Default: as the system says. */
  readonly openFiles?: OpenFiles;
  readonly counters: GatewayCounters;
  /** Requests that all sessions have taken so far, each room of a subscribe many one. */
  readonly workDone: () => number;
  readonly log: GatewayLog;
  /** Answers every request but those to `/ws`. */
  readonly http: HttpHandler;
  /** Decides who may connect, after everything else did. Default: everybody. */
  readonly door?: Door | undefined;
  /** Looks after tokens that end. Default: nobody. */
  readonly watch?: TokenWatch | undefined;
  /** Counts connections by subject of their tokens. Default: nobody counts. */
  readonly subjects?: SubjectCounts | undefined;
  /** Told whose session is open, and where the client is. Default: nobody wants to know. */
  readonly onEntered?: ((session: SessionFace, address: string | undefined) => void) | undefined;
  /** Called once, before the first connection. */
  readonly createEngine: (fanout: Fanout) => EngineFace;
}

export interface Gateway {
  /** The port listened on. */
  readonly port: number;
  /**
   * Takes nothing new from now on: handshakes on connections that are there are refused, HTTP connections are closed
   * after their reply, what the kernel has queued is taken and answered, then the listener is closed. Requests and
   * sessions go on. Never rejects; calling it again gives the same promise.
   */
  stopListening(): Promise<void>;
  /** Has every session look whether it is to be told of an outage. */
  tellOutage(): void;
  /**
   * {@link stopListening}, and tells every session `goaway`, in even portions over `drainMs` with jitter (less where they
   * are few). Resolves as soon as no session is left, or three seconds after `drainMs`, or once {@link close} is called. Never
   * rejects; calling it again gives the same promise.
   */
  drain(drainMs: number): Promise<void>;
  /**
   * Takes nothing new, tells every session `goaway` unless a drain did, closes them with 1001, waits for requests that
   * are being answered, and cuts what is left at the deadline. Never rejects; calling it again gives the same promise.
   */
  close(deadlineMs: number): Promise<void>;
  /** Closes those whose token is void. */
  closeRevoked(): Promise<void>;
}
