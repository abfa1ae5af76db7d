import { CodedError, toCodedError } from "../protocol/errors.js";
import type { ClientInput, SubscribeOptions } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";
import { forbiddenPattern } from "./access.js";
import type { PatternEntry, PatternSubscriptions } from "./pattern-subscriptions.js";
import type { Asker } from "./requests.js";
import type { SessionHost } from "./session-host.js";

/** What a pattern cannot have: it is of many rooms, each with positions, state and members of its own. */
const LIVE_ONLY =
  "a pattern is live only: for what was before subscribe to rooms by their names, or read history and state over HTTP";

type InputOf<T extends ClientInput["type"]> = Extract<ClientInput, { type: T }>;

/**
 * Carries out what changes which rooms come by name and which by pattern: at once for whoever has no patterns, else
 * where its lane has sent everything, so that nothing is missed or comes twice.
 */
export function whenSettled(asker: Asker, host: SessionHost, ref: number, run: () => void): void {
  if (host.patterns.find(asker)?.isCrowded !== true) {
    wait(asker, host, run);
    return;
  }
  host.counters.rateLimited += 1;
  asker.refuse(ref, new CodedError("rate_limited", "too many requests of this connection wait", 100));
}

/** The same for what has been opened: from then on these rooms come by name. */
export function begin(asker: Asker, host: SessionHost, rooms: readonly RoomName[], run: () => void): void {
  wait(asker, host, run, () => !rooms.some((room) => host.patterns.isJustOpened(room)));
}

function wait(asker: Asker, host: SessionHost, run: () => void, mayRun?: () => boolean): void {
  const patterns = host.patterns.find(asker);
  if (patterns === undefined) run();
  else
    patterns.whenSettled(() => {
      if (!asker.isClosed) run();
    }, mayRun);
}

export function subscribePattern(
  asker: Asker,
  host: SessionHost,
  { ref, pattern, options }: InputOf<"subscribePattern">,
  nowMs: number,
): void {
  if (asker.busy(ref, host.limits.requestsInFlight + host.limits.patternsPerConnection)) return;
  const why = whyNot(asker, host, pattern, options);
  if (why !== undefined) {
    refuse(asker, host, ref, pattern, why, nowMs);
    return;
  }
  const patterns = host.patterns.of(asker);
  let entry = patterns.find(pattern);
  try {
    if (entry === undefined || entry.state === "opening") entry = patterns.open(pattern, nowMs);
  } catch (cause) {
    refuse(asker, host, ref, pattern, toCodedError(cause), nowMs);
    return;
  }
  open(asker, host, ref, entry, nowMs);
}

/** Waits for the broker and for the guard. */
function open(asker: Asker, host: SessionHost, ref: number, entry: PatternEntry, nowMs: number): void {
  const { opening } = entry.watch;
  const verdict = host.guard.subscribePattern?.(asker, entry.pattern);
  if (opening === undefined && verdict === undefined) {
    join(asker, host, ref, entry, nowMs);
    return;
  }
  const opened = Promise.all([opening, verdict]).catch((cause: unknown) => {
    const patterns = host.patterns.find(asker);
    if (patterns?.isCurrent(entry) === true) patterns.leave(entry.pattern, nowMs);
    throw cause;
  });
  asker.wait(ref, opened, () => join(asker, host, ref, entry, nowMs));
}

export function unsubscribePattern(
  asker: Asker,
  host: SessionHost,
  { ref, pattern }: InputOf<"unsubscribePattern">,
  nowMs: number,
): void {
  whenSettled(asker, host, ref, () => {
    host.patterns.find(asker)?.leave(pattern, nowMs);
    asker.answer(ref, undefined);
  });
}

/** Leaves the patterns that its rights do not allow any more. */
export function renewPatterns(asker: Asker, host: SessionHost, nowMs: number): void {
  const patterns = host.patterns.find(asker);
  for (const pattern of patterns?.patterns() ?? []) {
    if (asker.access.rights.allowsPattern("subscribe", pattern)) continue;
    patterns?.leave(pattern, nowMs);
    host.counters.forbidden += 1;
    const { code, message: text } = forbiddenPattern("subscribe", pattern);
    asker.sendControl({ type: "patternEnded", pattern, code, text, retryMs: undefined });
  }
}

function join(asker: Asker, host: SessionHost, ref: number, entry: PatternEntry, nowMs: number): void {
  const answer = (): void => {
    const patterns = host.patterns.find(asker);
    if (patterns?.isCurrent(entry) !== true) {
      const text = `a later request of this connection for pattern ${entry.pattern} took the place of this one`;
      asker.refuse(ref, new CodedError("bad_request", text));
      return;
    }
    if (!asker.takesFrames) entry.state = "lagged";
    else if (entry.state !== "live") {
      const why = tryJoin(asker, host, patterns, entry);
      if (why !== undefined) {
        refuse(asker, host, ref, entry.pattern, why, nowMs);
        return;
      }
    }
    asker.answer(ref, { epoch: "", offset: 0, recovered: false });
  };
  wait(asker, host, answer, () => !host.patterns.isFresh(entry.watch));
}

function tryJoin(
  asker: Asker,
  host: SessionHost,
  patterns: PatternSubscriptions,
  entry: PatternEntry,
): CodedError | undefined {
  // The token may have been replaced meanwhile.
  const why = whyNot(asker, host, entry.pattern, {});
  if (why !== undefined) return why;
  try {
    patterns.join(entry, asker.subscriptions.held());
    return undefined;
  } catch (cause) {
    return toCodedError(cause);
  }
}

/** Whoever is refused has no subscription, also where one was there before. */
function refuse(
  asker: Asker,
  host: SessionHost,
  ref: number,
  pattern: RoomPattern,
  why: CodedError,
  nowMs: number,
): void {
  host.patterns.find(asker)?.leave(pattern, nowMs);
  asker.refuse(ref, why);
}

function whyNot(
  asker: Asker,
  { counters }: SessionHost,
  pattern: RoomPattern,
  { after, last, state, rate, echo, members, info }: SubscribeOptions,
): CodedError | undefined {
  // First of all, as for rooms.
  if (!asker.access.rights.allowsPattern("subscribe", pattern)) {
    counters.forbidden += 1;
    return forbiddenPattern("subscribe", pattern);
  }
  const asked = [
    after !== undefined && "after",
    last !== undefined && "last",
    state === true && "state",
    rate !== undefined && rate !== "all" && "rate",
    echo === false && "echo: false",
    members === true && "members",
    info !== undefined && "info",
  ].filter((name) => name !== false);
  return asked.length > 0 ? new CodedError("bad_request", `${asked.join(", ")}: ${LIVE_ONLY}`) : undefined;
}
