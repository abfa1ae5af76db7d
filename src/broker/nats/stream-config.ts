import { DUPLICATE_WINDOW_SECONDS, type StreamPlan, type StreamSet } from "./stream-plan.js";
import type { Subjects } from "./subjects.js";

/** A stream's configuration in the words of the JetStream API, as far as fanwire sets it. Times in nanoseconds. */
export interface StreamConfig {
  readonly name: string;
  readonly description: string;
  readonly subjects: readonly string[];
  readonly retention: "limits";
  readonly storage: "file";
  readonly num_replicas: number;
  readonly max_msgs: number;
  readonly max_bytes: number;
  readonly max_age: number;
  readonly max_msgs_per_subject: number;
  readonly max_msg_size: number;
  readonly max_consumers: number;
  readonly discard: "old" | "new";
  readonly duplicate_window: number;
  readonly allow_direct: boolean;
  readonly deny_delete: boolean;
  readonly republish: { readonly src: string; readonly dest: string };
}

export interface StorageOptions {
  readonly replicas: number;
  /** Of one stream; -1: as much as the server gives. */
  readonly maxBytes: number;
  /** Data of one message as nodes take it. Whatever else anybody publishes, the server refuses what is much larger. */
  readonly dataBytes: number;
  readonly revocations: RevocationBounds;
}

/** How many revocations of tokens a deployment keeps, and for how long: until the tokens have expired. */
export interface RevocationBounds {
  readonly count: number;
  readonly seconds: number;
}

/** For headers: a key of 1,024 bytes, an id, a session's name. */
const HEADER_BYTES = 8_192;

/** A subject or id of 256 characters, escaped, and headers. */
const REVOCATION_BYTES = 4_096;

/** Versions of a record that the control stream keeps, for whoever wants to know what was. */
const RECORD_VERSIONS = 8;

/** The stream of one partition of a set. */
export function partitionConfig(
  { subjects }: StreamPlan,
  { set, messages, seconds }: StreamSet,
  partition: number,
  { replicas, maxBytes, dataBytes }: StorageOptions,
): StreamConfig {
  return {
    ...COMMON,
    name: subjects.stream(set, partition),
    description: `fanwire: rooms${set.keyed ? " with state" : ""}, partition ${partition} of ${subjects.partitions}`,
    subjects: [subjects.storedIn(set, partition)],
    num_replicas: replicas,
    max_bytes: maxBytes,
    max_age: nanos(seconds),
    max_msgs_per_subject: messages,
    max_msg_size: dataBytes + HEADER_BYTES,
    republish: { src: subjects.storedIn(set, partition), dest: mapped(subjects.liveIn(set, partition)) },
  };
}

/** The deployment's records. */
export function controlConfig(subjects: Subjects, replicas: number): StreamConfig {
  return {
    ...COMMON,
    name: subjects.controlStream,
    description: "fanwire: plan and epochs of the deployment",
    subjects: [subjects.control("*")],
    num_replicas: replicas,
    max_bytes: -1,
    max_age: 0,
    max_msgs_per_subject: RECORD_VERSIONS,
    max_msg_size: -1,
    republish: { src: subjects.control("*"), dest: mapped(subjects.liveControl("*")) },
  };
}

/**
 * Which tokens are void. None gives way to another: where there are too many, more are refused. Direct reads are off, since
 * readers may do those in any stream, and subjects of tokens are none of theirs.
 */
export function revokedConfig(
  subjects: Subjects,
  { replicas, revocations: { count, seconds } }: Pick<StorageOptions, "replicas" | "revocations">,
): StreamConfig {
  return {
    ...COMMON,
    name: subjects.revokedStream,
    description: "fanwire: tokens that are void",
    subjects: [subjects.revoked("*")],
    num_replicas: replicas,
    max_msgs: count,
    max_bytes: -1,
    max_age: nanos(seconds),
    max_msgs_per_subject: 1,
    max_msg_size: REVOCATION_BYTES,
    discard: "new",
    allow_direct: false,
    republish: { src: subjects.revoked("*"), dest: mapped(subjects.liveRevoked("*")) },
  };
}

export function nanos(seconds: number): number {
  return seconds * 1_000_000_000;
}

const COMMON = {
  retention: "limits",
  storage: "file",
  max_msgs: -1,
  max_consumers: -1,
  discard: "old",
  duplicate_window: nanos(DUPLICATE_WINDOW_SECONDS),
  allow_direct: true,
  deny_delete: true,
} as const;

/** The n-th star of a destination takes what the n-th of the source matched. */
function mapped(subject: string): string {
  let star = 0;
  return subject.replaceAll("*", () => {
    star += 1;
    return `{{wildcard(${star})}}`;
  });
}
