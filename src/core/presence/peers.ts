import type { RoomName } from "../../protocol/room-name.js";
import type { Assembly, Source } from "./assembly.js";
import {
  decodeGossip,
  encodeGossip,
  type GossipMessage,
  type LogMessage,
  type Speaker,
} from "./gossip-codec.js";
import { decodeOps } from "./op-codec.js";

export interface PeerLimits {
  /** Whoever was not heard for so long is dead, and all who were there are gone. */
  readonly silentMs: number;
  /** An answer that does not come is asked for again. */
  readonly askMs: number;
  /** Hubs that are listened to. */
  readonly peers: number;
  /** Rooms and members of all of them that are kept. */
  readonly entries: number;
}

/** Running totals. */
export interface PeerCounters {
  /** Pieces that did not come, or came to something else than their sender says: each time everything was asked for once more. */
  presenceHoles: number;
  /** Hubs that fell silent or said good-bye. */
  presencePeersLost: number;
  /** Messages that are none, or of another version. */
  presenceMalformed: number;
  /** Messages that were left out because the bound of entries was reached, and hubs because that of hubs was. */
  presenceOverflows: number;
}

/** What is known of another hub's log. */
type Thread =
  /** Nothing was missed. */
  | { readonly kind: "whole" }
  /** Something was: it is asked for a snapshot, again at this time. */
  | { readonly kind: "asking"; atMs: number }
  /** The snapshot is coming: rooms that it or a change since its begin has told of; others are gone at its end. */
  | { readonly kind: "reading"; readonly told: Set<RoomName> };

interface Peer {
  readonly life: number;
  readonly source: Source;
  seq: number;
  heardMs: number;
  thread: Thread;
  /** Some of what it said was left out. */
  isCut: boolean;
}

const WHOLE: Thread = Object.freeze({ kind: "whole" });
/** Where some was left out, everything is asked for again below this share of the bound. */
const ROOM_AGAIN = 0.9;

/**
 * What other hubs have said, each as a source of the assembly. Messages may be lost, doubled and come in another order: their
 * numbers and the totals in heartbeats show it, and then everything is asked for once more. Until it has come, what is known stays,
 * and what comes is taken: it says how things are.
 */
export class Peers {
  readonly #self: Speaker;
  readonly #assembly: Assembly;
  readonly #limits: PeerLimits;
  readonly #counters: PeerCounters;
  readonly #onAsked: () => void;
  readonly #peers = new Map<string, Peer>();

  /** @param onAsked somebody asks this hub for a snapshot */
  constructor(
    self: Speaker,
    assembly: Assembly,
    limits: PeerLimits,
    counters: PeerCounters,
    onAsked: () => void,
  ) {
    this.#self = self;
    this.#assembly = assembly;
    this.#limits = limits;
    this.#counters = counters;
    this.#onAsked = onAsked;
  }

  get size(): number {
    return this.#peers.size;
  }

  /** Rooms and listed members of all of them. */
  get entries(): number {
    let entries = 0;
    for (const { source } of this.#peers.values()) entries += source.roster.entries;
    return entries;
  }

  /** A message came; bytes that are none are counted, and nothing else. */
  hear(bytes: Uint8Array, nowMs: number): void {
    let message: GossipMessage;
    try {
      message = decodeGossip(bytes);
      const { name, life } = message.from;
      if (name === this.#self.name) return;
      const known = this.#peers.get(name);
      // Of a life that is over.
      if (known !== undefined && life < known.life) return;
      if (message.kind === "ask") {
        if (message.of === this.#self.name) this.#onAsked();
      } else if (message.kind === "bye") {
        if (known !== undefined) this.#drop(name, known);
      } else {
        const peer = known?.life === life ? known : this.#meet(name, known, message, nowMs);
        if (peer !== undefined) this.#take(peer, message, nowMs);
      }
    } catch {
      this.#counters.presenceMalformed += 1;
    }
  }

  /** What is to be asked of others now. */
  asks(nowMs: number): Uint8Array[] {
    const asks: Uint8Array[] = [];
    for (const [of, { thread }] of this.#peers) {
      if (thread.kind !== "asking" || nowMs < thread.atMs) continue;
      thread.atMs = nowMs + this.#limits.askMs;
      asks.push(encodeGossip({ kind: "ask", from: this.#self, of }));
    }
    return asks;
  }

  /** Drops those that have been silent for too long. Not to be called while nobody can be heard. */
  age(nowMs: number): void {
    for (const [name, peer] of this.#peers)
      if (nowMs - peer.heardMs > this.#limits.silentMs) this.#drop(name, peer);
  }

  /** Nobody could be heard until now: their silence says nothing. */
  forgive(nowMs: number): void {
    for (const peer of this.#peers.values()) peer.heardMs = nowMs;
  }

  #meet(
    name: string,
    before: Peer | undefined,
    { from, seq, totals }: LogMessage,
    nowMs: number,
  ): Peer | undefined {
    if (before !== undefined) this.#drop(name, before);
    if (this.#peers.size >= this.#limits.peers) {
      this.#counters.presenceOverflows += 1;
      return undefined;
    }
    // As if all before had come: what it says is taken.
    const missed = totals === undefined ? seq - 1 : seq;
    const peer: Peer = {
      life: from.life,
      source: this.#assembly.add(name, false),
      seq: missed,
      heardMs: nowMs,
      thread: missed === 0 ? WHOLE : { kind: "asking", atMs: nowMs },
      isCut: false,
    };
    this.#peers.set(name, peer);
    return peer;
  }

  #take(peer: Peer, message: LogMessage, nowMs: number): void {
    peer.heardMs = nowMs;
    const { seq, totals, part } = message;
    if (totals !== undefined) {
      this.#compare(peer, seq, totals, nowMs);
      return;
    }
    // Known already: it came twice, or after one that came later.
    if (seq <= peer.seq) return;
    if (seq > peer.seq + 1) this.#ask(peer, nowMs);
    peer.seq = seq;
    if (part?.begins === true && peer.thread.kind === "asking")
      peer.thread = { kind: "reading", told: new Set() };
    if (part === undefined || peer.thread.kind !== "whole") this.#apply(peer, message);
    if (part?.ends === true && peer.thread.kind === "reading") this.#finish(peer, peer.thread.told);
  }

  #compare(peer: Peer, seq: number, totals: { rooms: number; people: number }, nowMs: number): void {
    if (seq > peer.seq) {
      peer.seq = seq;
      this.#ask(peer, nowMs);
    }
    if (peer.isCut && this.entries < this.#limits.entries * ROOM_AGAIN) {
      peer.isCut = false;
      this.#ask(peer, nowMs);
    }
    // An older one that was late says nothing of now.
    if (seq < peer.seq || peer.thread.kind !== "whole" || peer.isCut) return;
    const { rooms, people } = peer.source.roster;
    if (rooms !== totals.rooms || people !== totals.people) this.#ask(peer, nowMs);
  }

  #ask(peer: Peer, nowMs: number): void {
    this.#counters.presenceHoles += 1;
    if (peer.thread.kind !== "asking") peer.thread = { kind: "asking", atMs: nowMs };
  }

  #apply(peer: Peer, { ops }: LogMessage): void {
    const { source, thread } = peer;
    const told = thread.kind === "reading" ? thread.told : undefined;
    const isFull = peer.isCut || this.entries >= this.#limits.entries;
    if (isFull) {
      this.#counters.presenceOverflows += 1;
      peer.isCut = true;
    }
    for (const op of decodeOps(ops)) {
      // What takes no place is taken all the same.
      if (isFull && !(op.kind === "leave" || (op.kind === "count" && op.count === 0))) continue;
      this.#assembly.apply(source, op);
      told?.add(op.room);
    }
  }

  #finish(peer: Peer, told: ReadonlySet<RoomName>): void {
    for (const room of [...peer.source.roster.names()])
      if (!told.has(room)) this.#assembly.remove(peer.source, room);
    peer.thread = WHOLE;
  }

  #drop(name: string, peer: Peer): void {
    this.#counters.presencePeersLost += 1;
    this.#peers.delete(name);
    this.#assembly.drop(peer.source);
  }
}
