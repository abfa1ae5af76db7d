import { connect, type NatsConnection } from "@nats-io/transport-node";
import { parseServers } from "./connection.js";
import { until } from "./nats-server.testkit.js";

/** What a stream says of itself, as far as tests ask. */
export interface StreamReport {
  readonly created: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly state: { readonly messages: number; readonly first_seq: number; readonly last_seq: number };
  readonly cluster?: {
    readonly leader?: string;
    readonly replicas?: readonly { readonly name: string; readonly current: boolean }[];
  };
}

interface Reply {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description: string };
}

/** A connection of the test's own, with all rights, to look at servers and to break things. */
export class NatsAdmin {
  readonly connection: NatsConnection;

  private constructor(connection: NatsConnection) {
    this.connection = connection;
  }

  static async connect(servers: string | readonly string[]): Promise<NatsAdmin> {
    const { user, password, ...access } = parseServers(
      typeof servers === "string" ? servers : servers.join(","),
    );
    return new NatsAdmin(
      await connect({
        servers: [...access.servers],
        ...(user === undefined ? {} : { user, pass: password ?? "" }),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 50,
        waitOnFirstConnect: true,
        noAsyncTraces: true,
      }),
    );
  }

  /** Asks the JetStream API. @throws Error with the server's text where it answers with an error. */
  async api<T = unknown>(subject: string, body?: unknown, timeoutMs = 5_000): Promise<T> {
    const payload = body === undefined ? "" : JSON.stringify(body);
    const reply = await this.connection.request(`$JS.API.${subject}`, payload, { timeout: timeoutMs });
    const answer = reply.json<T & Reply>();
    if (answer.error !== undefined) throw new Error(`${subject}: ${answer.error.description}`);
    return answer;
  }

  /** As {@link NatsAdmin.api}, again and again until it works: elections take their time. */
  async insist<T = unknown>(subject: string, body?: unknown): Promise<T> {
    let answer: T | undefined;
    let reason: unknown;
    const ask = async (): Promise<boolean> => {
      try {
        answer = await this.api<T>(subject, body, 3_000);
        return true;
      } catch (cause) {
        reason = cause;
        return false;
      }
    };
    // A 2.10 cluster says "no suitable peers" for half a minute after its start where the machine is busy.
    const asked = until(`${subject} to be answered`, ask, 90_000);
    await asked.catch((cause: unknown) => {
      throw new Error(`${String(cause)}, at last: ${String(reason)}`);
    });
    if (answer === undefined) throw new Error(`${subject}: no answer`);
    return answer;
  }

  stream(name: string): Promise<StreamReport> {
    return this.insist<StreamReport>(`STREAM.INFO.${name}`);
  }

  /** The name of the server that leads a stream. */
  async leader(stream: string): Promise<string> {
    let leader = "";
    await until(`a leader of ${stream}`, async () => {
      leader = (await this.stream(stream)).cluster?.leader ?? "";
      return leader !== "";
    });
    return leader;
  }

  /** Another server takes the lead; resolves when it has. */
  async stepDown(stream: string): Promise<void> {
    const before = await this.leader(stream);
    await this.insist(`STREAM.LEADER.STEPDOWN.${stream}`);
    await until(`another leader of ${stream}`, async () => (await this.leader(stream)) !== before);
  }

  /** Resolves when every replica of a stream has all that the leader has. */
  async caughtUp(stream: string, replicas: number): Promise<void> {
    await until(`${replicas} current replicas of ${stream}`, async () => {
      const others = (await this.stream(stream)).cluster?.replicas ?? [];
      return others.length === replicas - 1 && others.every(({ current }) => current);
    });
  }

  /** Stores a message as any plain client would; resolves with its sequence. */
  async publish(subject: string, data: string | Uint8Array): Promise<number> {
    let sequence = 0;
    await until(`${subject} to be stored`, async () => {
      try {
        const ack = await this.connection.request(subject, data, { timeout: 1_000 });
        sequence = ack.json<{ seq?: number }>().seq ?? 0;
      } catch {
        // Between leaders nobody answers.
      }
      return sequence > 0;
    });
    return sequence;
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}
