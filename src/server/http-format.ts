import { HttpError } from "./http-reply.js";

/** How a body is written. */
export type BodyKind = "json" | "msgpack";

/** How an answer is written, and under which of its names. */
export interface AnswerFormat {
  readonly kind: BodyKind;
  readonly contentType: string;
}

/** MessagePack's registered name first, then those in use before there was one. */
const MSGPACK_TYPES: readonly string[] = [
  "application/vnd.msgpack",
  "application/msgpack",
  "application/x-msgpack",
];
const TYPES: readonly string[] = ["application/json", ...MSGPACK_TYPES];
const ALLOWED = TYPES.join(", ");

/** More would be an attempt to make us work. */
const ACCEPT_RANGES_MAX = 32;

export const JSON_FORMAT: AnswerFormat = { kind: "json", contentType: "application/json; charset=utf-8" };

type Headers = ReadonlyMap<string, string>;

/**
 * How the request's body is written. A request without a content type is refused too: a page of any origin can make
 * a browser send that, or a form, without being asked for permission.
 * @throws HttpError 415
 */
export function bodyKindOf(headers: Headers): BodyKind {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase();
  if (encoding !== undefined && encoding !== "identity")
    throw unsupported(
      `content-encoding ${JSON.stringify(encoding)} is not supported: send the body as it is`,
    );
  const given = headers.get("content-type") ?? "";
  const [type = "", ...parameters] = given
    .toLowerCase()
    .split(";")
    .map((part) => part.trim());
  const charset = parameters.find((parameter) => parameter.startsWith("charset="))?.slice("charset=".length);
  if (charset !== undefined && charset.replaceAll('"', "") !== "utf-8")
    throw unsupported(`charset ${JSON.stringify(charset)} is not supported: only utf-8 is`);
  if (MSGPACK_TYPES.includes(type)) return "msgpack";
  if (type === "application/json") return "json";
  throw unsupported(
    `content-type ${given === "" ? "is missing" : JSON.stringify(given)}; allowed are ${ALLOWED}`,
  );
}

/**
 * How the answer is to be written: the type that `accept` likes most, JSON where it likes several the same, undefined
 * where it likes none.
 */
export function answerFormatOf(headers: Headers): AnswerFormat | undefined {
  const accept = headers.get("accept");
  if (accept === undefined || accept.trim() === "") return JSON_FORMAT;
  const ranges = accept.split(",", ACCEPT_RANGES_MAX).map(rangeOf);
  let best: string | undefined;
  let bestQuality = 0;
  for (const type of TYPES) {
    const quality = qualityOf(type, ranges);
    if (quality > bestQuality) {
      best = type;
      bestQuality = quality;
    }
  }
  if (best === undefined) return undefined;
  return best === "application/json" ? JSON_FORMAT : { kind: "msgpack", contentType: best };
}

/** The error where {@link answerFormatOf} finds none. */
export function notAcceptable(): HttpError {
  return new HttpError(406, "bad_request", `accept allows none of ${ALLOWED}`);
}

interface Range {
  readonly type: string;
  readonly quality: number;
}

function rangeOf(text: string): Range {
  const [type = "", ...parameters] = text
    .toLowerCase()
    .split(";")
    .map((part) => part.trim());
  const weight = parameters.find((parameter) => parameter.startsWith("q="));
  const quality = weight === undefined ? 1 : Number(weight.slice(2));
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

/** The most specific range decides, so that `application/json;q=0, *\/*` excludes JSON. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  for (const wanted of [type, "application/*", "*/*"]) {
    const range = ranges.find((candidate) => candidate.type === wanted);
    if (range !== undefined) return range.quality;
  }
  return 0;
}

function unsupported(message: string): HttpError {
  return new HttpError(415, "bad_request", message, { accept: ALLOWED });
}
