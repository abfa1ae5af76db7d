import type { Access } from "../../core/access.js";
import { CodedError } from "../../protocol/errors.js";
import type { GatewayCounters } from "../gateway-limits.js";
import { bearerOf } from "./api-keys.js";
import type { Authority } from "./authority.js";

/** What of a handshake's request is used; valid during the handler only. "" where a header is missing. */
export interface KnockRequest {
  getHeader(lowerCaseName: string): string;
  getQuery(key: string): string | undefined;
  getQuery(): string | undefined;
  forEach(take: (name: string, value: string) => void): void;
}

/** A handshake as hooks see it. */
export interface Knock {
  readonly token: string | undefined;
  /** Names in lower case; empty where nobody wants them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly query: string;
}

/** Asked last, about a connection that may come in otherwise; rejects with a CodedError where it may not. */
export type ConnectHook = (knock: Knock, access: Access) => Promise<void>;

export interface DoorOptions {
  /** Undefined: no token is asked for. */
  readonly authority: Authority | undefined;
  readonly open: Access;
  readonly onConnect: ConnectHook | undefined;
  /** Longest time that a handshake is held. */
  readonly timeoutMs: number;
  readonly counters: GatewayCounters;
}

/** Handshakes that wait at once: each holds a socket that is no connection yet. */
const WAITING_MAX = 1_024;
const RETRY_MS = 1_000;

/** Decides who a handshake is of, before it is answered; never holds one for longer than the limit. */
export class Door {
  readonly #options: DoorOptions;
  #waiting = 0;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  /** Copies what is needed of a request within its handler. */
  knock(req: KnockRequest): Knock {
    const token = this.#options.authority === undefined ? undefined : tokenOf(req);
    if (this.#options.onConnect === undefined) return { token, headers: {}, query: "" };
    const headers: Record<string, string> = Object.create(null);
    req.forEach((name, value) => {
      headers[name] = value;
    });
    return { token, headers, query: req.getQuery() ?? "" };
  }

  /** Rejects with a CodedError where it may not come in. */
  async admit(knock: Knock): Promise<Access> {
    const { counters, timeoutMs } = this.#options;
    if (this.#waiting >= WAITING_MAX) {
      counters.tokensRefused += 1;
      throw new CodedError(
        "unavailable",
        `${WAITING_MAX} handshakes wait already: come back later`,
        RETRY_MS,
      );
    }
    this.#waiting += 1;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new CodedError(
        "timeout",
        `the handshake was not decided within ${timeoutMs} ms`,
        RETRY_MS,
      );
      timer = setTimeout(() => reject(error), timeoutMs);
    });
    try {
      const access = await Promise.race([this.#decide(knock), late]);
      counters.tokensTaken += knock.token === undefined ? 0 : 1;
      return access;
    } catch (cause) {
      counters.tokensRefused += 1;
      throw cause;
    } finally {
      clearTimeout(timer);
      this.#waiting -= 1;
    }
  }

  async #decide(knock: Knock): Promise<Access> {
    const { authority, open, onConnect } = this.#options;
    const access = authority === undefined ? open : await authority.accessOf(knock.token);
    if (onConnect === undefined) return access;
    await onConnect(knock, access);
    authority?.refuseRevoked(access);
    return access;
  }
}

/** `Authorization: Bearer`, else the query's `token`, else a sub-protocol item `token.<jwt>`. */
export function tokenOf(req: Pick<KnockRequest, "getHeader" | "getQuery">): string | undefined {
  const bearer = bearerOf(req.getHeader("authorization"));
  if (bearer !== undefined) return bearer;
  const query = req.getQuery("token");
  if (query !== undefined && query !== "") return query;
  const item = req
    .getHeader("sec-websocket-protocol")
    .split(",")
    .map((text) => text.trim())
    .find((text) => text.startsWith("token."));
  return item?.slice("token.".length);
}
