import { headers } from "@nats-io/transport-node";
import type { NatsLink } from "./connection.js";
import { ApiError, ERR_CODE, JsApi, numberOf, objectOf } from "./js-api.js";
import { type PlanRecord, parsePlanRecord } from "./plan-record.js";
import { type Purge, parsePurges, purgesText } from "./purge-record.js";
import type { Subjects } from "./subjects.js";

/** A record and its place in the control stream. */
export interface Versioned<T> {
  readonly value: T;
  /** 0: there is none yet. */
  readonly sequence: number;
}

/**
 * The deployment's records, which all nodes share: `plan` says what was provisioned, `epochs` which streams began a
 * new numbering that their own data does not show (see epoch-keeper.ts), `purges` which rooms were purged by themselves
 * (see purges.ts). Written by compare and set.
 */
export class Control {
  readonly #link: NatsLink;
  readonly #api: JsApi;
  readonly #subjects: Subjects;

  constructor(link: NatsLink, subjects: Subjects) {
    this.#link = link;
    this.#api = new JsApi(link);
    this.#subjects = subjects;
  }

  /** @throws Error where this version cannot read it; as {@link JsApi.call}. */
  async readPlan(timeoutMs?: number): Promise<Versioned<PlanRecord> | undefined> {
    const record = await this.#read("plan", timeoutMs);
    return record === undefined ? undefined : { ...record, value: parsePlanRecord(record.value) };
  }

  /** False: somebody else wrote it after that sequence. */
  writePlan(plan: PlanRecord, after: number): Promise<boolean> {
    return this.#write("plan", JSON.stringify(plan), after);
  }

  /** By stream: what marks its present numbering. */
  async readEpochs(timeoutMs?: number): Promise<Versioned<ReadonlyMap<string, string>>> {
    const record = await this.#read("epochs", timeoutMs);
    if (record === undefined) return { value: new Map(), sequence: 0 };
    const marks = Object.entries(objectOf(JSON.parse(record.value)));
    return {
      value: new Map(marks.map(([stream, mark]) => [stream, String(mark)])),
      sequence: record.sequence,
    };
  }

  /** False: somebody else wrote it after that sequence. */
  writeEpochs(marks: ReadonlyMap<string, string>, after: number): Promise<boolean> {
    return this.#write("epochs", JSON.stringify(Object.fromEntries(marks)), after);
  }

  /** @throws As {@link parsePurges}, and {@link JsApi.call}. */
  async readPurges(timeoutMs?: number): Promise<Versioned<readonly Purge[]>> {
    const record = await this.#read("purges", timeoutMs);
    return record === undefined
      ? { value: [], sequence: 0 }
      : { ...record, value: parsePurges(record.value) };
  }

  /** False: somebody else wrote it after that sequence. */
  writePurges(purges: readonly Purge[], after: number): Promise<boolean> {
    return this.#write("purges", purgesText(purges), after);
  }

  async #read(record: string, timeoutMs?: number): Promise<Versioned<string> | undefined> {
    const body = { last_by_subj: this.#subjects.control(record) };
    try {
      const answer = await this.#api.call(`STREAM.MSG.GET.${this.#subjects.controlStream}`, body, timeoutMs);
      const message = objectOf(answer.message);
      const value = Buffer.from(String(message.data ?? ""), "base64").toString("utf8");
      return { value, sequence: numberOf(message.seq) };
    } catch (cause) {
      if (cause instanceof ApiError && NOT_THERE.includes(cause.errCode)) return undefined;
      throw cause;
    }
  }

  async #write(record: string, text: string, after: number): Promise<boolean> {
    const condition = headers();
    condition.set("Nats-Expected-Last-Subject-Sequence", String(after));
    const reply = await this.#link.request(this.#subjects.control(record), text, WRITE_MS, condition);
    const { error } = objectOf(reply.json());
    if (error === undefined) return true;
    const { code, err_code, description } = objectOf(error);
    if (numberOf(err_code) === ERR_CODE.wrongLastSequence) return false;
    throw new ApiError(numberOf(code), numberOf(err_code), String(description ?? "unknown"));
  }
}

const WRITE_MS = 2_000;
const NOT_THERE: readonly number[] = [ERR_CODE.messageNotFound, ERR_CODE.streamNotFound];
