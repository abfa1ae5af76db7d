const TEXT_MAX = 500;
const FRAMES_MAX = 12;

/** An error as it is logged: nothing that somebody else hung on it. */
export interface LoggedError {
  readonly type: string;
  readonly code?: string;
  /** Absent where it may quote what a client sent. */
  readonly message?: string;
  readonly stack: readonly string[];
  readonly cause?: LoggedError;
}

/** An error of this program, for logs. What `JSON.parse` threw quotes its input, so its text stays out. */
export function loggedError(cause: unknown, isForeign = false): LoggedError {
  if (!(cause instanceof Error)) return { type: typeof cause, stack: [] };
  const { name, message, cause: inner } = cause;
  const code =
    "code" in cause && typeof cause.code === "string" ? { code: cause.code.slice(0, TEXT_MAX) } : {};
  const text = isForeign || cause instanceof SyntaxError ? {} : { message: message.slice(0, TEXT_MAX) };
  const deeper = inner instanceof Error ? { cause: loggedError(inner, isForeign) } : {};
  return {
    type: isForeign ? typeOf(cause) : name,
    ...(isForeign ? {} : code),
    ...text,
    stack: framesOf(cause),
    ...deeper,
  };
}

/** What code of the operator's threw (a hook): where, and not with which words, since those may be a message's data. */
export function thrownByOthers(cause: unknown): LoggedError {
  return loggedError(cause, true);
}

/** Of the class, which is code; a name can be set to anything. */
function typeOf(cause: Error): string {
  return cause.constructor.name.slice(0, TEXT_MAX);
}

/** The lines behind the text, which may look like one of them. */
function framesOf({ stack = "", message }: Error): string[] {
  const at = message === "" ? 0 : stack.indexOf(message);
  const behind = at < 0 ? "" : stack.slice(at + message.length);
  return behind
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("at "))
    .slice(0, FRAMES_MAX);
}
