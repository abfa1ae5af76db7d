import { createHash } from "node:crypto";
import { CodedError } from "../../protocol/errors.js";
import type { NatsLink } from "./connection.js";
import { ApiError, ERR_CODE, insist, isTransient, JsApi, numberOf, objectOf, reasonOf } from "./js-api.js";
import type { StreamReader } from "./stream-reader.js";
import type { Subjects } from "./subjects.js";

/** What is looked up of the stream. */
type Reads = Pick<StreamReader, "info" | "cursor">;

export interface RevokedLogOptions {
  readonly link: NatsLink;
  readonly reads: Reads;
  readonly subjects: Subjects;
  /** For so long the stream must keep each. */
  readonly seconds: number;
  /** Told what is void, in the order in which it was stored, that of this node too; the same may come again. */
  readonly onRevoked: (texts: readonly string[]) => void;
  readonly onTrouble: (text: string) => void;
}

/** A read of many at once costs a consumer; below, one request each is less. */
const MANY = 16;
const BATCH = 256;
/** An election takes 2 to 6 seconds; whoever posts waits for this. */
const POST_MS = 4_000;
const RETRY_MS = 1_000;

/**
 * Which tokens of a deployment are void, as texts that nobody here looks into. Every node reads all that is stored before it
 * serves, and what comes later when it is told that something came, after each reconnect, and from time to time.
 */
export class RevokedLog {
  readonly #options: RevokedLogOptions;
  readonly #api: JsApi;
  readonly #stream: { readonly name: string; readonly allSubjects: string };
  #created = "";
  /** All up to this number were handed over. */
  #cursor = 0;
  #reading: Promise<void> | undefined;
  /** Something came while it was read. */
  #again = false;

  constructor(options: RevokedLogOptions) {
    const { link, subjects } = options;
    this.#options = options;
    this.#api = new JsApi(link);
    this.#stream = { name: subjects.revokedStream, allSubjects: subjects.revoked("*") };
  }

  /**
   * Hands over all that is stored.
   * @throws CodedError `bad_request` where the stream is missing or keeps too little, `unavailable` at the deadline.
   */
  async begin(deadlineMs: number): Promise<void> {
    const { reads, seconds } = this.#options;
    const { name } = this.#stream;
    try {
      const { maxAgeMs } = await insist(`NATS did not tell of ${name}`, deadlineMs, (timeoutMs) =>
        reads.info(this.#stream, timeoutMs),
      );
      if (maxAgeMs > 0 && maxAgeMs < seconds * 1_000)
        throw new CodedError(
          "bad_request",
          `stream ${name} keeps revocations for ${maxAgeMs / 1_000} s, and tokens here may live for ${seconds} s ` +
            '(auth.maxTokenSeconds): run "fanwire nats provision" with the settings of nodes',
        );
    } catch (cause) {
      if (cause instanceof ApiError && cause.errCode === ERR_CODE.streamNotFound)
        throw new CodedError("bad_request", `stream ${name} is missing: run "fanwire nats provision"`);
      throw cause;
    }
    await insist("NATS did not give the revocations", deadlineMs, () => this.#read());
  }

  /** Something may have come. Never rejects: what could not be read is read at the next look. */
  async look(): Promise<void> {
    this.#again = true;
    this.#reading ??= this.#lookUntilQuiet().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  /**
   * Resolves when it is stored, and so every node will know. The same id again takes the place of what was there.
   * @throws CodedError `unavailable` where it is not, as far as is known.
   */
  async post(id: string, text: string): Promise<void> {
    const { link, subjects } = this.#options;
    const subject = subjects.revoked(createHash("sha256").update(id).digest("base64url"));
    const store = async (timeoutMs: number): Promise<string | undefined> => {
      const reply = await link.request(subject, text, timeoutMs);
      const { error } = objectOf(reply.json());
      if (error === undefined) return undefined;
      const { code, err_code, description } = objectOf(error);
      const words = String(description ?? "unknown");
      if (numberOf(err_code) === ERR_CODE.storeFailed) return words;
      throw new ApiError(numberOf(code), numberOf(err_code), words);
    };
    // An election is worth waiting for; whether and when a connection comes back nobody knows.
    const isThere = (): boolean => link.connected;
    const refusal = await insist("NATS did not store the revocation", POST_MS, store, isThere);
    if (refusal !== undefined)
      throw new CodedError("unavailable", `NATS does not store the revocation: ${refusal}`);
  }

  async #lookUntilQuiet(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        await this.#read();
      } catch (cause) {
        this.#options.onTrouble(`revocations could not be read: ${reasonOf(cause)}`);
        // Without a connection the next one is waited for.
        if (!isTransient(cause) || !this.#options.link.connected) continue;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        this.#again = true;
      }
    }
  }

  async #read(): Promise<void> {
    const info = await this.#options.reads.info(this.#stream);
    // Made anew, or put back from an older copy.
    if (info.created !== this.#created || info.lastSequence < this.#cursor) this.#cursor = 0;
    this.#created = info.created;
    if (info.lastSequence - this.#cursor > MANY) await this.#readMany();
    // A replica may be behind; only the leader knows that there is no more.
    for (let next = await this.#next(); next !== undefined; next = await this.#next()) {
      this.#options.onRevoked([next.text]);
      this.#cursor = next.sequence;
    }
  }

  async #readMany(): Promise<void> {
    const cursor = await this.#options.reads.cursor(this.#stream, this.#stream.allSubjects, this.#cursor + 1);
    try {
      for (;;) {
        const batch = await cursor.read(BATCH);
        this.#options.onRevoked(batch.map(({ data }) => Buffer.from(data).toString("utf8")));
        this.#cursor = batch.at(-1)?.sequence ?? this.#cursor;
        if (batch.length < BATCH) return;
      }
    } finally {
      cursor.close();
    }
  }

  async #next(): Promise<{ readonly sequence: number; readonly text: string } | undefined> {
    const { name, allSubjects } = this.#stream;
    try {
      const question = { next_by_subj: allSubjects, seq: this.#cursor + 1 };
      const message = objectOf((await this.#api.call(`STREAM.MSG.GET.${name}`, question)).message);
      const text = Buffer.from(String(message.data ?? ""), "base64").toString("utf8");
      return { sequence: numberOf(message.seq), text };
    } catch (cause) {
      if (cause instanceof ApiError && cause.errCode === ERR_CODE.messageNotFound) return undefined;
      throw cause;
    }
  }
}
