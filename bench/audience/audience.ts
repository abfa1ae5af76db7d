import { Child } from "../support/child.js";
import { delay } from "../support/clock.js";
import { Refused } from "../support/refused.js";
import type { AudiencePhase, AudiencePlan, AudienceReply, AudienceRequest } from "./audience-protocol.js";

const CONNECT_DEADLINE_MS = 150_000;
const ANSWER_DEADLINE_MS = 30_000;

/** A process of clients. Those of one bench have different numbers, and with them source addresses of their own. */
export class Audience {
  readonly #child: Child<AudienceRequest, AudienceReply>;
  readonly #number: number;

  constructor(number: number, core?: number) {
    this.#number = number;
    this.#child = new Child("audience/audience-agent.js", { core });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Resolves when all are subscribed. @throws Refused */
  async connect(plan: Omit<AudiencePlan, "localAddress">): Promise<void> {
    // What listens on this machine alone is reached from any such address, others from the machine's own.
    const localAddress = plan.host.startsWith("127.") ? `127.77.0.${this.#number + 1}` : undefined;
    const request = { kind: "connect", plan: { ...plan, localAddress } } as const;
    const reply = await this.#child.ask(request, CONNECT_DEADLINE_MS);
    if (reply.kind === "refused") throw new Refused(reply.refusal);
  }

  /** What came within this time. @throws Refused @throws Error for what should not have. */
  async watch(seconds: number): Promise<AudiencePhase> {
    await this.phase();
    await delay(seconds * 1_000);
    return this.phase();
  }

  async phase(): Promise<AudiencePhase> {
    const reply = await this.#child.ask({ kind: "phase" }, ANSWER_DEADLINE_MS);
    if (reply.kind !== "phase") throw new Error(`the audience answered ${reply.kind}`);
    if (reply.phase.refusal !== undefined) throw new Refused(reply.phase.refusal);
    if (reply.phase.failures.length > 0) throw new Error(reply.phase.failures.join("; "));
    return reply.phase;
  }

  async setReading(reading: boolean): Promise<void> {
    await this.#child.ask({ kind: "read", reading }, ANSWER_DEADLINE_MS);
  }

  async disconnect(): Promise<void> {
    await this.#child.ask({ kind: "disconnect" }, ANSWER_DEADLINE_MS);
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }
}
