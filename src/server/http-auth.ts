import { type Access, forbidden, type Guest, OPEN_ACCESS, type Right } from "../core/access.js";
import type { CodedError } from "../protocol/errors.js";
import type { RoomName } from "../protocol/room-name.js";
import { type ApiKeys, bearerOf } from "./auth/api-keys.js";
import type { Authority } from "./auth/authority.js";
import { TOKEN_PARAMETER } from "./http-query.js";
import { HttpError } from "./http-reply.js";
import type { HttpRequest } from "./http-types.js";

/** Who asks over HTTP, as rights and hooks see it. */
export interface Caller extends Guest {
  readonly by: "key" | "token" | "nothing";
  /** Name of the key. */
  readonly apiKey: string | undefined;
  /** Of the client, where hooks are told. */
  readonly address?: string | undefined;
  /** May revoke tokens. */
  readonly admin: boolean;
}

export interface HttpAuthOptions {
  /** Undefined: no token is asked for. */
  readonly authority: Authority | undefined;
  readonly apiKeys: ApiKeys;
}

const ANYBODY = { by: "nothing", apiKey: undefined, admin: false, id: "" } as const;

/**
 * Who a request is of. Where tokens are asked for, everything needs a key or a token, but for what a namespace allows to
 * everybody. Where they are not, reading is free, and writing too unless there are keys.
 */
export class HttpAuth {
  readonly #authority: Authority | undefined;
  readonly #apiKeys: ApiKeys;

  constructor({ authority, apiKeys }: HttpAuthOptions) {
    this.#authority = authority;
    this.#apiKeys = apiKeys;
  }

  /** Rejects with an HttpError 401, or as {@link Authority.accessOf}. */
  async callerOf(request: HttpRequest, writes: boolean): Promise<Caller> {
    const { address, headers, query } = request;
    if (this.#authority === undefined && (!writes || this.#apiKeys.size === 0))
      return { ...ANYBODY, address, access: OPEN_ACCESS };
    const bearer = bearerOf(headers.get("authorization"));
    const key = bearer === undefined ? undefined : this.#apiKeys.find(bearer);
    if (key !== undefined) {
      const { name, rights, admin } = key;
      return { by: "key", apiKey: name, admin, id: "", address, access: { ...OPEN_ACCESS, rights } };
    }
    if (this.#authority === undefined) throw noKey(bearer);
    // Tokens only: keys do not end, and addresses are logged all along the way.
    const given = bearer ?? tokenOfQuery(query);
    if (given === undefined) {
      const { anonymous } = this.#authority;
      if (anonymous === undefined) throw unauthenticated(NEEDED, "");
      return { ...ANYBODY, address, access: anonymous };
    }
    const access: Access = await this.#authority.accessLater(given).catch((cause: unknown) => {
      throw challenged(cause);
    });
    return { by: "token", apiKey: undefined, admin: false, id: "", address, access };
  }
}

function tokenOfQuery(query: string): string | undefined {
  const token = new URLSearchParams(query).get(TOKEN_PARAMETER) ?? "";
  return token === "" ? undefined : token;
}

/** Why a caller may not do something in a room; undefined where it may. The same whether there is such a room or not. */
export function whyNot({ access, by }: Caller, right: Right, room: RoomName): CodedError | undefined {
  if (access.rights.allows(right, room)) return undefined;
  return by === "nothing" ? unauthenticated(NEEDED, "") : forbidden(right, room);
}

/** Lets a request of the admin port pass. @throws HttpError 401 or 403 */
export type KeyCheck = (authorization: string | undefined, needs: "admin" | "any key") => void;

/** Checks `Authorization: Bearer KEY`; where no keys are configured, everybody may. */
export function createKeyCheck(apiKeys: () => ApiKeys): KeyCheck {
  return (authorization, needs) => {
    const keys = apiKeys();
    if (keys.size === 0) return;
    const given = bearerOf(authorization);
    const key = given === undefined ? undefined : keys.find(given);
    if (key === undefined) throw noKey(given);
    if (needs === "admin" && !key.admin)
      throw new HttpError(403, "forbidden", `the API key ${key.name} has no admin`);
  };
}

const NEEDED = "this needs a token or an API key: Authorization: Bearer TOKEN";

function noKey(given: string | undefined): HttpError {
  return given === undefined
    ? unauthenticated("writing needs an API key: Authorization: Bearer KEY", "")
    : unauthenticated("the API key is not one of those configured", INVALID);
}

const INVALID = ', error="invalid_token"';

function unauthenticated(message: string, more: string): HttpError {
  return new HttpError(401, "unauthenticated", message, {
    "www-authenticate": `Bearer realm="fanwire"${more}`,
  });
}

/** The same error, with what HTTP wants to stand beside a 401. */
function challenged(cause: unknown): unknown {
  const isRefusal = cause instanceof Error && "code" in cause && cause.code === "unauthenticated";
  return isRefusal ? unauthenticated(cause.message, INVALID) : cause;
}
