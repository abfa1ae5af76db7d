import {
  connect,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  NatsConnectionImpl,
  type NodeConnectionOptions,
  TimeoutError,
} from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import { accessOptions } from "./access-options.js";
import { missingRight, troubleOf } from "./access-trouble.js";

/** How to reach NATS. At most one of user, token, nkey and credentials. */
export interface NatsAccess {
  /** `host:port`, each of them a way into the same system. */
  readonly servers: readonly string[];
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** File with the seed of an nkey. */
  readonly nkeyFile?: string | undefined;
  /** File with a JWT and its nkey, as `nsc` writes it. */
  readonly credsFile?: string | undefined;
  /** Undefined: TLS where the server asks for it, with the system's certificate authorities. */
  readonly tls?: TlsFiles | undefined;
  /** Begins the subjects that answers come to; needs to be one that the account allows. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined;
}

export interface TlsFiles {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** What a connection tells of itself. */
export interface LinkEvents {
  /** Anything published from here on is lost, and live messages are missed. */
  disconnected?(): void;
  /** Subscriptions are restored. */
  reconnected?(server: string): void;
  /** The server complained, for instance of a permission; the connection goes on or is made anew. */
  complained?(cause: Error): void;
  /** It will not come back by itself. */
  closed?(cause: Error | undefined): void;
}

/** A connection is tried this long before the next server's turn. */
const CONNECT_MS = 5_000;

/** Before the next try at the same server, with up to as much again at random. */
const RETRY_MS = 250;

/**
 * A server that stands still (a full disk, a stopped process) keeps its connections. Two unanswered pings in this
 * interval make it 6 to 9 seconds until another server is tried.
 */
const PING_MS = 3_000;

/** This end has closed the connection: no use in trying again. */
export class LinkClosed extends CodedError {
  constructor() {
    super("unavailable", "the connection to NATS was closed");
  }
}

/** One connection to NATS that comes back by itself, for as long as it is not closed. */
export class NatsLink {
  readonly connection: NatsConnection;
  /** Undefined: the client's own. */
  readonly inboxPrefix: string | undefined;
  readonly #protocol: NatsConnectionImpl["protocol"];
  readonly #events: LinkEvents;
  readonly #listeners = new Set<(cause: Error) => void>();
  #connected = true;
  #closing = false;

  private constructor(connection: NatsConnection, events: LinkEvents, inboxPrefix: string | undefined) {
    this.connection = connection;
    if (!(connection instanceof NatsConnectionImpl)) throw new TypeError("not a connection of this client");
    this.#protocol = connection.protocol;
    this.inboxPrefix = inboxPrefix;
    this.#events = events;
    void this.#watch();
  }

  /**
   * Connects, trying every server in turn until the deadline.
   * @param name Shown by the server's monitoring.
   * @param signal Ends it before the deadline.
   * @throws CodedError `unavailable` at the deadline, saying what the last try met with. At once, as trying again does not
   * help: `unauthenticated` where the credentials or the certificate are refused, `unavailable` where the server's certificate
   * is not trusted, `bad_request` where a file is not what it should be.
   */
  static async open(
    access: NatsAccess,
    name: string,
    events: LinkEvents,
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<NatsLink> {
    const options = connectionOptions(access, name);
    const end = performance.now() + deadlineMs;
    for (;;) {
      try {
        return new NatsLink(await connect(options), events, access.inboxPrefix);
      } catch (cause) {
        const { error, isLasting } = await troubleOf(access, cause);
        if (isLasting || performance.now() + RETRY_MS >= end || signal?.aborted) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** False from the moment that a loss of the connection is noticed until subscriptions are restored. */
  get connected(): boolean {
    return this.#connected && !this.#closing;
  }

  /** The version of the server that it is connected to. */
  get serverVersion(): string {
    return this.connection.info?.version ?? "0.0.0";
  }

  /**
   * Sends a request and waits for one answer.
   * @throws CodedError `unavailable` while there is no connection, `forbidden` where the user may not ask that or not get an
   * answer; Error where nobody answers in time.
   */
  async request(
    subject: string,
    payload: string | Uint8Array,
    timeoutMs: number,
    headers?: MsgHdrs,
  ): Promise<Msg> {
    if (this.#closing) throw new LinkClosed();
    if (!this.connected) throw new CodedError("unavailable", "not connected to NATS", RETRY_MS);
    try {
      const options = { timeout: timeoutMs, ...(headers === undefined ? {} : { headers }) };
      return await this.connection.request(subject, payload, options);
    } catch (cause) {
      throw missingRight(cause) ?? cause;
    }
  }

  /** The most bytes of headers and data that the server takes; no bound while there is no connection. */
  get payloadBytesMax(): number {
    return this.connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Sends a command of the protocol as it is, together with what else is sent before the next turn of the loop. The client
   * would encode each publish from four parts of its own: 2 µs of CPU and 400 bytes of garbage (`bench bridge --parts publish`).
   * Lost in silence while there is no connection, as what the client publishes is.
   */
  send(command: Uint8Array): void {
    if (!this.#protocol.isClosed()) this.#protocol.sendCommand(command);
  }

  /** Also tells the listener what the server complains of, until the function that it returns is called. */
  onComplaint(listener: (cause: Error) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.connection.close().catch(() => undefined);
  }

  async #watch(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === "disconnect") {
        this.#connected = false;
        this.#events.disconnected?.();
      } else if (status.type === "reconnect") {
        this.#connected = true;
        this.#events.reconnected?.(status.server);
      } else if (status.type === "error") {
        for (const listener of this.#listeners) listener(status.error);
        this.#events.complained?.(status.error);
      }
    }
    const cause = await this.connection.closed();
    this.#connected = false;
    if (!this.#closing) this.#events.closed?.(cause instanceof Error ? cause : undefined);
  }
}

/**
 * Parses `nats://user:password@host:4222,nats://other:4222` (`tls://` for TLS, `token@` for a token). Every server must
 * have the same credentials, or none but the first.
 * @throws CodedError `bad_request`
 */
export function parseServers(text: string): NatsAccess {
  const servers: string[] = [];
  let credentials: Pick<NatsAccess, "user" | "password" | "token"> = {};
  let tls: TlsFiles | undefined;
  for (const part of text.split(",")) {
    const match =
      /^(nats|tls):\/\/(?:([^:@/]+)(?::([^@/]*))?@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?\/?$/.exec(
        part.trim(),
      );
    if (match === null)
      throw new CodedError(
        "bad_request",
        `${JSON.stringify(part.replace(/\/\/.*@/, "//…@"))} is no NATS server: nats://host:4222 or tls://user:password@host:4222`,
      );
    const [, scheme, user, password, host = "", port = ":4222"] = match;
    servers.push(`${host}${port}`);
    if (scheme === "tls") tls = {};
    if (user === undefined) continue;
    credentials =
      password === undefined
        ? { token: decodeURIComponent(user) }
        : { user: decodeURIComponent(user), password: decodeURIComponent(password) };
  }
  return { servers, ...credentials, ...(tls === undefined ? {} : { tls }) };
}

/** Whether it was the deadline that ended a request. */
export function isTimeout(cause: unknown): boolean {
  return cause instanceof TimeoutError;
}

function connectionOptions(access: NatsAccess, name: string): NodeConnectionOptions {
  return {
    servers: [...access.servers],
    name,
    timeout: CONNECT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RETRY_MS,
    reconnectJitter: RETRY_MS,
    reconnectJitterTLS: RETRY_MS,
    pingInterval: PING_MS,
    maxPingOut: 2,
    // A password that was changed, or an account that is not there yet: both may be put right while this runs.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
    ...accessOptions(access),
  };
}
