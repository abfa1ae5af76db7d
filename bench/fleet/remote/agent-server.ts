import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { hostname } from "node:os";
import { Child } from "../../support/child.js";
import { hostMicros } from "../../support/clock.js";
import { openFilesMax, ownVersion } from "../../support/environment.js";
import type { AgentReply, AgentRequest } from "../agent-protocol.js";
import { isProof, newNonce, proofOf } from "./secret.js";
import { FRAME_BYTES_MAX, FrameReader, type FromAgent, kindOf, sendFrame } from "./wire.js";

export interface AgentServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly secret: string;
  /** Client processes at once, of all benches together. */
  readonly processes: number;
  readonly tell: (text: string) => void;
}

/** Within which the other side has to show that it knows the secret. */
const PROVE_MS = 5_000;
/** Connections at once, those that have shown nothing yet included. */
const STRANGERS_MAX = 32;
/** A bench waits for an answer no longer than that. */
const ASK_MS = 60_000;

/**
 * Lets benches elsewhere start clients here: a client process for every connection that knows the secret, and it ends with
 * that connection. What is asked is done by the process; here it is only handed on.
 */
export class AgentServer {
  readonly #server: Server;
  readonly #options: AgentServerOptions;
  readonly #sessions = new Set<Session>();

  private constructor(options: AgentServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#take(socket));
    this.#server.maxConnections = options.processes + STRANGERS_MAX;
  }

  /** @throws Error where it cannot listen there. */
  static async listen(options: AgentServerOptions): Promise<AgentServer> {
    const agents = new AgentServer(options);
    agents.#server.listen(options.port, options.host);
    await once(agents.#server, "listening");
    return agents;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    await Promise.all([...this.#sessions].map((session) => session.end()));
    await closed;
  }

  #take(socket: Socket): void {
    const { secret, processes, tell } = this.#options;
    const session = new Session(socket, secret, {
      isFull: () => [...this.#sessions].filter(({ isKnown }) => isKnown).length >= processes,
      ended: (why) => {
        this.#sessions.delete(session);
        tell(why);
      },
      tell,
    });
    this.#sessions.add(session);
  }
}

interface SessionHost {
  readonly isFull: () => boolean;
  readonly ended: (why: string) => void;
  readonly tell: (text: string) => void;
}

class Session {
  readonly #socket: Socket;
  readonly #secret: string;
  readonly #host: SessionHost;
  readonly #reader = new FrameReader();
  readonly #nonce = newNonce();
  readonly #name: string;
  readonly #timer: NodeJS.Timeout;
  #child: Child<AgentRequest, AgentReply> | undefined;
  #why = "went away";
  #stopped: Promise<void> = Promise.resolve();

  constructor(socket: Socket, secret: string, host: SessionHost) {
    this.#socket = socket;
    this.#secret = secret;
    this.#host = host;
    this.#name = `${socket.remoteAddress ?? "?"}:${socket.remotePort ?? 0}`;
    this.#timer = setTimeout(() => this.#cut("did not show in time that it knows the secret"), PROVE_MS);
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#data(chunk));
    socket.on("error", (cause) => {
      this.#why = cause.message;
    });
    socket.once("close", () => this.#closed());
    this.#send({ kind: "hello", version: ownVersion(), nonce: this.#nonce });
  }

  /** The other side has shown that it knows the secret. */
  get isKnown(): boolean {
    return this.#child !== undefined;
  }

  async end(): Promise<void> {
    this.#cut("this agent ends");
    if (!this.#socket.closed) await once(this.#socket, "close");
    await this.#stopped;
  }

  #closed(): void {
    clearTimeout(this.#timer);
    // Its connections end with it.
    this.#stopped = this.#child?.stop() ?? Promise.resolve();
    this.#host.ended(`${this.#name}: ${this.#why}`);
  }

  #cut(why: string): void {
    this.#why = why;
    this.#socket.destroy();
  }

  #data(chunk: Buffer): void {
    try {
      for (const value of this.#reader.read(chunk)) this.#value(value);
    } catch (cause) {
      this.#cut(cause instanceof Error ? cause.message : String(cause));
    }
  }

  /** What it says is believed when it has shown that it knows the secret: it is a bench of this version then. */
  #value(value: unknown): void {
    const kind = kindOf(value);
    if (this.#child === undefined) {
      if (kind === "prove") this.#prove(value as { nonce: unknown; proof: unknown });
      else this.#cut("said something before it had shown that it knows the secret");
    } else if (kind === "clock") this.#send({ kind: "clock", micros: hostMicros() });
    else if (kind === "request") this.#ask(this.#child, (value as { request: AgentRequest }).request);
    else this.#cut(`said ${JSON.stringify(kind)}`);
  }

  #prove({ nonce, proof }: { nonce: unknown; proof: unknown }): void {
    const known = typeof nonce === "string" && nonce.length <= 128 ? nonce : "";
    if (known === "" || !isProof(proof, proofOf("bench", this.#secret, this.#nonce, known))) {
      this.#refuse("fleet_secret", "the agent has another secret");
      return;
    }
    if (this.#host.isFull()) {
      this.#refuse("fleet_full", "the agent runs as many client processes as it may (--processes)");
      return;
    }
    clearTimeout(this.#timer);
    this.#child = new Child("fleet/agent.js", { execArgv: ["--max-semi-space-size=16"] });
    this.#reader.bytesMax = FRAME_BYTES_MAX;
    this.#host.tell(`${this.#name}: a client process for it`);
    const own = proofOf("agent", this.#secret, this.#nonce, known);
    this.#send({ kind: "welcome", proof: own, openFilesMax: openFilesMax(), host: hostname() });
  }

  #refuse(code: "fleet_secret" | "fleet_full", text: string): void {
    this.#why = `refused: ${text}`;
    this.#send({ kind: "refused", code, text });
    this.#socket.end();
  }

  #ask(child: Child<AgentRequest, AgentReply>, request: AgentRequest): void {
    child.ask(request, ASK_MS).then(
      (reply) => this.#send({ kind: "reply", reply }),
      (cause: unknown) =>
        this.#send({ kind: "failed", text: cause instanceof Error ? cause.message : String(cause) }),
    );
  }

  #send(value: FromAgent): void {
    if (this.#socket.writable) sendFrame(this.#socket, value);
  }
}
