import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "./http-reply.js";

/** Lets a request pass that may write. @throws HttpError 401 */
export type KeyCheck = (authorization: string | undefined) => void;

/**
 * Checks `Authorization: Bearer KEY` against the keys that are configured; where none is, everybody may write.
 * Digests are compared, all of them and in constant time, so that how long it takes tells nothing about a key.
 */
export function createKeyCheck(apiKeys: readonly string[]): KeyCheck {
  const known = apiKeys.map(digest);
  return (authorization) => {
    if (known.length === 0) return;
    const given = /^bearer +(\S+)$/i.exec(authorization?.trim() ?? "")?.[1];
    if (given === undefined) throw refused("writing needs an API key: Authorization: Bearer KEY", "");
    const wanted = digest(given);
    let matches = false;
    for (const each of known) matches = timingSafeEqual(each, wanted) || matches;
    if (!matches) throw refused("the API key is not one of those configured", ', error="invalid_token"');
  };
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function refused(message: string, more: string): HttpError {
  return new HttpError(401, "unauthenticated", message, {
    "www-authenticate": `Bearer realm="fanwire"${more}`,
  });
}
