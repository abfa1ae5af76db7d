import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { answerFormatOf, JSON_FORMAT } from "./http-format.js";
import { errorReply, HttpError } from "./http-reply.js";
import type { HttpReply, HttpRequest } from "./http-types.js";

/** What is served; a file of any other kind is not. */
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".webmanifest": "application/manifest+json",
};

/** All files together: they are kept in memory. */
const BYTES_MAX = 33_554_432;

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** What a browser is told of everything that it may show. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = Object.freeze({
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
});

interface StaticFile {
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  readonly etag: string;
}

/** Answers requests for pages; undefined where there is none at the path. */
export type Pages = (request: HttpRequest) => HttpReply | undefined;

/**
 * The files below a folder, read once: a request only looks its path up among those that were there, so that no path
 * reaches anything else. `/` is `index.html`. Symbolic links are left out.
 * @throws Error where there is no `index.html`, or more than 32 MiB.
 */
export async function loadPages(folder: string): Promise<Pages> {
  const files = await readFiles(folder);
  return (request) => {
    const file = files.get(request.path);
    return file === undefined ? undefined : answer(file, request);
  };
}

async function readFiles(folder: string): Promise<ReadonlyMap<string, StaticFile>> {
  const files = new Map<string, StaticFile>();
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const contentType = CONTENT_TYPES[extname(entry.name)];
    if (!entry.isFile() || contentType === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const body = await readFile(path);
    bytes += body.byteLength;
    if (bytes > BYTES_MAX) throw new Error(`${folder} holds more than ${BYTES_MAX} bytes`);
    files.set(`/${relative(folder, path).split(sep).join("/")}`, staticFile(body, contentType));
  }
  const index = files.get("/index.html");
  if (index === undefined) throw new Error(`${folder} has no index.html: build the page first`);
  return files.set("/", index);
}

function staticFile(body: Uint8Array, contentType: string): StaticFile {
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  const headers = {
    "content-type": contentType,
    etag,
    // Asked again each time, answered 304: a new build shows at once.
    "cache-control": "no-cache",
    ...PAGE_HEADERS,
  };
  return { body, headers, etag };
}

function answer(file: StaticFile, { method, headers }: HttpRequest): HttpReply {
  if (method !== "GET") {
    const text = `${method} is not allowed here; allowed are GET, HEAD`;
    return errorReply(
      answerFormatOf(headers) ?? JSON_FORMAT,
      new HttpError(405, "bad_request", text, { allow: "GET, HEAD" }),
    );
  }
  const known = headers.get("if-none-match") ?? "";
  const isKnown = known.split(",").some((tag) => tag.trim().replace(/^W\//, "") === file.etag);
  return isKnown
    ? { status: 304, headers: file.headers, body: "" }
    : { status: 200, headers: file.headers, body: file.body };
}
