import { CodedError } from "../protocol/errors.js";
import { type Address, type AddressKey, addressOfBytes, isLoopbackAddress, keyOfAddress } from "./address.js";
import type { GatewayCounters } from "./gateway-limits.js";
import { RateBook } from "./rate-book.js";
import { Tally } from "./tally.js";
import { type ProxySettings, TrustedProxies } from "./trusted-proxies.js";

/** What one client address (an IPv6 /64) may take of a worker. 0: any number. */
export interface AddressLimits {
  /** TCP connections a second, counted by who connects, so not for trusted proxies. */
  readonly acceptsPerSecondPerAddress: number;
  readonly handshakesPerSecondPerAddress: number;
  /** Requests a second of all WebSockets together. */
  readonly requestsPerSecondPerAddress: number;
  /** Requests of HTTP a second. */
  readonly httpRequestsPerSecondPerAddress: number;
  /** WebSockets open at once. */
  readonly connectionsPerAddress: number;
}

/** What of a uWebSockets.js response is used. Addresses are empty where there is none. */
export interface PeerSocket {
  getRemoteAddress(): ArrayBuffer;
  getProxiedRemoteAddress(): ArrayBuffer;
}

/** What of a uWebSockets.js request is used. */
export interface PeerRequest {
  forEach(take: (name: string, value: string) => void): void;
}

export interface DoormanOptions {
  readonly proxies: ProxySettings;
  readonly limits: AddressLimits;
  readonly counters: GatewayCounters;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** Whoever has all connections of an address waits for one of them to close; soon enough for who comes back after a crash. */
const FULL_RETRY_MS = 5_000;
const JITTER_MS = 1_000;

/** What is held against a client; undefined for this machine itself, which nothing is held against. */
export function callerOf(client: Address | undefined): AddressKey | undefined {
  return client === undefined || isLoopbackAddress(client) ? undefined : keyOfAddress(client);
}

/**
 * Knows whose connection it is, and holds each address to what it may take. This machine itself (loopback) is never
 * held to anything: a proxy here that is not configured as trusted would make everybody one client.
 */
export class Doorman {
  readonly #proxies: TrustedProxies;
  readonly #limits: AddressLimits;
  readonly #counters: GatewayCounters;
  readonly #random: () => number;
  readonly #accepts: RateBook<AddressKey>;
  readonly #handshakes: RateBook<AddressKey>;
  readonly #requests: RateBook<AddressKey>;
  readonly #asked: RateBook<AddressKey>;
  readonly #connections = new Tally<AddressKey>();

  constructor({ proxies, limits, counters, random }: DoormanOptions) {
    this.#proxies = new TrustedProxies(proxies);
    this.#limits = limits;
    this.#counters = counters;
    this.#random = random;
    this.#accepts = new RateBook(limits.acceptsPerSecondPerAddress);
    this.#handshakes = new RateBook(limits.handshakesPerSecondPerAddress);
    this.#asked = new RateBook(limits.requestsPerSecondPerAddress);
    this.#requests = new RateBook(limits.httpRequestsPerSecondPerAddress);
  }

  /** Addresses that something is known of. */
  get size(): number {
    return (
      this.#accepts.size +
      this.#handshakes.size +
      this.#requests.size +
      this.#asked.size +
      this.#connections.size
    );
  }

  /** A TCP connection. False: cut it. */
  accepts(socket: PeerSocket, nowMs: number): boolean {
    if (this.#limits.acceptsPerSecondPerAddress === 0) return true;
    const peer = addressOfBytes(new Uint8Array(socket.getRemoteAddress()));
    if (peer === undefined || isLoopbackAddress(peer) || this.#proxies.trusts(peer)) return true;
    if (this.#accepts.take(keyOfAddress(peer), nowMs) === 0) return true;
    this.#counters.acceptsOverAddress += 1;
    return false;
  }

  /** The client of a request. Undefined: its connection is gone. */
  clientOf(socket: PeerSocket, request: PeerRequest): Address | undefined {
    const peer = addressOfBytes(new Uint8Array(socket.getRemoteAddress()));
    if (peer === undefined) return undefined;
    return this.#proxies.clientOf({
      peer,
      proxied: () => addressOfBytes(new Uint8Array(socket.getProxiedRemoteAddress())),
      lines: (wanted) => {
        const lines: string[] = [];
        request.forEach((name, value) => {
          if (name === wanted) lines.push(value);
        });
        return lines;
      },
    });
  }

  /** A handshake, before anything else is done about it; undefined where it may go on. */
  handshake(caller: AddressKey | undefined, nowMs: number): CodedError | undefined {
    if (caller === undefined) return undefined;
    const { connectionsPerAddress, handshakesPerSecondPerAddress } = this.#limits;
    const waitMs = this.#handshakes.take(caller, nowMs);
    if (waitMs > 0) {
      this.#counters.handshakesOverAddress += 1;
      return this.#refusal(`${handshakesPerSecondPerAddress} handshakes a second`, waitMs);
    }
    if (connectionsPerAddress === 0 || this.#connections.of(caller) < connectionsPerAddress) return undefined;
    this.#counters.connectionsOverAddress += 1;
    return this.#refusal(`${connectionsPerAddress} connections at once`, FULL_RETRY_MS);
  }

  /** A request of HTTP, before anything else is done about it; undefined where it may go on. */
  request(caller: AddressKey | undefined, nowMs: number): CodedError | undefined {
    if (caller === undefined) return undefined;
    const waitMs = this.#requests.take(caller, nowMs);
    if (waitMs === 0) return undefined;
    this.#counters.httpOverAddress += 1;
    return this.#refusal(`${this.#limits.httpRequestsPerSecondPerAddress} HTTP requests a second`, waitMs);
  }

  /** Requests of a WebSocket that were taken; what to close it with where its address asked for too much. */
  asked(caller: AddressKey | undefined, count: number, nowMs: number): CodedError | undefined {
    if (caller === undefined || count === 0) return undefined;
    const waitMs = this.#asked.take(caller, nowMs, count);
    if (waitMs === 0) return undefined;
    this.#counters.requestsOverAddress += 1;
    return this.#refusal(`${this.#limits.requestsPerSecondPerAddress} requests a second`, waitMs);
  }

  opened(caller: AddressKey | undefined): void {
    if (caller !== undefined) this.#connections.opened(caller);
  }

  closed(caller: AddressKey | undefined): void {
    if (caller !== undefined) this.#connections.closed(caller);
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    this.#accepts.sweep(nowMs);
    this.#handshakes.sweep(nowMs);
    this.#requests.sweep(nowMs);
    this.#asked.sweep(nowMs);
  }

  #refusal(allowed: string, waitMs: number): CodedError {
    const retryMs = Math.round(waitMs + this.#random() * JITTER_MS);
    return new CodedError("rate_limited", `an address may have ${allowed} here`, retryMs);
  }
}
