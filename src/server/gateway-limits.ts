import type { AddressLimits } from "./gateway-doorman.js";
import type { HandshakeLimits } from "./handshake-gate.js";

/** Caps on sockets and requests, in one place; those of the protocol stand in core/limits.ts. */
export interface GatewayLimits extends HandshakeLimits, AddressLimits {
  /** WebSocket connections of this process. */
  readonly connections: number;
  /**
   * Places for TCP connections that are no WebSocket (yet), which WebSockets never take. Such connections may take what
   * WebSockets leave of {@link connections}, too. Above half of it each is closed after its reply; where no place is left of
   * either kind, new ones are closed at once.
   */
  readonly plainConnections: number;
  /** What was received of all WebSockets and waits for its turn. */
  readonly inboxBytes: number;
  /** How long a message may wait under load, so that it shares its write with others. 0: never. */
  readonly flushMsMax: number;
  /** A socket that sends nothing for this long is closed: 8 to 960, a bound of uWebSockets.js. */
  readonly idleSeconds: number;
  /** Body of one HTTP request. */
  readonly bodyBytes: number;
  /** Bodies of all HTTP requests that are being read or answered. */
  readonly bodiesBytes: number;
  /** Replies that clients have begun to take and not taken whole, all together. */
  readonly repliesBytes: number;
  /** HTTP requests that are being read or answered. */
  readonly requests: number;
  /** Path, query and headers of one HTTP request. uWebSockets.js has a bound only where they come in pieces. */
  readonly headBytes: number;
  /**
   * How long a body may take. Below the 8 to 12 s after which uWebSockets.js cuts a connection that sends less
   * than 16 KB/s without a word, so that the client is told.
   */
  readonly bodyMs: number;
  /** How long an answer may take, and then how long the client may take it at less than 16 KB/s. */
  readonly replyMs: number;
}

export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = Object.freeze({
  connections: 100_000,
  // Twenty bursts that fill what one connection may send at once.
  inboxBytes: 67_108_864,
  plainConnections: 4_096,
  // Measured: 40 to 75 µs of CPU a handshake and welcome, 80 where it resumes three rooms by 20 messages each, 170 by 200.
  // So a storm takes a sixth to a third of a core, and who is connected has the rest. Refusing one costs 40 µs.
  handshakesPerSecond: 2_000,
  handshakeLagMs: 200,
  // An office or a carrier's NAT behind one address, all of it back after a restart, is in within a minute.
  handshakesPerSecondPerAddress: 100,
  // What opens and says nothing is cut after 8 to 12 s: one address alone holds 6,000 places at the most.
  acceptsPerSecondPerAddress: 500,
  connectionsPerAddress: 5_000,
  // A fifth of what a worker takes, whoever sits behind that address.
  requestsPerSecondPerAddress: 10_000,
  httpRequestsPerSecondPerAddress: 5_000,
  // Below what a person notices; 100 writes a second and socket, some 0.7 ms of CPU, are the most then.
  flushMsMax: 10,
  // Browsers let the timers of hidden pages run once a minute.
  idleSeconds: 120,
  bodyBytes: 1_048_576,
  bodiesBytes: 67_108_864,
  repliesBytes: 134_217_728,
  requests: 4_096,
  headBytes: 16_384,
  bodyMs: 7_000,
  replyMs: 30_000,
});

/**
 * uWebSockets.js cuts a connection whose message exceeds its limit, without a close frame. So it is given this many
 * times `payloadBytes`, and what lies between is read, refused and answered `too_large`.
 */
export const HARD_PAYLOAD_FACTOR = 4;

/** What the gateway counts beyond the core's counters. */
export interface GatewayCounters {
  /** HTTP requests. */
  httpRequests: number;
  /** Bytes that waited for all sockets together, and how many of those had any, when they were looked at last. */
  waitingBytes: number;
  waitingSockets: number;
  /** HTTP requests that the gateway itself refused: too large, too slow, too many. */
  httpRefused: number;
  /** Connections cut because the client took their reply too slowly. */
  repliesCut: number;
  /** Handshakes refused for any reason. */
  upgradesRefused: number;
  /** Of these, because too many came at once. */
  handshakesOverRate: number;
  /** Of these, because the event loop was late. */
  handshakesOverLag: number;
  /** Of these, because their address made too many a second. */
  handshakesOverAddress: number;
  /** WebSockets closed at once because their subject has too many. */
  connectionsOverSub: number;
  /** Of these, because their address has too many connections. */
  connectionsOverAddress: number;
  /** WebSockets closed because their address asked for too much. */
  requestsOverAddress: number;
  /** HTTP requests refused because their address made too many a second. */
  httpOverAddress: number;
  /** HTTP requests refused because their API key made too many a second. */
  httpOverKey: number;
  /** HTTP requests refused because tokens of their subject made too many a second. */
  httpOverSub: number;
  /** TCP connections closed at once because their address opened too many a second. */
  acceptsOverAddress: number;
  /** TCP connections closed at once because there were too many. */
  connectionsRefused: number;
  /** WebSockets closed because the process ran out of open files. */
  connectionsShed: number;
  /** WebSockets closed because they had most requests waiting when all together were too many. */
  inboxOverflows: number;
  /** WebSockets closed because nothing came for too long. */
  idleCloses: number;
  /** WebSocket messages so long that the connection was cut. */
  payloadsCut: number;
  /** Tokens that let a handshake in. */
  tokensTaken: number;
  /** Handshakes refused for their token, or by a hook. */
  tokensRefused: number;
  /** Sockets closed because their token expired. */
  tokensExpired: number;
  /** Sockets closed because their token was revoked. */
  tokensRevoked: number;
  /** Times that the keys of tokens could not be fetched. */
  jwksFailures: number;
  /** Hooks that threw or took too long. */
  hooksFailed: number;
  /** Flushes that waited because the loop was busy, so that later messages came with them. */
  flushWaits: number;
  /** Exceptions in handlers. Always 0, or a bug. */
  faults: number;
}

export function createGatewayCounters(): GatewayCounters {
  return {
    httpRequests: 0,
    waitingBytes: 0,
    waitingSockets: 0,
    httpRefused: 0,
    repliesCut: 0,
    upgradesRefused: 0,
    handshakesOverRate: 0,
    handshakesOverLag: 0,
    handshakesOverAddress: 0,
    connectionsOverSub: 0,
    connectionsOverAddress: 0,
    acceptsOverAddress: 0,
    requestsOverAddress: 0,
    httpOverAddress: 0,
    httpOverKey: 0,
    httpOverSub: 0,
    connectionsRefused: 0,
    connectionsShed: 0,
    inboxOverflows: 0,
    idleCloses: 0,
    payloadsCut: 0,
    tokensTaken: 0,
    tokensRefused: 0,
    tokensExpired: 0,
    tokensRevoked: 0,
    jwksFailures: 0,
    hooksFailed: 0,
    flushWaits: 0,
    faults: 0,
  };
}
