import type { Access } from "../../core/access.js";
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

/** A handshake as a hook sees it, copied. */
export interface Knock {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly query: string;
  readonly address: string | undefined;
}

/** Asked about a connection that may come in otherwise; rejects with a CodedError where it may not. */
export type ConnectHook = (knock: Knock, access: Access) => Promise<void>;

/** Who comes in, and what is still to be waited for before it is welcome. */
export interface Entrance {
  readonly access: Access;
  /** Rejects with a CodedError where it may not stay. Undefined: it is welcome at once. */
  readonly asked: Promise<void> | undefined;
}

export interface DoorOptions {
  /** Undefined: no token is asked for. */
  readonly authority: Authority | undefined;
  /** Of everybody where no token is asked for. */
  readonly open: Access;
  readonly onConnect: ConnectHook | undefined;
  readonly counters: GatewayCounters;
}

/** Decides within a handshake's handler whose it is; no socket is held for that. */
export class Door {
  readonly #options: DoorOptions;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  /**
   * @param address Of the client, where hooks are told.
   * @throws CodedError where it may not come in.
   */
  admit(req: KnockRequest, address: string | undefined): Entrance {
    const { authority, open, onConnect, counters } = this.#options;
    let access = open;
    if (authority !== undefined) {
      const token = tokenOf(req);
      try {
        access = authority.accessOf(token);
      } catch (cause) {
        counters.tokensRefused += 1;
        throw cause;
      }
      if (token !== undefined) counters.tokensTaken += 1;
    }
    if (onConnect === undefined) return { access, asked: undefined };
    const headers: Record<string, string> = Object.create(null);
    req.forEach((name, value) => {
      headers[name] = value;
    });
    const asked = onConnect({ headers, query: req.getQuery() ?? "", address }, access);
    // It may have been revoked while the hook thought.
    return { access, asked: asked.then(() => authority?.refuseRevoked(access)) };
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
