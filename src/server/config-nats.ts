import { z } from "zod";
import { integer, key } from "./config-keys.js";

const SERVER = String.raw`(?:nats|tls)://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?`;

/** Where rooms live. Credentials have keys of their own, so that this one may be shown. */
export const broker = key(
  z
    .string()
    .regex(new RegExp(`^(?:memory|${SERVER}(?:,${SERVER})*)$`))
    .default("memory"),
  {
    description:
      "where rooms live: in this node's memory, or in NATS JetStream, shared by all nodes that use it",
    allowed:
      "memory, or servers of one NATS system such as nats://a:4222,nats://b:4222 (tls:// for TLS; no credentials)",
  },
);

const text = (description: string, more: { readonly secret?: boolean; readonly allowed?: string } = {}) =>
  key(z.string().max(4_096).default(""), { description, allowed: "text; empty: none", ...more });

const file = (description: string) => text(description, { allowed: "path; empty: none" });

const setName = /^[a-z][a-z0-9]{0,15}$/;

/** How NATS is reached, and what is kept there. */
export const nats = z
  .strictObject({
    user: text("user at NATS"),
    password: text("that user's password", { secret: true }),
    token: text("token instead of a user", { secret: true }),
    nkeyFile: file("file with the seed of an nkey, instead of a user"),
    credsFile: file("file with a JWT and its nkey, as nsc writes it, instead of a user"),
    caFile: file("certificate authorities to trust for TLS; none: the system's"),
    certFile: file("certificate of this client for TLS"),
    keyFile: file("private key of that certificate"),
    inboxPrefix: key(
      z
        .string()
        .regex(/^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/)
        .max(100)
        .default("_INBOX"),
      {
        description: "begins the subjects that answers come to",
        allowed: "tokens of A-Z a-z 0-9 _ - joined by dots",
      },
    ),
    prefix: key(z.string().regex(setName).default("fw"), {
      description: "begins every subject and, in capitals, every stream of this deployment",
      allowed: "1 to 16 of a-z 0-9, a letter first",
    }),
    partitions: integer(1, 1_024, 64, "streams that rooms are spread over; a change of it moves rooms"),
    replicas: key(z.union([z.literal("auto"), z.literal(1), z.literal(3), z.literal(5)]).default("auto"), {
      description:
        "copies of a stream; auto: 3 in a cluster of three servers or more, else 1; what there is stays",
      allowed: "auto | 1 | 3 | 5",
    }),
    maxBytes: integer(-1, Number.MAX_SAFE_INTEGER, -1, "disk of one stream; -1: as much as the server gives"),
    provision: key(z.enum(["auto", "never"]).default("auto"), {
      description:
        "auto: a node that starts makes what streams are missing, where its account may and nothing is lost; " +
        'never: that is up to "fanwire nats provision"',
    }),
    sets: key(z.record(z.string(), z.string().regex(setName)).default({}), {
      description:
        "namespaces that have streams of their own, by the name of the set: for one that keeps far more than others",
      allowed: 'JSON such as {"ticks":"deep"}',
    }),
  })
  .prefault({});
