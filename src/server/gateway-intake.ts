import { costOf as costOfOne } from "../core/requests.js";
import { CodedError } from "../protocol/errors.js";
import type { ClientInput } from "../protocol/frames.js";
import type { Floor } from "./gateway-floor.js";
import type { Connection, SessionFace } from "./gateway-socket.js";

export interface IntakeOptions {
  readonly floor: Floor;
  /** Requests that all sessions have taken so far, each room of a subscribe many one. */
  readonly workDone: () => number;
  /** Told how much a connection has asked for; why to close it for that. */
  readonly asked: (connection: Connection, count: number) => CodedError | undefined;
  /** Bytes of all that waits, see `limits.inboxBytes`. */
  readonly inboxBytes: number;
  /** Asks for a call in the next turn of the loop, after sockets were read. Default: setImmediate. */
  readonly nextTurn?: (run: () => void) => void;
}

/**
 * Requests of one connection that are carried out in one turn of the loop; each is some 20 µs. What comes with them waits, so that
 * a burst of thousands, which anybody may send, holds nobody up.
 */
export const TURN_SHARE = 32;
/** The same of all connections together, of what has just come and of what has waited each. */
export const TURN_REQUESTS = 256;
/** Where very many wait, each has this much at once: answers still share their writes. */
export const SHARE_MIN = 4;
/** What a request that waits costs besides its bytes. */
const INPUT_BYTES = 160;
/** When who had too much waiting may come back. */
const RETRY_MS = 1_000;

/** The requests of one message that wait. */
interface Parcel {
  inputs: readonly ClientInput[];
  /** The next of them. */
  at: number;
  readonly size: number;
}

interface Inbox {
  readonly parcels: Parcel[];
  /** The first that is not done. */
  head: number;
  size: number;
  /** The turn in which it was served last. */
  turn: number;
}

/**
 * Takes what connections send, each its share of every turn of the loop: those that asked for little at once, others when it is their
 * turn again. What one connection sends is carried out in its order; what it sent before it went is, too, as far as others see it.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #nextTurn: (run: () => void) => void;
  /** In the order in which they are served. */
  readonly #inboxes = new Map<Connection, Inbox>();
  #size = 0;
  #turn = 0;
  #isTurnAsked = false;
  /** Who is being read, what of its share is used in this turn, and what is left of the turn. */
  #current: Connection | undefined;
  #used = 0;
  #left = TURN_REQUESTS;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#nextTurn = options.nextTurn ?? ((run) => void setImmediate(run));
  }

  /** Connections of which something waits. */
  get waiting(): number {
    return this.#inboxes.size;
  }

  /** From the message handler: the bytes are valid during the call only. */
  receive(connection: Connection, message: ArrayBuffer, isBinary: boolean): void {
    const { session, wire } = connection;
    if (session === undefined) {
      connection.close(4400, "nothing may be sent before welcome");
      return;
    }
    if (isBinary !== wire.binary) {
      const text = `${wire.subprotocol} is spoken in ${wire.binary ? "binary" : "text"} frames only`;
      connection.send(wire.encode({ type: "error", ref: 0, code: "bad_request", text, retryMs: undefined }));
      connection.close(4400, text);
      return;
    }
    const inputs = this.#take(connection, session, new Uint8Array(message));
    const most = this.#inboxes.has(connection) ? 0 : this.#shareOf(connection);
    const at = most > 0 ? session.carryOut(inputs, 0, most, performance.now()) : 0;
    const cost = costOf(inputs, 0, at);
    this.#used += cost;
    this.#left -= cost;
    if (at >= inputs.length || connection.session === undefined) return;
    const rest = inputs.slice(at).map(detached);
    this.#keep(connection, { inputs: rest, at: 0, size: message.byteLength + rest.length * INPUT_BYTES });
  }

  /**
   * From the close handler. True: others are still to see what it sent before, and its session is closed when they have;
   * false: there is nothing, or it was closed for what it did.
   */
  outlives(connection: Connection, code: number): boolean {
    const inbox = this.#inboxes.get(connection);
    if (inbox === undefined) return false;
    if (code < APPLICATION_CODES) return true;
    this.#drop(connection, inbox);
    return false;
  }

  #shareOf(connection: Connection): number {
    if (!this.#isTurnAsked) this.#askTurn();
    if (this.#current !== connection) {
      this.#current = connection;
      this.#used = 0;
    }
    return Math.max(0, Math.min(TURN_SHARE - this.#used, this.#left));
  }

  #askTurn(): void {
    this.#isTurnAsked = true;
    this.#nextTurn(() => this.#run());
  }

  /** A new turn: those that wait have theirs. */
  #run(): void {
    this.#isTurnAsked = false;
    this.#current = undefined;
    this.#left = TURN_REQUESTS;
    this.#turn += 1;
    let left = TURN_REQUESTS;
    // The more wait, the less each has at once, so that nobody's turn is far.
    const share = Math.max(SHARE_MIN, Math.min(TURN_SHARE, Math.floor(left / this.#inboxes.size)));
    for (const [connection, inbox] of this.#inboxes) {
      if (left <= 0 || inbox.turn === this.#turn) break;
      inbox.turn = this.#turn;
      left -= this.#serve(connection, inbox, Math.min(share, left));
    }
    if (this.#inboxes.size > 0) this.#askTurn();
  }

  /** Returns what it has cost. */
  #serve(connection: Connection, inbox: Inbox, most: number): number {
    // To the end of the line.
    this.#inboxes.delete(connection);
    this.#inboxes.set(connection, inbox);
    let left = most;
    // One write for all answers.
    connection.cork(() => {
      try {
        while (left > 0 && inbox.head < inbox.parcels.length) left -= this.#goOn(connection, inbox, left);
      } catch (cause) {
        this.#options.floor.fault("intake", cause, connection.session?.id);
        this.#drop(connection, inbox);
        connection.end(1011, "internal error");
      }
    });
    if (inbox.head >= inbox.parcels.length) this.#drop(connection, inbox);
    return most - left;
  }

  /** Goes on with the first message of an inbox. Returns what it has cost, 1 at the least. */
  #goOn(connection: Connection, inbox: Inbox, most: number): number {
    const parcel = inbox.parcels[inbox.head];
    const { session } = connection;
    if (parcel === undefined || session === undefined) {
      this.#drop(connection, inbox);
      return most;
    }
    if (!connection.isOpen) {
      // Nobody would get answers or messages any more.
      parcel.inputs = parcel.inputs.slice(parcel.at).filter(isPublish);
      parcel.at = 0;
    }
    const from = parcel.at;
    parcel.at = session.carryOut(parcel.inputs, from, most, performance.now());
    const cost = Math.max(1, costOf(parcel.inputs, from, parcel.at));
    if (parcel.at < parcel.inputs.length) return cost;
    inbox.size -= parcel.size;
    this.#size -= parcel.size;
    inbox.head += 1;
    if (inbox.head >= COMPACTED) {
      inbox.parcels.splice(0, inbox.head);
      inbox.head = 0;
    }
    return cost;
  }

  /** What may be carried out of a message. */
  #take(connection: Connection, session: SessionFace, bytes: Uint8Array): readonly ClientInput[] {
    const { workDone, asked } = this.#options;
    const before = workDone();
    const inputs = session.take(bytes, performance.now());
    const error = asked(connection, workDone() - before);
    if (error === undefined) return inputs;
    refuse(connection, error);
    return [];
  }

  #keep(connection: Connection, parcel: Parcel): void {
    const inbox = this.#inboxes.get(connection) ?? { parcels: [], head: 0, size: 0, turn: this.#turn };
    inbox.parcels.push(parcel);
    inbox.size += parcel.size;
    this.#size += parcel.size;
    this.#inboxes.set(connection, inbox);
    if (!this.#isTurnAsked) this.#askTurn();
    while (this.#size > this.#options.inboxBytes) this.#closeLargest();
  }

  /** Who has most waiting makes room for all others. */
  #closeLargest(): void {
    let [largest] = this.#inboxes;
    for (const entry of this.#inboxes)
      if (largest === undefined || entry[1].size > largest[1].size) largest = entry;
    if (largest === undefined) return;
    const [connection, inbox] = largest;
    this.#options.floor.counters.inboxOverflows += 1;
    this.#drop(connection, inbox);
    refuse(connection, new CodedError("rate_limited", "too many requests wait for their turn", RETRY_MS));
  }

  #drop(connection: Connection, inbox: Inbox): void {
    if (this.#inboxes.get(connection) !== inbox) return;
    this.#inboxes.delete(connection);
    this.#size -= inbox.size;
    if (!connection.isOpen) connection.closed(performance.now());
  }
}

/** Codes from here on are this server's, or what a client closes with that wants nothing more. */
const APPLICATION_CODES = 4_000;
/** Parcels that are done and still in their array. */
const COMPACTED = 256;

function refuse(connection: Connection, { code, message: text, retryMs }: CodedError): void {
  connection.send(connection.wire.encode({ type: "error", ref: 0, code, text, retryMs }));
  connection.close(4429, text);
}

function costOf(inputs: readonly ClientInput[], from: number, to: number): number {
  let cost = 0;
  for (let at = from; at < to; at += 1) {
    const input = inputs[at];
    if (input !== undefined) cost += costOfOne(input);
  }
  return cost;
}

function isPublish(input: ClientInput): boolean {
  return input.type === "publish";
}

/** The same without a view into bytes that are about to be somebody else's. */
function detached(input: ClientInput): ClientInput {
  return input.type === "publish" ? { ...input, data: input.data.slice() } : input;
}
