import type { Gossip } from "../../core/ports.js";
import type { Exchange } from "../../core/presence/exchange.js";
import { PRESENCE_GOSSIP } from "../../core/presence/gossip-codec.js";
import { OwnLog } from "../../core/presence/own-log.js";
import { type PeerLimits, Peers } from "../../core/presence/peers.js";
import type { PresenceCounters } from "./presence-counters.js";

/** How often other nodes are told what has changed. */
const SAY_MS = 250;
const BEAT_MS = 1_000;
/** Said at once: 80,000 changes a second at the most, of some 30 bytes each. More wait, each room and member once. */
const OPS_AT_ONCE = 20_000;

/** Each stands for what it keeps others from: a hub that floods, or a thousand of them. */
export const PEER_LIMITS: PeerLimits = Object.freeze({
  // Below the ten seconds in which the members of a dead node are to go, with some late heartbeats.
  silentMs: 6_000,
  askMs: 1_000,
  peers: 1_000,
  // Some 75 bytes each, and data of members.
  entries: 2_000_000,
});

export interface NodeTalkOptions {
  readonly name: string;
  readonly life: number;
  readonly exchange: Exchange;
  readonly gossip: Gossip;
  readonly counters: PresenceCounters;
}

/** What one hub says to the hubs of other nodes and hears from them. */
export class NodeTalk {
  readonly #options: NodeTalkOptions;
  readonly #log: OwnLog;
  readonly #peers: Peers;
  readonly #unlisten: () => void;
  #wasConnected = true;
  #saidMs = Number.NEGATIVE_INFINITY;
  #beatMs = Number.NEGATIVE_INFINITY;

  constructor(options: NodeTalkOptions) {
    const { name, life, exchange, gossip, counters } = options;
    this.#options = options;
    const self = { name, life };
    this.#log = new OwnLog(self);
    this.#peers = new Peers(self, exchange.assembly, PEER_LIMITS, counters, () => this.#log.askSnapshot());
    this.#unlisten = gossip.listen((bytes) => {
      // Somebody tries whether it may, or says something else on the same way.
      if (bytes[0] !== PRESENCE_GOSSIP) return;
      counters.presenceHeard += 1;
      counters.presenceHeardBytes += bytes.length;
      this.#peers.hear(bytes, performance.now());
    });
  }

  /** To be called several times a second. */
  round(nowMs: number): void {
    const { gossip } = this.#options;
    const isConnected = gossip.isConnected;
    // While nobody can be heard, what is known stands still.
    if (isConnected && !this.#wasConnected) this.#peers.forgive(nowMs);
    this.#wasConnected = isConnected;
    if (!isConnected) return;
    this.#peers.age(nowMs);
    if (nowMs - this.#saidMs < SAY_MS) return;
    this.#saidMs = nowMs;
    this.#speak(nowMs);
  }

  stop(): void {
    this.#say([this.#log.bye()]);
    this.#unlisten();
  }

  #speak(nowMs: number): void {
    const { exchange, counters } = this.#options;
    const { outgoing, assembly } = exchange;
    this.#say(this.#log.changes(outgoing?.take(assembly.local, OPS_AT_ONCE) ?? []));
    if (this.#log.owesSnapshot) {
      this.#say(this.#log.snapshot(OPS_AT_ONCE));
      if (!this.#log.owesSnapshot) counters.presenceSnapshots += 1;
    }
    this.#say(this.#peers.asks(nowMs));
    if (nowMs - this.#beatMs < BEAT_MS) return;
    this.#beatMs = nowMs;
    this.#say([this.#log.heartbeat()]);
  }

  #say(messages: readonly Uint8Array[]): void {
    const { gossip, counters } = this.#options;
    for (const bytes of messages) {
      counters.presenceSaid += 1;
      counters.presenceSaidBytes += bytes.length;
      gossip.say(bytes);
    }
  }
}
