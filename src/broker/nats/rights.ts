import { createInbox, headers, PermissionViolationError } from "@nats-io/transport-node";
import type { CodedError } from "../../protocol/errors.js";
import { forbidden } from "./access-trouble.js";
import type { NatsLink } from "./connection.js";
import { insist } from "./js-api.js";
import type { NamespaceSettings, StreamPlan } from "./stream-plan.js";
import { NO_ROOM, type Subjects } from "./subjects.js";

/** Subjects that a node must be allowed. */
export interface Rights {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Whether any namespace is ephemeral. */
export function hasEphemeral({ defaults, byName }: NamespaceSettings): boolean {
  return defaults.ephemeral || Object.values(byName).some(({ ephemeral }) => ephemeral);
}

/**
 * What a node needs, by one example of each kind: what it may on one partition, it may on all.
 * @param revokes Whether it shares revocations of tokens with others.
 * @param talks Whether it uses gossip.
 */
export function rightsOfNode(
  { subjects, sets }: StreamPlan,
  settings: NamespaceSettings,
  revokes: boolean,
  talks: boolean,
): Rights {
  const publish = [
    subjects.control("epochs"),
    subjects.control("purges"),
    `$JS.API.STREAM.MSG.GET.${subjects.controlStream}`,
  ];
  const subscribe = [subjects.liveControl("*"), "$JS.EVENT.ADVISORY.STREAM.*.*"];
  for (const { set } of sets) {
    const stream = subjects.stream(set, 0);
    publish.push(subjects.storedOf(set, 0, NO_ROOM, undefined));
    for (const call of ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"])
      publish.push(`$JS.API.${call}.${stream}`);
    publish.push(`$JS.API.CONSUMER.CREATE.${stream}.${NO_CONSUMER}.${subjects.storedIn(set, 0)}`);
    for (const call of ["CREATE", "MSG.NEXT", "DELETE"])
      publish.push(`$JS.API.CONSUMER.${call}.${stream}.${NO_CONSUMER}`);
    subscribe.push(subjects.liveIn(set, 0));
  }
  if (hasEphemeral(settings)) {
    publish.push(subjects.ephemeralOf(0, NO_ROOM));
    // Patterns mean rooms of any partition.
    subscribe.push(subjects.ephemeralIn);
  }
  if (talks) {
    publish.push(subjects.presence);
    subscribe.push(subjects.presence);
  }
  if (revokes) {
    const stream = subjects.revokedStream;
    publish.push(subjects.revoked(NO_ROOM));
    for (const call of ["STREAM.INFO", "STREAM.MSG.GET"]) publish.push(`$JS.API.${call}.${stream}`);
    publish.push(`$JS.API.CONSUMER.CREATE.${stream}.${NO_CONSUMER}.${subjects.revoked("*")}`);
    for (const call of ["MSG.NEXT", "DELETE"])
      publish.push(`$JS.API.CONSUMER.${call}.${stream}.${NO_CONSUMER}`);
    subscribe.push(subjects.liveRevoked("*"));
  }
  return { publish, subscribe };
}

/**
 * Finds out by trying: the server answers each try that it does not allow with an error, before it answers what comes after.
 * Nothing is stored or made by it: requests are empty, and messages ask for a stream that is none.
 * @returns Coded `forbidden`, naming every right that is missing; undefined: none is.
 * @throws Error where the connection is lost meanwhile.
 */
async function lackOfRights(link: NatsLink, rights: Rights): Promise<CodedError | undefined> {
  const { connection, inboxPrefix } = link;
  const missing: string[] = [];
  const note = (cause: Error | null): void => {
    if (cause instanceof PermissionViolationError)
      missing.push(`${cause.operation === "publish" ? "publish" : "subscribe"} to "${cause.subject}"`);
  };
  const deaf = link.onComplaint((cause) => {
    if (cause instanceof PermissionViolationError && cause.operation === "publish") note(cause);
  });
  const subscriptions = [`${createInbox(inboxPrefix)}.*`, ...rights.subscribe].map((subject) =>
    connection.subscribe(subject, { callback: note }),
  );
  try {
    const options = { headers: headers() };
    options.headers.set("Nats-Expected-Stream", NO_STREAM);
    for (const subject of rights.publish) {
      if (subject.startsWith("$JS.API.")) connection.publish(subject);
      else connection.publish(subject, "", options);
    }
    await connection.flush();
    // Complaints come by way of an iterator, some turns later.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    deaf();
    for (const subscription of subscriptions) if (!subscription.isClosed()) subscription.unsubscribe();
  }
  if (missing.length === 0) return undefined;
  const inbox = missing.some((right) => right.includes(`"${inboxPrefix ?? "_INBOX"}.`));
  return forbidden(missing, inbox ? "nats.inboxPrefix must begin what it may subscribe to" : undefined);
}

/** Whether what a node can do without is allowed. @throws CodedError `unavailable` where that cannot be found out in time. */
export async function mayGossip(
  link: NatsLink,
  { presence }: Subjects,
  deadlineMs: number,
): Promise<boolean> {
  const lack = await insist("NATS did not tell whether this user may gossip", deadlineMs, () =>
    lackOfRights(link, { publish: [presence], subscribe: [presence] }),
  );
  return lack === undefined;
}

/** Looks at the rights at the start and after each reconnect: a server cuts off whoever's rights it changes. */
export class RightsKeeper {
  readonly #link: NatsLink;
  readonly #rights: Rights;
  readonly #onLack: (text: string) => void;
  #refusal: string | undefined;

  constructor(link: NatsLink, rights: Rights, onLack: (text: string) => void) {
    this.#link = link;
    this.#rights = rights;
    this.#onLack = onLack;
  }

  /** Why this node cannot serve; undefined: its rights will do. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** @throws CodedError `forbidden` where rights are missing, `unavailable` where that cannot be found out in time. */
  async insist(deadlineMs: number): Promise<void> {
    const lack = await insist("NATS did not tell what this user may do", deadlineMs, () =>
      lackOfRights(this.#link, this.#rights),
    );
    if (lack !== undefined) throw lack;
  }

  /** Never rejects: where the connection is lost meanwhile, the next one is looked at. */
  async look(): Promise<void> {
    try {
      const lack = await lackOfRights(this.#link, this.#rights);
      this.#refusal = lack?.message;
      if (lack !== undefined) this.#onLack(lack.message);
    } catch {
      // Lost again.
    }
  }
}

const NO_CONSUMER = "none";
const NO_STREAM = "none";
