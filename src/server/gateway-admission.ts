import { CodedError } from "../protocol/errors.js";
import type { GatewayCounters } from "./gateway-limits.js";
import type { GateVerdict, HandshakeGate } from "./handshake-gate.js";
import { decideUpgrade, refusalOfPolicy, type UpgradeDecision, type UpgradePolicy } from "./upgrade.js";

/** What of a uWebSockets.js request is used; valid during the handler only. "" where a header is missing. */
export interface HandshakeRequest {
  getCaseSensitiveMethod(): string;
  getHeader(lowerCaseName: string): string;
}

/** What handshakes find. */
export interface House {
  readonly sockets: number;
  readonly socketsMax: number;
  /** Nothing new is taken any more. */
  readonly leaving: boolean;
}

export interface AdmissionOptions extends Pick<UpgradePolicy, "origins"> {
  readonly gate: HandshakeGate;
  readonly counters: GatewayCounters;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/**
 * When those may come back who find the server full or leaving: soon, since another attempt most likely comes to another
 * worker, and not together.
 */
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 1_500;

/** Decides about handshakes, and counts those refused. */
export class Admission {
  readonly #origins: readonly string[];
  readonly #gate: HandshakeGate;
  readonly #counters: GatewayCounters;
  readonly #random: () => number;

  constructor({ origins, gate, counters, random }: AdmissionOptions) {
    this.#origins = origins;
    this.#gate = gate;
    this.#counters = counters;
    this.#random = random;
  }

  /** A handshake that is to be answered now. */
  decide(req: HandshakeRequest, house: House, nowMs: number): UpgradeDecision {
    const decision = this.check(req, house);
    if (decision.kind === "refuse") return decision;
    const verdict = this.#gate.decide(nowMs);
    return verdict.kind === "admit" ? decision : { kind: "refuse", error: this.#storm(verdict) };
  }

  /** All but how many come at once. */
  check(req: HandshakeRequest, { sockets, socketsMax, leaving }: House): UpgradeDecision {
    const request = {
      method: req.getCaseSensitiveMethod(),
      host: req.getHeader("host"),
      origin: req.getHeader("origin"),
      upgrade: req.getHeader("upgrade"),
      version: req.getHeader("sec-websocket-version"),
      key: req.getHeader("sec-websocket-key"),
      protocol: req.getHeader("sec-websocket-protocol"),
    };
    const decision = decideUpgrade(request, this.#policy(socketsMax), sockets, leaving);
    if (decision.kind === "refuse") this.#counters.upgradesRefused += 1;
    return decision;
  }

  /** Why a stream of events is not to be opened now; undefined where it is. */
  refusalOfEvents(
    req: HandshakeRequest,
    { sockets, socketsMax, leaving }: House,
    nowMs: number,
  ): CodedError | undefined {
    const request = { host: req.getHeader("host"), origin: req.getHeader("origin") };
    const refusal = refusalOfPolicy(request, this.#policy(socketsMax), sockets, leaving);
    if (refusal !== undefined) {
      this.#counters.upgradesRefused += 1;
      return refusal;
    }
    const verdict = this.#gate.decide(nowMs);
    return verdict.kind === "admit" ? undefined : this.#storm(verdict);
  }

  #policy(connectionsMax: number): UpgradePolicy {
    const retryMs = Math.round(RETRY_MS_MIN + this.#random() * (RETRY_MS_MAX - RETRY_MS_MIN));
    return { origins: this.#origins, connectionsMax, retryMs };
  }

  #storm({ kind, retryMs }: Exclude<GateVerdict, { kind: "admit" }>): CodedError {
    this.#counters.upgradesRefused += 1;
    this.#counters[kind === "rate" ? "handshakesOverRate" : "handshakesOverLag"] += 1;
    const why = kind === "rate" ? "too many clients connect at once" : "this server is overloaded";
    return new CodedError("unavailable", `${why}: come back later`, retryMs);
  }
}
