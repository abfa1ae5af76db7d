import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { z } from "zod";
import { parseBlock } from "./address.js";
import { apiKeys, auth, hooks } from "./config-auth.js";
import { integer, key } from "./config-keys.js";
import { limits, memory } from "./config-limits.js";
import { broker, nats } from "./config-nats.js";
import { defaults, namespace, namespaceName } from "./config-rooms.js";
import { PROXY_TELLS } from "./trusted-proxies.js";

const log = z
  .strictObject({
    level: key(z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"), {
      description: "least severe line that is logged",
    }),
    pretty: key(z.union([z.literal("auto"), z.boolean()]).default("auto"), {
      description: "lines for people instead of JSON; auto: on a terminal",
    }),
  })
  .prefault({});

/** Hosts name themselves freely, session ids and logs do not: what is not allowed becomes "-". */
function defaultNode(): string {
  const host = hostname()
    .replace(/[^A-Za-z0-9._-]/g, "-")
    .slice(0, 48);
  return `${host}-${randomBytes(3).toString("hex")}`;
}

/** The whole configuration: types, bounds, defaults and their meaning. Everything else about it derives from here. */
export const configSchema = z.strictObject({
  host: key(
    z
      .string()
      .regex(/^[A-Za-z0-9.:_-]{1,253}$/)
      .default("127.0.0.1"),
    {
      description: "address to listen on; 0.0.0.0: every IPv4 interface, :: IPv6 too",
      allowed: "an IP address or a host name",
    },
  ),
  port: integer(0, 65_535, 9_001, "port to listen on; 0: any free one, printed at the start"),
  workers: key(z.union([z.literal("auto"), z.int().min(1).max(256)]).default("auto"), {
    description: "processes that serve sockets, all on the one port; auto: one a core",
    allowed: "auto, or integer, 1 to 256",
  }),
  hubs: key(z.union([z.literal("auto"), z.int().min(0).max(64)]).default("auto"), {
    description:
      "processes that host the broker for all workers, rooms spread over them; auto: 1, or 0 (inside the worker) where " +
      "there is one worker",
    allowed: "auto, or integer, 0 to 64; 0 with one worker only",
  }),
  admin: z
    .strictObject({
      host: key(
        z
          .string()
          .regex(/^[A-Za-z0-9.:_-]{1,253}$/)
          .default("127.0.0.1"),
        {
          description: "address of the admin port; whoever reaches it may drain this node",
          allowed: "an IP address or a host name",
        },
      ),
      port: integer(
        0,
        65_535,
        9_002,
        "admin port: the operators' page, /metrics, /livez, /readyz, /v1/node, /v1/drain; 0: any free one",
      ),
    })
    .prefault({}),
  drainSeconds: integer(0, 3_600, 10, "time over which a draining node sends its clients elsewhere"),
  watchdogMs: integer(
    500,
    600_000,
    5_000,
    "a worker or hub whose event loop stands still for longer is killed and replaced",
  ),
  node: key(
    z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,64}$/)
      .default(defaultNode),
    {
      description: "this node's name, unique in the deployment and over restarts; workers add their number",
      allowed: "1 to 64 of A-Z a-z 0-9 . _ -",
      defaultText: "<hostname>-<random>",
    },
  ),
  origins: key(
    z
      .array(
        key(z.string().refine(isOrigin), {
          description: "an origin",
          allowed:
            'an origin such as "https://app.example.com" (no path, no slash at the end), or "*" for any',
        }),
      )
      .max(1_000)
      .default([]),
    {
      description:
        "web pages that may open sockets; none: only pages of this host (programs send no Origin and may)",
      allowed: 'list of origins such as "https://app.example.com", or "*" for any',
    },
  ),
  tls: z
    .strictObject({
      cert: key(z.string().max(4_096).default(""), {
        description:
          "serve https and wss: file with the certificate and those between it and the authority, PEM",
        allowed: "path; empty: none",
        alias: "tlsCert",
      }),
      key: key(z.string().max(4_096).default(""), {
        description: "file with its private key, PEM, without a passphrase; both are read again at SIGHUP",
        allowed: "path; empty: none",
        alias: "tlsKey",
      }),
      hstsSeconds: integer(
        0,
        63_072_000,
        2_592_000,
        "with TLS: browsers that were here take nothing but https from this host, whatever the port, for so long " +
          "(Strict-Transport-Security); 0: they are not told",
      ),
    })
    .prefault({}),
  proxies: z
    .strictObject({
      trusted: key(
        z
          .array(
            key(
              z.string().refine((text) => parseBlock(text) !== undefined),
              { description: "an address block", allowed: "an address or a block such as 10.0.0.0/8" },
            ),
          )
          .max(1_000)
          .default([]),
        {
          description:
            "proxies that are believed about whose connection they hand on; with none, the other end of the connection is the client",
          allowed: "list of addresses and blocks such as 10.0.0.0/8",
        },
      ),
      tell: key(z.enum(PROXY_TELLS).default("x-forwarded-for"), {
        description:
          "how they tell it: a header that they set or append to, or version 2 of the PROXY protocol",
      }),
    })
    .prefault({}),
  apiKeys,
  auth,
  hooks,
  demo: key(z.boolean().default(false), {
    description:
      "serve the demo page at /; namespaces market and host keep state, visitors may publish to cursors",
  }),
  log,
  limits,
  broker,
  nats,
  memory,
  defaults,
  namespaces: key(z.record(namespaceName, namespace).default({}), {
    description: "settings by namespace (a room's first token); what one leaves out comes from defaults",
    allowed: 'JSON such as {"chat":{"history":{"messages":500},"publish":"client"}}',
  }),
});

/** A browser's Origin header is compared with these byte for byte, so only its own spelling is allowed. */
function isOrigin(text: string): boolean {
  if (text === "*") return true;
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s,]+$/.test(text)) return false;
  return !/^https?:/.test(text) || (URL.canParse(text) && new URL(text).origin === text);
}

type DeepReadonly<T> = T extends readonly (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** The effective configuration, every default filled in, deeply frozen. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;

/** What may be written down: any part of it. */
export type ConfigInput = DeepReadonly<z.input<typeof configSchema>>;
