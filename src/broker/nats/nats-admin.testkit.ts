import { isDeepStrictEqual } from "node:util";
import { decode } from "@msgpack/msgpack";
import { connect, createInbox, type Msg, type NatsConnection, nuid } from "@nats-io/transport-node";
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

/** A message that a stream keeps. */
export interface KeptRecord {
  readonly sequence: number;
  readonly subject: string;
  /** The data as text, where it is MessagePack of one. */
  readonly value: string;
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

  /** Of the server that it is connected to. */
  get version(): string {
    return this.connection.info?.version ?? "";
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

  /** Deletes a stream; resolves when it is gone. */
  async deleteStream(name: string): Promise<void> {
    await until(`${name} to be deleted`, async () => {
      try {
        await this.api(`STREAM.DELETE.${name}`, undefined, 2_000);
        return true;
      } catch (cause) {
        // A try whose answer was lost may have done it.
        return String(cause).includes("stream not found");
      }
    });
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

  /** Everything that a stream keeps, in order, and the number below which nothing is kept. */
  async read(stream: string): Promise<{ first: number; messages: readonly KeptRecord[] }> {
    let messages: readonly KeptRecord[] = [];
    let first = 0;
    await until(`${stream} to be read whole`, async () => {
      const { state } = await this.stream(stream);
      first = state.first_seq;
      messages = await this.#readOnce(stream, state.messages);
      // A replica may be behind, and messages may come or go meanwhile.
      const after = await this.stream(stream);
      return messages.length === state.messages && isDeepStrictEqual(after.state, state);
    });
    return { first, messages };
  }

  /** Changes some of a stream's settings, whatever fanwire wants them to be. */
  async reconfigure(stream: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
    const { config } = await this.stream(stream);
    await this.insist(`STREAM.UPDATE.${stream}`, { ...config, ...changes });
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  async #readOnce(stream: string, count: number): Promise<readonly KeptRecord[]> {
    if (count === 0) return [];
    const name = nuid.next();
    const config = { name, ack_policy: "none", deliver_policy: "all", mem_storage: true, num_replicas: 1 };
    await this.insist(`CONSUMER.CREATE.${stream}.${name}`, { stream_name: stream, config });
    const found: KeptRecord[] = [];
    for (let isMore = true; isMore && found.length < count; ) {
      const batch = await this.#pull(stream, name, Math.min(READ_BATCH, count - found.length));
      isMore = batch.length > 0;
      found.push(...batch);
    }
    await this.api(`CONSUMER.DELETE.${stream}.${name}`).catch(() => undefined);
    return found;
  }

  /** The next messages of a consumer; fewer than asked for at its end, or where something goes wrong. */
  async #pull(stream: string, consumer: string, count: number): Promise<readonly KeptRecord[]> {
    const inbox = createInbox();
    const found: KeptRecord[] = [];
    await new Promise<void>((resolve) => {
      const watch = setTimeout(resolve, READ_MS);
      this.connection.subscribe(inbox, {
        max: count,
        callback: (cause, message) => {
          // A status says that there is no more.
          const isStatus = cause !== null || message.subject === inbox;
          if (!isStatus) found.push(recordOf(message));
          if (!isStatus && found.length < count) return;
          clearTimeout(watch);
          resolve();
        },
      });
      const request = JSON.stringify({ batch: count, no_wait: true });
      this.connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, request, { reply: inbox });
    });
    return found;
  }
}

/** Few enough for a server that keeps little for a client. */
const READ_BATCH = 100;

/** A read that takes longer is begun anew. */
const READ_MS = 5_000;

function recordOf(message: Msg): KeptRecord {
  // $JS.ACK.STREAM.CONSUMER.deliveries.sequence.…
  const sequence = Number(message.reply?.split(".")[5]);
  return { sequence, subject: message.subject, value: String(contentOf(message)) };
}

/** MessagePack as nodes publish it, or JSON, or neither. */
function contentOf(message: Msg): unknown {
  for (const parse of [() => decode(message.data), () => message.json()]) {
    try {
      return parse();
    } catch {
      // The next.
    }
  }
  return message.string();
}
