import { type KeptRevocation, parseRevocation, type Revocation } from "./revocations.js";

/** One that is remembered as a line of JSON: `{jti}`, `{sub, issuedBefore}` or `{issuedBefore}`, with `until`. */
export function textOfKept({ revocation, until }: KeptRevocation): string {
  const { kind: _, ...fields } = revocation;
  return JSON.stringify({ ...fields, until });
}

/** @throws Error where it is not what {@link textOfKept} makes. */
export function parseKept(text: string): KeptRevocation {
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== "object" || parsed === null) throw new Error("it is no object");
  const { until, ...fields }: Record<string, unknown> = { ...parsed };
  if (typeof until !== "number" || !Number.isSafeInteger(until) || until < 0)
    throw new Error("until is not a time in seconds");
  if (fields.sub !== undefined && fields.issuedBefore === undefined)
    throw new Error("issuedBefore is missing");
  return { revocation: parseRevocation(fields, 0), until };
}

/** The same for the same tokens only: two that name a subject and different times are two. */
export function idOfRevocation(revocation: Revocation): string {
  switch (revocation.kind) {
    case "jti":
      return `jti ${revocation.jti}`;
    case "sub":
      return `sub ${revocation.issuedBefore} ${revocation.sub}`;
    case "issued":
      return `issued ${revocation.issuedBefore}`;
  }
}
