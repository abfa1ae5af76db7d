import { NoRespondersError, PermissionViolationError, RequestError } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import { isTimeout, LinkClosed, type NatsLink } from "./connection.js";

/** An answer of the JetStream API that is an error. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** As in HTTP. */
  readonly status: number;
  /** The server's own number; 0 where it gave none. */
  readonly errCode: number;

  constructor(status: number, errCode: number, description: string) {
    super(description);
    this.status = status;
    this.errCode = errCode;
  }
}

/** The server's numbers of errors that are told apart. */
export const ERR_CODE = {
  streamNotFound: 10_059,
  messageNotFound: 10_037,
  wrongLastSequence: 10_071,
  /** A cluster that has just formed says so for a while. */
  noSuitablePeers: 10_005,
  insufficientResources: 10_023,
  replicasWithoutCluster: 10_074,
  storageExceeded: 10_047,
  streamsExceeded: 10_027,
  subjectsOverlap: 10_065,
  /** There is no place for more, mostly. */
  storeFailed: 10_077,
} as const;

export type Json = { readonly [field: string]: unknown };

/** Every call has this deadline: a leader that has died answers nothing, and its successor is asked anew. */
export const CALL_MS = 2_000;

/** What stays as it is however often it is asked, although the server takes the blame. */
const LASTING: readonly number[] = [
  ERR_CODE.replicasWithoutCluster,
  ERR_CODE.storageExceeded,
  ERR_CODE.streamsExceeded,
];

/** A cluster that is too small for good says the same as one that has just begun. */
const NO_PLACE: readonly number[] = [ERR_CODE.noSuitablePeers, ERR_CODE.insufficientResources];

const RETRY_FIRST_MS = 50;
const RETRY_MOST_MS = 500;
const AWAY_RETRY_MS = 1_000;

/** The JetStream API over one connection. */
export class JsApi {
  readonly #link: NatsLink;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  /**
   * One call, once.
   * @param subject What follows `$JS.API.`
   * @throws ApiError where the answer is an error; see {@link isTransient} for all else.
   */
  async call(subject: string, body?: Json, timeoutMs = CALL_MS): Promise<Json> {
    const payload = body === undefined ? "" : JSON.stringify(body);
    const reply = await this.#link.request(`$JS.API.${subject}`, payload, timeoutMs);
    const answer = objectOf(reply.json());
    const error = answer.error === undefined ? undefined : objectOf(answer.error);
    if (error === undefined) return answer;
    throw new ApiError(
      numberOf(error.code),
      numberOf(error.err_code),
      String(error.description ?? "unknown"),
    );
  }

  /** As {@link JsApi.call}, again until the deadline while there is nobody to answer. */
  insist(subject: string, deadlineMs: number, body?: Json): Promise<Json> {
    return insist(`NATS did not answer ${subject}`, deadlineMs, (timeoutMs) =>
      this.call(subject, body, timeoutMs),
    );
  }
}

/**
 * Tries until the deadline while what goes wrong may pass: no connection, no answer, no leader. Each try has a deadline
 * of its own, {@link CALL_MS} at most.
 * @param mayGoOn Asked before another try.
 * @throws CodedError `unavailable` at the deadline, or where it may not go on; what does not pass as it is, at once.
 */
export async function insist<T>(
  what: string,
  deadlineMs: number,
  attempt: (timeoutMs: number) => Promise<T>,
  mayGoOn: () => boolean = () => true,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(RETRY_MOST_MS, waitMs * 2)) {
    try {
      return await attempt(Math.max(1, Math.min(CALL_MS, end - performance.now())));
    } catch (cause) {
      if (!isTransient(cause)) throw cause;
      if (!mayGoOn()) throw new CodedError("unavailable", `${what}: ${reasonOf(cause)}`, AWAY_RETRY_MS);
      if (performance.now() + waitMs >= end)
        throw new CodedError(
          "unavailable",
          `${what} within ${deadlineMs} ms: ${reasonOf(cause)}${hintOf(cause)}`,
          RETRY_MOST_MS,
        );
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** Whether the same call may well succeed a moment later. */
export function isTransient(cause: unknown): boolean {
  if (cause instanceof LinkClosed) return false;
  if (cause instanceof ApiError)
    return (
      (cause.status >= 500 && !LASTING.includes(cause.errCode)) || cause.errCode === ERR_CODE.noSuitablePeers
    );
  if (cause instanceof CodedError) return cause.code === "unavailable" || cause.code === "timeout";
  if (cause instanceof RequestError) return !(cause.cause instanceof PermissionViolationError);
  return isTimeout(cause) || cause instanceof NoRespondersError;
}

/** An object of parsed JSON; empty where it is none. */
export function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

/** A number of parsed JSON; 0 where it is none. */
export function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** What may help where nobody answers at all. */
function hintOf(cause: unknown): string {
  const isUnanswered =
    cause instanceof NoRespondersError ||
    (cause instanceof RequestError && cause.cause instanceof NoRespondersError) ||
    (cause instanceof ApiError && /jetstream not enabled/i.test(cause.message));
  if (isUnanswered) return "; is JetStream enabled in that server (nats-server -js), and for this account?";
  const isTooSmall = cause instanceof ApiError && NO_PLACE.includes(cause.errCode);
  return isTooSmall ? "; are there as many servers as nats.replicas says, with room for it?" : "";
}
