import { type CloseCode, CodedError, toCodedError } from "../protocol/errors.js";
import type {
  ClientFrame,
  ClientInput,
  HistoryOptions,
  ManyItem,
  SubscribeOptions,
} from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import { type Access, forbidden, type Right, whyNotAs } from "./access.js";
import { forgetAsked, openGuarded, publishGuarded, type Visitor } from "./guarded.js";
import { begin, subscribePattern, unsubscribePattern, whenSettled } from "./pattern-requests.js";
import type { PatternOwner } from "./pattern-subscriptions.js";
import { fittingPage, presencePage } from "./presence/page.js";
import type { SessionHost } from "./session-host.js";
import { fromNowOn, type Opening, type Subscriptions } from "./subscriptions.js";

/** A session as its requests see it. */
export interface Asker extends Visitor, PatternOwner {
  readonly subscriptions: Subscriptions;
  /** False while frames of rooms are dropped: a subscription then begins when the socket has drained. */
  readonly takesFrames: boolean;
  /** False while so much waits for its socket that a subscription begins later. */
  readonly drainedEnough: boolean;
  /** Where `ref` is 0 nobody waits for it. */
  answer(ref: number, result: unknown): void;
  refuse(ref: number, error: CodedError): void;
  /** True where so many requests wait that this one was refused. */
  busy(ref: number, allowed: number): boolean;
  /** Waits for the broker, counted; the outcome is answered unless the connection is gone by then. */
  wait<T>(ref: number, outcome: Promise<T>, done: (value: T) => void): void;
  askPage(ref: number, room: RoomName, options: HistoryOptions): void;
  tellOutage(): void;
  /** Takes so many requests of what it may; why one is refused, or that it is closed for asking on and on. */
  charge(units: number, nowMs: number): CodedError | "flood" | undefined;
  close(code: CloseCode, reason: string): void;
  /** Has new rights from now on; leaves the rooms that they do not allow. */
  renew(access: Access, nowMs: number): void;
}

// Functions, not methods of the session: there is nothing to keep for any connection.

/** A pattern is laid beside all rooms and patterns that the connection has. */
const PATTERN_COST = 16;

/** What a request costs: each room of a subscribe many is one, a pattern is more, all else is one. */
export function costOf(input: ClientInput): number {
  switch (input.type) {
    case "subscribeMany":
      return Math.max(1, input.rooms.length);
    case "subscribePattern":
    case "unsubscribePattern":
      return PATTERN_COST;
    default:
      return 1;
  }
}

/**
 * What a message asks for, as far as it may: what is above the allowance is refused, and bytes that are no whole values close the
 * connection. Data are views into the bytes.
 */
export function take(
  asker: Asker,
  host: SessionHost,
  payload: Uint8Array,
  nowMs: number,
): readonly ClientInput[] {
  let inputs: readonly ClientInput[];
  try {
    inputs = asker.wire.decode(payload, host.limits);
  } catch (cause) {
    fail(asker, host, cause);
    return [];
  }
  const { counters } = host;
  const refused = new Set<ClientInput>();
  // One refusal is enough for all that ask for no answer.
  let isTold = false;
  for (const input of inputs) {
    counters.requests += 1;
    if (input.type === "subscribeMany") counters.roomsOfMany += input.rooms.length;
    const refusal = asker.charge(costOf(input), nowMs);
    if (refusal === "flood") return [];
    if (refusal === undefined) continue;
    refused.add(input);
    if (input.ref > 0 || !isTold) asker.refuse(input.ref, refusal);
    isTold ||= input.ref === 0;
  }
  return refused.size === 0 ? inputs : inputs.filter((input) => !refused.has(input));
}

/** Carries out inputs from one on, until they have cost so much or more. Returns where to go on; the end, where it is closed. */
export function carryOut(
  asker: Asker,
  host: SessionHost,
  inputs: readonly ClientInput[],
  { from, most }: { readonly from: number; readonly most: number },
  nowMs: number,
): number {
  let at = from;
  try {
    for (let left = most; left > 0; at += 1) {
      const input = inputs[at];
      if (input === undefined) break;
      left -= costOf(input);
      handle(asker, host, input, nowMs);
    }
  } catch (cause) {
    fail(asker, host, cause);
    return inputs.length;
  }
  return asker.isClosed ? inputs.length : at;
}

function fail(asker: Asker, { counters }: SessionHost, cause: unknown): void {
  const error = toCodedError(cause);
  counters.protocolErrors += 1;
  asker.refuse(0, error);
  // What was meant is unknown from here on, and guessing would be worse. A bug of ours is no fault of the client.
  if (error.code !== "internal") asker.close(4400, error.message);
  else throw cause;
}

/** Carries one request out, or refuses it with a code. */
function handle(asker: Asker, host: SessionHost, input: ClientInput, nowMs: number): void {
  switch (input.type) {
    case "invalid":
      asker.refuse(input.ref, input.error);
      break;
    case "ping":
      asker.answer(input.ref, { time: host.wallMs() });
      break;
    case "subscribe":
      whenSettled(asker, host, input.ref, () => subscribe(asker, host, input, nowMs));
      break;
    case "subscribeMany":
      whenSettled(asker, host, input.ref, () => subscribeMany(asker, host, input, nowMs));
      break;
    case "unsubscribe":
      whenSettled(asker, host, input.ref, () => unsubscribe(asker, input, nowMs));
      break;
    case "subscribePattern":
      subscribePattern(asker, host, input, nowMs);
      break;
    case "unsubscribePattern":
      unsubscribePattern(asker, host, input, nowMs);
      break;
    case "publish":
      publish(asker, host, input);
      break;
    case "history":
      history(asker, host, input);
      break;
    case "presence":
      presence(asker, host, input);
      break;
    case "authenticate":
      authenticate(asker, host, input, nowMs);
      break;
  }
}

type InputOf<T extends ClientInput["type"]> = Extract<ClientInput, { type: T }>;

function authenticate(
  asker: Asker,
  host: SessionHost,
  { ref, token }: InputOf<"authenticate">,
  nowMs: number,
): void {
  const { guard, limits, counters } = host;
  if (guard.authenticate === undefined) {
    asker.refuse(ref, new CodedError("bad_request", "authenticate: this server does not use tokens"));
    return;
  }
  if (asker.busy(ref, limits.requestsInFlight)) return;
  asker.wait(ref, guard.authenticate(token), (access) => {
    // Only now: another one of this connection may have been faster.
    const refusal = whyNotAs(asker, access, guard);
    if (refusal !== undefined) {
      asker.refuse(ref, refusal);
      return;
    }
    counters.authenticated += 1;
    asker.answer(ref, { expiresMs: Math.max(0, Math.round(access.expiresAt * 1_000 - host.wallMs())) });
    asker.renew(access, nowMs);
  });
}

/** True where it is refused. Asked before anything else, so that nothing tells of a room that is forbidden. */
function mayNot(asker: Asker, { counters }: SessionHost, ref: number, right: Right, room: RoomName): boolean {
  if (asker.access.rights.allows(right, room)) return false;
  counters.forbidden += 1;
  asker.refuse(ref, forbidden(right, room));
  return true;
}

function open(
  asker: Asker,
  host: SessionHost,
  item: ManyItem,
  options: SubscribeOptions,
  nowMs: number,
): Opening | Promise<Opening> {
  return openGuarded(asker, asker.subscriptions, host, item, options, nowMs);
}

function unsubscribe(asker: Asker, { ref, room }: InputOf<"unsubscribe">, nowMs: number): void {
  forgetAsked(asker, room);
  asker.subscriptions.close(room, nowMs, true);
  asker.answer(ref, undefined);
}

function subscribe(
  asker: Asker,
  host: SessionHost,
  { ref, room, options }: InputOf<"subscribe">,
  nowMs: number,
): void {
  if (busySubscribing(asker, host, ref)) return;
  const answer = (found: Opening): void => {
    const opening = fromNowOn(found);
    if (opening instanceof CodedError) {
      asker.refuse(ref, opening);
      return;
    }
    const { result } = opening.start;
    // In one write with what follows it in the next tick; at once where nothing may follow soon, or something else does first: what
    // is told of an outage, or who is in the room.
    const isAlone = !host.outages.isAny && options.members !== true;
    const goesAlong = asker.takesFrames && asker.drainedEnough && isAlone && ref > 0;
    if (!goesAlong) asker.answer(ref, result);
    const answer = goesAlong ? asker.wire.encode({ type: "ok", ref, result }) : undefined;
    asker.subscriptions.begin(opening, answer, !asker.takesFrames);
    asker.tellOutage();
  };
  const opening = open(asker, host, { room, after: undefined }, options, nowMs);
  const begun = (found: Opening): void => begin(asker, host, [room], () => answer(found));
  if (opening instanceof Promise) asker.wait(ref, opening, begun);
  else begun(opening);
}

function subscribeMany(
  asker: Asker,
  host: SessionHost,
  { ref, rooms, options }: InputOf<"subscribeMany">,
  nowMs: number,
): void {
  if (busySubscribing(asker, host, ref)) return;
  const answer = (found: readonly Opening[]): void => {
    const openings = found.map(fromNowOn);
    asker.answer(
      ref,
      openings.map((opening) => (opening instanceof CodedError ? refusalOf(opening) : opening.start.result)),
    );
    for (const opening of openings) {
      if (opening instanceof CodedError) host.counters.requestErrors += 1;
      else asker.subscriptions.begin(opening, undefined, !asker.takesFrames);
    }
    asker.tellOutage();
  };
  const openings = rooms.map((item) => open(asker, host, item, options, nowMs));
  const ready = openings.filter((opening): opening is Opening => !(opening instanceof Promise));
  const names = rooms.flatMap(({ room }) => (room instanceof CodedError ? [] : [room]));
  const begun = (found: readonly Opening[]): void => begin(asker, host, names, () => answer(found));
  if (ready.length === openings.length) begun(ready);
  else asker.wait(ref, Promise.all(openings), begun);
}

function refusalOf({ code, message, retryMs }: CodedError): unknown[] {
  return retryMs === undefined ? [code, message] : [code, message, retryMs];
}

/** A watchlist may come room by room, so as many subscribes as rooms may wait besides the other requests. */
function busySubscribing(asker: Asker, { limits }: SessionHost, ref: number): boolean {
  return asker.busy(ref, limits.requestsInFlight + limits.roomsPerConnection);
}

function publish(
  asker: Asker,
  host: SessionHost,
  { ref, room, data, key: given }: ClientFrame<Uint8Array> & { type: "publish" },
): void {
  const { counters, rooms, signatures, limits } = host;
  if (mayNot(asker, host, ref, "publish", room)) return;
  const settings = rooms.settingsOf(room);
  if (settings.publish !== "client") {
    const text = `room ${room} takes messages over the HTTP API only`;
    asker.refuse(ref, new CodedError("forbidden", text));
    return;
  }
  if (asker.busy(ref, limits.requestsInFlight)) return;
  const isSigned = settings.key === "sender";
  const key = isSigned ? signatures.sign(asker, room, data) : given;
  if (key instanceof CodedError) {
    asker.refuse(ref, key);
    return;
  }
  const outgoing = { room, data, key, origin: asker.id, hold: isSigned ? ("take" as const) : undefined };
  const stored = publishGuarded(asker, host, outgoing).catch((cause: unknown) => {
    counters.publishErrors += 1;
    throw cause;
  });
  asker.wait(ref, stored, (position) => {
    counters.published += 1;
    asker.answer(ref, { epoch: position.epoch, offset: position.offset });
  });
}

function presence(asker: Asker, host: SessionHost, { ref, room, options }: InputOf<"presence">): void {
  if (mayNot(asker, host, ref, "members", room)) return;
  if (host.rooms.settingsOf(room).presence === "off") {
    asker.refuse(ref, new CodedError("bad_request", "presence: the room's namespace has none"));
    return;
  }
  if (asker.busy(ref, host.limits.requestsInFlight)) return;
  asker.wait(ref, host.presence.ask(room), (view) =>
    asker.answer(ref, fittingPage(presencePage(view, options), ref, asker.wire)),
  );
}

function history(asker: Asker, host: SessionHost, { ref, room, options }: InputOf<"history">): void {
  if (mayNot(asker, host, ref, "history", room)) return;
  if (host.rooms.settingsOf(room).ephemeral) {
    asker.refuse(ref, new CodedError("bad_request", `room ${room} is ephemeral and keeps no history`));
    return;
  }
  if (!asker.busy(ref, host.limits.requestsInFlight)) asker.askPage(ref, room, options);
}
