import type { Access } from "../../core/access.js";
import { CodedError } from "../../protocol/errors.js";

/** Which tokens are void. `issuedBefore` is in seconds since 1970, as `iat` is; a token without `iat` was issued before any time. */
export type Revocation =
  | { readonly kind: "jti"; readonly jti: string }
  | { readonly kind: "sub"; readonly sub: string; readonly issuedBefore: number }
  | { readonly kind: "issued"; readonly issuedBefore: number };

/** One that is remembered, and until when, in seconds since 1970. */
export interface KeptRevocation {
  readonly revocation: Revocation;
  readonly until: number;
}

const NAME_CHARS_MAX = 256;
/** Above, somebody gave milliseconds. */
const SECONDS_MAX = 100_000_000_000;

/** Revocations, kept until every token that they void has expired. Bounded; none is forgotten before its time. */
export class Revocations {
  readonly #max: number;
  readonly #jtis = new Map<string, number>();
  readonly #subs = new Map<string, { readonly issuedBefore: number; readonly until: number }>();
  #all: { readonly issuedBefore: number; readonly until: number } | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#jtis.size + this.#subs.size + (this.#all === undefined ? 0 : 1);
  }

  /** @throws CodedError `unavailable` where no more can be remembered. */
  add({ revocation, until }: KeptRevocation): void {
    if (this.size >= this.#max && !this.#knows(revocation))
      throw new CodedError(
        "unavailable",
        `${this.#max} revocations are remembered, the limit (auth.revocations); revoke by issuedBefore, or later`,
      );
    switch (revocation.kind) {
      case "jti":
        this.#jtis.set(revocation.jti, Math.max(until, this.#jtis.get(revocation.jti) ?? 0));
        break;
      case "sub":
        this.#subs.set(revocation.sub, later(this.#subs.get(revocation.sub), revocation.issuedBefore, until));
        break;
      case "issued":
        this.#all = later(this.#all, revocation.issuedBefore, until);
        break;
    }
  }

  /** Whether it, or more, is remembered for as long. */
  has({ revocation, until }: KeptRevocation): boolean {
    if (revocation.kind === "jti") return (this.#jtis.get(revocation.jti) ?? 0) >= until;
    const known = revocation.kind === "sub" ? this.#subs.get(revocation.sub) : this.#all;
    return known !== undefined && known.issuedBefore >= revocation.issuedBefore && known.until >= until;
  }

  revokes({ sub, jti, issuedAt }: Pick<Access, "sub" | "jti" | "issuedAt">): boolean {
    if (sub === undefined) return false;
    if (jti !== undefined && this.#jtis.has(jti)) return true;
    const { issuedBefore = 0 } = this.#subs.get(sub) ?? {};
    return issuedAt < issuedBefore || issuedAt < (this.#all?.issuedBefore ?? 0);
  }

  /** Forgets those whose time is over. */
  sweep(nowSeconds: number): void {
    for (const [jti, until] of this.#jtis) if (until <= nowSeconds) this.#jtis.delete(jti);
    for (const [sub, { until }] of this.#subs) if (until <= nowSeconds) this.#subs.delete(sub);
    if (this.#all !== undefined && this.#all.until <= nowSeconds) this.#all = undefined;
  }

  /** All of them, for whoever starts later. */
  list(): readonly KeptRevocation[] {
    const jtis = [...this.#jtis].map(([jti, until]) => ({
      revocation: { kind: "jti", jti } as const,
      until,
    }));
    const subs = [...this.#subs].map(([sub, { issuedBefore, until }]) => ({
      revocation: { kind: "sub", sub, issuedBefore } as const,
      until,
    }));
    if (this.#all === undefined) return [...jtis, ...subs];
    const { issuedBefore, until } = this.#all;
    return [...jtis, ...subs, { revocation: { kind: "issued", issuedBefore }, until }];
  }

  #knows(revocation: Revocation): boolean {
    if (revocation.kind === "jti") return this.#jtis.has(revocation.jti);
    return revocation.kind === "sub" ? this.#subs.has(revocation.sub) : this.#all !== undefined;
  }
}

interface TokenTimes {
  readonly maxTokenSeconds: number;
  readonly toleranceSeconds: number;
}

/** How long a token can be good, wherever clocks differ as much as they may. */
export function keepSeconds({ maxTokenSeconds, toleranceSeconds }: TokenTimes): number {
  return maxTokenSeconds + 2 * toleranceSeconds + 1;
}

/** When every token of now has expired. */
export function keepUntil(times: TokenTimes, nowSeconds: number): number {
  return Math.ceil(nowSeconds + keepSeconds(times));
}

/**
 * A request's body `{sub}`, `{jti}`, `{sub, issuedBefore}` or `{issuedBefore}` as a revocation. `{sub}` alone means
 * every token issued up to now, those of this very second too. @throws CodedError `bad_request`
 */
export function parseRevocation(raw: unknown, nowSeconds: number): Revocation {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) throw bad("the body is no object");
  const { sub, jti, issuedBefore, ...others }: Record<string, unknown> = { ...raw };
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw bad(`${JSON.stringify(unknown.slice(0, 80))} is unknown`);
  if (jti !== undefined) {
    if (sub !== undefined || issuedBefore !== undefined) throw bad("jti stands alone");
    return { kind: "jti", jti: nameOf("jti", jti) };
  }
  const before = issuedBefore === undefined ? Math.floor(nowSeconds) + 1 : secondsOf(issuedBefore);
  if (sub !== undefined) return { kind: "sub", sub: nameOf("sub", sub), issuedBefore: before };
  if (issuedBefore === undefined) throw bad("it is empty");
  return { kind: "issued", issuedBefore: before };
}

function nameOf(field: string, raw: unknown): string {
  if (typeof raw === "string" && raw !== "" && raw.length <= NAME_CHARS_MAX) return raw;
  throw bad(`${field} is not text of 1 to ${NAME_CHARS_MAX} characters`);
}

function secondsOf(raw: unknown): number {
  if (typeof raw === "number" && raw > 0 && raw < SECONDS_MAX) return raw;
  throw bad("issuedBefore is not a number of seconds since 1970, as iat is");
}

function later(
  known: { readonly issuedBefore: number; readonly until: number } | undefined,
  issuedBefore: number,
  until: number,
): { readonly issuedBefore: number; readonly until: number } {
  return {
    issuedBefore: Math.max(issuedBefore, known?.issuedBefore ?? 0),
    until: Math.max(until, known?.until ?? 0),
  };
}

function bad(why: string): CodedError {
  return new CodedError(
    "bad_request",
    `${why}: allowed are {sub}, {jti}, {sub, issuedBefore} and {issuedBefore}`,
  );
}
