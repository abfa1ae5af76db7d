import type { Access, Rights } from "../../core/access.js";
import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { Config } from "../config.js";
import { CompiledRights, type Grant, namesSubject } from "./grant.js";
import { Recent } from "./recent.js";
import type { Revocations } from "./revocations.js";
import { type Claims, checkToken, type KeySource } from "./token-check.js";

/** What a token made of a connection. */
export interface TokenAccess extends Access {
  readonly sub: string;
  /** All of the token's claims, where somebody (a hook) wants them. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
}

export interface AuthorityOptions {
  readonly config: Config["auth"];
  readonly keys: KeySource;
  readonly revocations: Revocations;
  /** What everybody may do in a room, as bits of rights. */
  readonly anonymousBits: (room: RoomName) => number;
  /** Whether that is anything anywhere: then whoever has no token may connect. */
  readonly allowsAnonymous: boolean;
  readonly keepClaims: boolean;
  /** Seconds since 1970. */
  readonly now: () => number;
}

/** Bytes of tokens that were checked and need not be again while they are good: clients reconnect with the same ones. */
const CHECKED_BYTES = 4_194_304;
/** Different rights that are shared, by their text. */
const RIGHTS_BYTES = 1_048_576;
/** The warning of an expiry leaves at least three quarters of the token's time in peace. */
const WARN_SHARE = 1 / 4;

/** Makes tokens into access. Equal tokens share one object, and different tokens with the same rights share these. */
export class Authority {
  readonly #options: AuthorityOptions;
  readonly #grants: readonly Grant[];
  readonly #checked = new Recent<TokenAccess>(CHECKED_BYTES);
  readonly #rights = new Recent<Rights>(RIGHTS_BYTES);
  /** Of whoever has no token; undefined: they may not even connect. */
  readonly anonymous: Access | undefined;

  constructor(options: AuthorityOptions) {
    this.#options = options;
    this.#grants = options.config.rooms.map(([pattern = "", rights = ""]) => ({ pattern, rights }));
    this.anonymous = options.allowsAnonymous
      ? Object.freeze({
          rights: new CompiledRights([], undefined, options.anonymousBits),
          sub: undefined,
          jti: undefined,
          issuedAt: 0,
          warnAt: Number.POSITIVE_INFINITY,
          expiresAt: Number.POSITIVE_INFINITY,
        })
      : undefined;
  }

  /** @throws CodedError `unauthenticated` or `too_large`, or `unavailable` where the token's key is not known yet. */
  accessOf(token: string | undefined): Access {
    if (token === undefined) {
      if (this.anonymous !== undefined) return this.anonymous;
      throw new CodedError("unauthenticated", "a token is needed here: Authorization: Bearer TOKEN");
    }
    const { config, keys, now } = this.#options;
    const known = this.#checked.get(token);
    const access =
      known !== undefined && now() < known.expiresAt
        ? known
        : this.#remember(token, checkToken(token, keys, config, now()));
    this.refuseRevoked(access);
    return access;
  }

  /** The same, but waits for keys that are being fetched. Rejects. */
  async accessLater(token: string): Promise<Access> {
    try {
      return this.accessOf(token);
    } catch (cause) {
      const { pending } = this.#options.keys;
      if (pending === undefined || !(cause instanceof CodedError) || cause.code !== "unavailable")
        throw cause;
      await pending;
      return this.accessOf(token);
    }
  }

  /** @throws CodedError `unauthenticated` */
  refuseRevoked(access: Access): void {
    if (this.#options.revocations.revokes(access))
      throw new CodedError("unauthenticated", "the token is refused: it is revoked");
  }

  #remember(token: string, claims: Claims): TokenAccess {
    const { config, keepClaims, now } = this.#options;
    const { sub, jti, iat, exp, grants, all } = claims;
    const warnSeconds = Math.min(config.warnSeconds, (exp - now()) * WARN_SHARE);
    const access = Object.freeze({
      rights: this.#rightsOf([...this.#grants, ...grants], sub),
      sub,
      jti,
      issuedAt: iat ?? 0,
      warnAt: Math.floor(exp - warnSeconds),
      // Whole seconds are small integers, which need no object of their own.
      expiresAt: Math.ceil(exp + config.toleranceSeconds),
      claims: keepClaims ? all : undefined,
    });
    this.#checked.set(token, access, token.length);
    return access;
  }

  #rightsOf(grants: readonly Grant[], sub: string): Rights {
    const key = JSON.stringify([namesSubject(grants) ? sub : null, grants]);
    const known = this.#rights.get(key);
    if (known !== undefined) return known;
    const rights = new CompiledRights(grants, sub, this.#options.anonymousBits);
    this.#rights.set(key, rights, key.length);
    return rights;
  }
}
