import { CodedError, type ErrorCode } from "../protocol/errors.js";

/**
 * The protocol's codes, and two of the client's own: `closed` (the client was closed, or refused for good) and
 * `overflow` (a `for await` loop that fell too far behind).
 */
export type FanwireErrorCode = ErrorCode | "closed" | "overflow";

/** Every error that the client throws, rejects with or emits. The code is stable; the text is for people. */
export class FanwireError extends Error {
  override readonly name = "FanwireError";
  readonly code: FanwireErrorCode;
  /** When to try again, in milliseconds from now; undefined where nobody said. */
  readonly retryMs: number | undefined;
  /** True where the request had left and its answer is lost: it may or may not have been carried out. */
  readonly maybeDone: boolean;

  constructor(
    code: FanwireErrorCode,
    message: string,
    details: { readonly retryMs?: number | undefined; readonly maybeDone?: boolean } = {},
  ) {
    super(message);
    this.code = code;
    this.retryMs = details.retryMs;
    this.maybeDone = details.maybeDone ?? false;
  }
}

/** Runs a function of src/protocol and turns its coded errors into the client's. */
export function coded<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw cause instanceof CodedError ? new FanwireError(cause.code, cause.message) : cause;
  }
}

/** What a thrown value says. */
export function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
