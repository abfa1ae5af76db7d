import { createConnection, type Socket } from "node:net";
import { hostMicros } from "../../support/clock.js";
import { ownVersion } from "../../support/environment.js";
import type { AgentReply, AgentRequest } from "../agent-protocol.js";
import type { Agent } from "../fleet.js";
import type { AgentAddress } from "./address.js";
import { FleetError } from "./errors.js";
import { isProof, newNonce, proofOf } from "./secret.js";
import { FRAME_BYTES_MAX, FrameReader, type FromAgent, type FromBench, kindOf, sendFrame } from "./wire.js";

const CONNECT_MS = 10_000;
/** The quickest of so many questions tells the clock best. */
const CLOCK_QUESTIONS = 20;

interface Waiting {
  readonly resolve: (value: FromAgent) => void;
  readonly reject: (cause: Error) => void;
}

/** A client process on another machine. */
export class RemoteAgent implements Agent {
  /** Its process is not ours to give a priority. */
  readonly pid = undefined;
  readonly name: string;
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  /** Said before anybody asked: hello. */
  readonly #said: FromAgent[] = [];
  #waiting: Waiting | undefined;
  #ended: FleetError | undefined;
  #isKnown = false;
  #openFilesMax = 0;
  #clockMicros = 0;

  private constructor({ host, port }: AgentAddress) {
    this.name = `${host}:${port}`;
    this.#reader.bytesMax = FRAME_BYTES_MAX;
    this.#socket = createConnection({ host, port });
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (chunk) => this.#data(chunk));
    this.#socket.once("error", (cause: NodeJS.ErrnoException) => this.#end(cause.code ?? cause.message));
    this.#socket.once("close", () => this.#end("it closed the connection"));
  }

  /** Connects, has the other side show that it knows the secret, and sets its clock to ours. @throws FleetError */
  static async connect(address: AgentAddress, secret: string): Promise<RemoteAgent> {
    const agent = new RemoteAgent(address);
    try {
      await agent.#meet(secret);
      await agent.#setClock();
    } catch (cause) {
      agent.#socket.destroy();
      throw cause;
    }
    return agent;
  }

  /** Files that it may have open, sockets included. */
  get openFilesMax(): number {
    return this.#openFilesMax;
  }

  /** Its clock is not further off than that: half of the quickest question's way. */
  get clockMicros(): number {
    return this.#clockMicros;
  }

  /** @throws FleetError where it is gone, late, or could not do it. */
  async ask(request: AgentRequest, deadlineMs: number): Promise<AgentReply> {
    const said = await this.#exchange({ kind: "request", request }, deadlineMs);
    if (said.kind === "reply") return said.reply;
    if (said.kind === "failed") throw new FleetError("fleet_failed", `${this.name}: ${said.text}`);
    throw new FleetError("fleet_failed", `${this.name} answered ${said.kind}`);
  }

  stop(): Promise<void> {
    if (this.#socket.closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.once("close", () => resolve());
      this.#socket.destroy();
    });
  }

  async #meet(secret: string): Promise<void> {
    const hello = await this.#next(CONNECT_MS);
    if (hello.kind !== "hello") throw new FleetError("fleet_unreachable", `${this.name} is no agent`);
    if (hello.version !== ownVersion())
      throw new FleetError(
        "fleet_version",
        `the agent at ${this.name} is version ${hello.version}, this bench is ${ownVersion()}`,
      );
    const nonce = newNonce();
    const proof = proofOf("bench", secret, hello.nonce, nonce);
    const answer = await this.#exchange({ kind: "prove", nonce, proof }, CONNECT_MS);
    if (answer.kind === "refused") throw new FleetError(answer.code, `${this.name}: ${answer.text}`);
    if (answer.kind !== "welcome" || !isProof(answer.proof, proofOf("agent", secret, hello.nonce, nonce)))
      throw new FleetError("fleet_secret", `${this.name} did not show that it knows the secret`);
    this.#openFilesMax = answer.openFilesMax;
    this.#isKnown = true;
  }

  async #setClock(): Promise<void> {
    let [offsetMicros, best] = [0, Number.POSITIVE_INFINITY];
    for (let question = 0; question < CLOCK_QUESTIONS; question++) {
      const asked = hostMicros();
      const said = await this.#exchange({ kind: "clock" }, CONNECT_MS);
      const answered = hostMicros();
      if (said.kind !== "clock") throw new FleetError("fleet_failed", `${this.name} told no time`);
      if (answered - asked >= best) continue;
      best = answered - asked;
      offsetMicros = (asked + answered) / 2 - said.micros;
    }
    this.#clockMicros = best / 2;
    await this.ask({ kind: "clock", offsetMicros }, CONNECT_MS);
  }

  #exchange(value: FromBench, deadlineMs: number): Promise<FromAgent> {
    if (this.#ended === undefined) sendFrame(this.#socket, value);
    return this.#next(deadlineMs);
  }

  #next(deadlineMs: number): Promise<FromAgent> {
    const said = this.#said.shift();
    if (said !== undefined) return Promise.resolve(said);
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      if (this.#waiting !== undefined)
        return reject(new FleetError("fleet_failed", `${this.name} is still busy`));
      const timer = setTimeout(() => {
        const code = this.#isKnown ? "fleet_late" : "fleet_unreachable";
        this.#finish(new FleetError(code, `${this.name} did not answer within ${deadlineMs} ms`));
        this.#socket.destroy();
      }, deadlineMs);
      this.#waiting = {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: (cause) => {
          clearTimeout(timer);
          reject(cause);
        },
      };
    });
  }

  #data(chunk: Buffer): void {
    try {
      for (const value of this.#reader.read(chunk)) {
        if (kindOf(value) === undefined) throw new Error("a value without a kind");
        const waiting = this.#waiting;
        this.#waiting = undefined;
        if (waiting === undefined) this.#said.push(value as FromAgent);
        else waiting.resolve(value as FromAgent);
        // An agent says nothing by itself but hello.
        if (this.#said.length > 1) throw new Error("more than was asked for");
      }
    } catch {
      this.#finish(
        new FleetError(this.#isKnown ? "fleet_failed" : "fleet_unreachable", `${this.name} is no agent`),
      );
      this.#socket.destroy();
    }
  }

  #end(why: string): void {
    const [code, text] = this.#isKnown
      ? (["fleet_lost", `the agent at ${this.name} went away: ${why}`] as const)
      : (["fleet_unreachable", `no agent answers at ${this.name}: ${why}`] as const);
    this.#finish(new FleetError(code, text));
  }

  #finish(cause: FleetError): void {
    this.#ended ??= cause;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#ended);
  }
}
