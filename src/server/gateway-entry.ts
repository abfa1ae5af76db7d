import { randomBytes } from "node:crypto";
import { OPEN_ACCESS } from "../core/access.js";
import { type CloseCode, CodedError, type ErrorCode, toCodedError } from "../protocol/errors.js";
import { wireFor } from "../protocol/wire.js";
import { type Address, type AddressKey, textOfAddress } from "./address.js";
import type { Door, Entrance, KnockRequest } from "./auth/door.js";
import type { TokenWatch } from "./auth/token-watch.js";
import type { Admission, HandshakeRequest, House } from "./gateway-admission.js";
import { callerOf, type Doorman, type PeerRequest, type PeerSocket } from "./gateway-doorman.js";
import type { Floor } from "./gateway-floor.js";
import { Connection, type SessionFace, type Socket } from "./gateway-socket.js";
import type { SubjectCounts } from "./subject-counts.js";

export interface EntryOptions {
  readonly floor: Floor;
  readonly doorman: Doorman;
  readonly admission: Admission;
  /** WebSockets that there is room for now. */
  readonly socketsMax: () => number;
  readonly bufferBytes: number;
  readonly door: Door | undefined;
  readonly watch: TokenWatch | undefined;
  readonly subjects: SubjectCounts | undefined;
  readonly onEntered: ((session: SessionFace, address: string | undefined) => void) | undefined;
  readonly connect: (id: string, connection: Connection, access: Entrance["access"]) => SessionFace;
}

/** What of a uWebSockets.js request is used; valid during the handler only. */
export type EntryRequest = HandshakeRequest & KnockRequest & PeerRequest;

/** A handshake is let in with this connection and answered with this sub-protocol, or told why not. */
export type EntryDecision =
  | { readonly kind: "enter"; readonly connection: Connection; readonly header: string }
  | { readonly kind: "refuse"; readonly error: CodedError };

/** An HTTP request may go on, or is told why not. */
export type RequestDecision =
  | { readonly kind: "take"; readonly nowMs: number; readonly address: string | undefined }
  | { readonly kind: "refuse"; readonly error: CodedError };

/** Who is let in, and where from where somebody asks. */
interface Newcomer extends Pick<Entrance, "access"> {
  readonly address: string | undefined;
}

/** Where there is no door. */
const OPEN_ENTRANCE: Entrance = Object.freeze({ access: OPEN_ACCESS, asked: undefined });

/** Lets connections in: whose it is, whether there is room, what its token says, and what it is told. */
export class Entry {
  readonly #options: EntryOptions;
  /** Makes session ids unique over restarts, too. */
  readonly #boot = randomBytes(8).toString("base64url");
  #sessions = 0;
  /** Of whoever is being let in. */
  #entering: Entrance & Newcomer = { ...OPEN_ENTRANCE, address: undefined };

  constructor(options: EntryOptions) {
    this.#options = options;
  }

  /** Decides about a handshake within its handler; counts it where it is refused. What it throws is a bug. */
  decide(socket: PeerSocket, req: EntryRequest): EntryDecision {
    const { admission, bufferBytes } = this.#options;
    const entered = this.#letIn(
      socket,
      req,
      (nowMs) => admission.decide(req, this.#house(), nowMs),
      ({ subprotocol, header }, caller) => {
        const connection = new Connection(wireFor(subprotocol), bufferBytes, caller);
        return { kind: "enter" as const, connection, header };
      },
    );
    return entered instanceof CodedError ? { kind: "refuse", error: entered } : entered;
  }

  /** The same of a stream of events, which is made once it may come in, and open then. Returns why it may not. */
  follow(
    socket: PeerSocket,
    req: EntryRequest,
    make: (caller: AddressKey | undefined) => { readonly connection: Connection; readonly stream: Socket },
  ): CodedError | undefined {
    const { admission } = this.#options;
    const entered = this.#letIn(
      socket,
      req,
      (nowMs) => {
        const error = admission.refusalOfEvents(req, this.#house(), nowMs);
        return error === undefined ? { kind: "accept" as const } : { kind: "refuse" as const, error };
      },
      (_, caller) => make(caller),
    );
    if (entered instanceof CodedError) return entered;
    this.opened(entered.connection, entered.stream);
    return undefined;
  }

  /** What is wrong with a request to the socket's path that is no handshake. */
  refusalOf(req: HandshakeRequest): CodedError {
    const decision = this.#options.admission.check(req, this.#house());
    if (decision.kind === "accept") throw new Error("uWebSockets.js did not take a valid handshake");
    return decision.error;
  }

  /** Decides about a request of HTTP. */
  request(socket: PeerSocket, req: PeerRequest): RequestDecision {
    const { doorman } = this.#options;
    const client = doorman.clientOf(socket, req);
    const nowMs = performance.now();
    const error = doorman.request(callerOf(client), nowMs);
    return error === undefined
      ? { kind: "take", nowMs, address: this.#addressOf(client) }
      : { kind: "refuse", error };
  }

  /** From the open handler, which uWebSockets.js calls within the upgrade: so no connection needs a field for who enters. */
  opened(connection: Connection, socket: Socket): void {
    const { floor, doorman } = this.#options;
    connection.opened(socket);
    floor.connections.add(connection);
    doorman.opened(connection.caller);
    const { asked, ...newcomer } = this.#entering;
    if (asked === undefined) this.#welcome(connection, newcomer);
    else
      asked
        .then(
          () => this.#welcome(connection, newcomer),
          (cause: unknown) => this.#turnAway(connection, toCodedError(cause)),
        )
        .catch((cause: unknown) => floor.fault("welcome", cause));
  }

  /** From the close handler. */
  closed(connection: Connection): void {
    const { floor, doorman, subjects } = this.#options;
    floor.connections.delete(connection);
    doorman.closed(connection.caller);
    // It may have become somebody's since it came.
    const sub = connection.session?.access.sub;
    if (sub !== undefined) subjects?.left(sub);
  }

  /** Asks about address, house and token in this order, and remembers who enters. What is refused is counted. */
  #letIn<A extends { readonly kind: "accept" }, T>(
    socket: PeerSocket,
    req: EntryRequest,
    admit: (nowMs: number) => A | { readonly kind: "refuse"; readonly error: CodedError },
    make: (admitted: A, caller: AddressKey | undefined) => T,
  ): T | CodedError {
    const { floor, doorman, door } = this.#options;
    const client = doorman.clientOf(socket, req);
    const caller = callerOf(client);
    const nowMs = performance.now();
    const unwelcome = doorman.handshake(caller, nowMs);
    if (unwelcome !== undefined) return this.#refused(unwelcome);
    const admitted = admit(nowMs);
    if (admitted.kind === "refuse") return admitted.error;
    try {
      const address = this.#addressOf(client);
      const entrance = door?.admit(req, address) ?? OPEN_ENTRANCE;
      const made = make(admitted, caller);
      floor.plainConnections -= 1;
      this.#entering = { ...entrance, address };
      return made;
    } catch (cause) {
      if (cause instanceof CodedError) return this.#refused(cause);
      throw cause;
    }
  }

  #refused(error: CodedError): CodedError {
    this.#options.floor.counters.upgradesRefused += 1;
    return error;
  }

  #house(): House {
    const { floor, socketsMax } = this.#options;
    return { sockets: floor.connections.size, socketsMax: socketsMax(), leaving: floor.isLeaving };
  }

  #addressOf(client: Address | undefined): string | undefined {
    const isAsked = this.#options.onEntered !== undefined;
    return isAsked && client !== undefined ? textOfAddress(client) : undefined;
  }

  #welcome(connection: Connection, { access, address }: Newcomer): void {
    const { floor, subjects, connect, onEntered, watch } = this.#options;
    // It may have gone while it was decided about.
    if (!floor.connections.has(connection)) return;
    const unwelcome = access.sub === undefined ? undefined : subjects?.enter(access.sub);
    if (unwelcome !== undefined) {
      this.#turnAway(connection, unwelcome);
      return;
    }
    this.#sessions += 1;
    const session = connect(`${this.#boot}-${this.#sessions.toString(36)}`, connection, access);
    connection.session = session;
    floor.log.debug({ session: session.id }, "a connection opened");
    onEntered?.(session, address);
    watch?.entered(connection, Date.now());
  }

  #turnAway(connection: Connection, { code, message: text, retryMs }: CodedError): void {
    const { counters, log } = this.#options.floor;
    counters.upgradesRefused += 1;
    log.debug({ code }, "a handshake was refused");
    connection.send(connection.wire.encode({ type: "error", ref: 0, code, text, retryMs }));
    connection.close(closeCodeOf(code), text);
  }
}

/** How whoever is turned away after the upgrade is told. */
function closeCodeOf(code: ErrorCode): CloseCode {
  switch (code) {
    case "unauthenticated":
      return 4401;
    case "rate_limited":
      return 4429;
    case "unavailable":
    case "timeout":
      return 4503;
    case "internal":
      return 1011;
    default:
      return 4403;
  }
}
