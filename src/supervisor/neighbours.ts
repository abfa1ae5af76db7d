import type { Gossip } from "../core/ports.js";
import type { RoomName } from "../protocol/room-name.js";
import {
  decodeNeighbour,
  encodeNeighbour,
  type NeighbourMessage,
  type NodeSpeaker,
} from "./neighbour-codec.js";
import type { OtherNodes, RoomOfNode } from "./room-inspection.js";

/** Times in milliseconds. */
export interface NeighbourTimes {
  /** Between two words that a node is there. */
  readonly beat: number;
  /** Whoever was not heard for so long is no node any more. */
  readonly forget: number;
  /** Answers are waited for at least so long, as there may be nodes that were not heard yet, */
  readonly settle: number;
  /** and at most so long. */
  readonly answer: number;
}

export const NEIGHBOUR_TIMES: NeighbourTimes = Object.freeze({
  beat: 5_000,
  forget: 30_000,
  settle: 250,
  // A worker has two seconds to answer its own node.
  answer: 3_000,
});

/** Nodes that are known at once, and questions that wait or are answered at once. */
const NODES_MAX = 1_000;
const QUESTIONS_MAX = 64;

export interface NeighboursOptions {
  readonly node: string;
  readonly gossip: Gossip;
  /** What this node has of a room; undefined where that cannot be found out. Never rejects. */
  readonly inspect: (room: RoomName) => Promise<RoomOfNode | undefined>;
  readonly times?: NeighbourTimes;
}

interface Known {
  readonly life: number;
  heardMs: number;
}

interface Question {
  readonly answers: Map<string, RoomOfNode>;
  isSettled: boolean;
  readonly end: () => void;
}

/**
 * The other nodes of the deployment, as an operator's questions need them: which there are, and what each has of a room. Nodes
 * say every few seconds that they are there, so that one that does not answer can be named; all else is said when somebody asks.
 */
export class Neighbours {
  readonly #self: NodeSpeaker;
  readonly #gossip: Gossip;
  readonly #inspect: NeighboursOptions["inspect"];
  readonly #times: NeighbourTimes;
  readonly #known = new Map<string, Known>();
  readonly #questions = new Map<number, Question>();
  readonly #timer: NodeJS.Timeout;
  #wasConnected = false;
  #answering = 0;
  #ids = 0;

  constructor({ node, gossip, inspect, times = NEIGHBOUR_TIMES }: NeighboursOptions) {
    this.#self = { node, life: Math.random() };
    this.#gossip = gossip;
    this.#inspect = inspect;
    this.#times = times;
    gossip.listen((bytes) => {
      const message = decodeNeighbour(bytes);
      if (message !== undefined) this.#hear(message);
    });
    this.#timer = setInterval(() => this.#beat(), times.beat).unref();
    this.#beat();
  }

  /** What all others have of a room. */
  async ask(room: RoomName): Promise<OtherNodes> {
    if (!this.#gossip.isConnected) return this.#told(new Map(), "other nodes cannot be asked: NATS is away");
    if (this.#questions.size >= QUESTIONS_MAX)
      return this.#told(new Map(), "other nodes were not asked: too many questions wait");
    this.#ids += 1;
    const id = this.#ids;
    const answers = new Map<string, RoomOfNode>();
    const timers: NodeJS.Timeout[] = [];
    await new Promise<void>((end) => {
      const question: Question = { answers, isSettled: false, end };
      this.#questions.set(id, question);
      const settle = (): void => {
        question.isSettled = true;
        this.#endWhereWhole(question);
      };
      timers.push(setTimeout(settle, this.#times.settle), setTimeout(end, this.#times.answer));
      this.#say({ from: this.#self, kind: "who", id, room });
    });
    for (const timer of timers) clearTimeout(timer);
    this.#questions.delete(id);
    return this.#told(answers, undefined);
  }

  /** From now on nobody waits for this node; as long as it is there, it still answers. */
  leave(): void {
    clearInterval(this.#timer);
    this.#say({ from: this.#self, kind: "bye" });
  }

  #told(answers: ReadonlyMap<string, RoomOfNode>, problem: string | undefined): OtherNodes {
    const names = [...new Set([...this.#known.keys(), ...answers.keys()])].sort();
    const nodes = names.map((node) => ({ node, room: answers.get(node) }));
    return problem === undefined ? { nodes } : { nodes, problem };
  }

  #beat(): void {
    const { isConnected } = this.#gossip;
    const nowMs = performance.now();
    // While nobody can be heard, silence says nothing.
    if (!isConnected) for (const known of this.#known.values()) known.heardMs = nowMs;
    for (const [node, { heardMs }] of this.#known)
      if (nowMs - heardMs > this.#times.forget) this.#known.delete(node);
    const asks = !this.#wasConnected;
    this.#wasConnected = isConnected;
    if (isConnected) this.#say({ from: this.#self, kind: "here", asks });
  }

  #hear(message: NeighbourMessage): void {
    const { from } = message;
    // Its own words come back; and a worker that hosts the broker may have a successor of the same node.
    if (from.node === this.#self.node) return;
    const known = this.#known.get(from.node);
    if (known?.life === from.life) known.heardMs = performance.now();
    switch (message.kind) {
      case "here":
        if (known !== undefined || this.#known.size < NODES_MAX)
          this.#known.set(from.node, { life: from.life, heardMs: performance.now() });
        if (message.asks) this.#say({ from: this.#self, kind: "here", asks: false });
        break;
      case "bye":
        if (known?.life === from.life) this.#known.delete(from.node);
        break;
      case "who":
        void this.#answer(from, message.id, message.room);
        break;
      case "room":
        if (message.to.life === this.#self.life) this.#take(from.node, message.id, message.room);
        break;
    }
  }

  async #answer(to: NodeSpeaker, id: number, name: RoomName): Promise<void> {
    if (this.#answering >= QUESTIONS_MAX) return;
    this.#answering += 1;
    const room = await this.#inspect(name);
    this.#answering -= 1;
    if (room !== undefined) this.#say({ from: this.#self, kind: "room", to, id, room });
  }

  #take(node: string, id: number, room: RoomOfNode): void {
    const question = this.#questions.get(id);
    if (question === undefined || question.answers.size >= NODES_MAX) return;
    question.answers.set(node, room);
    this.#endWhereWhole(question);
  }

  #endWhereWhole({ isSettled, answers, end }: Question): void {
    if (isSettled && [...this.#known.keys()].every((node) => answers.has(node))) end();
  }

  #say(message: NeighbourMessage): void {
    this.#gossip.say(encodeNeighbour(message));
  }
}
