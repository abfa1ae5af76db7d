import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { z } from "zod";
import { DEFAULT_MEMORY_LIMITS } from "../broker/memory-limits.js";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.js";
import { parseBlock } from "./address.js";
import { apiKeys, auth, hooks } from "./config-auth.js";
import { integer, key } from "./config-keys.js";
import { broker, nats } from "./config-nats.js";
import { defaults, namespace, namespaceName } from "./config-rooms.js";
import { DEFAULT_GATEWAY_LIMITS } from "./gateway-limits.js";
import { PROXY_TELLS } from "./trusted-proxies.js";

const KIB = 1_024;
const MIB = 1_048_576;
const GIB = 1_073_741_824;

const limit = (name: keyof Limits, min: number, max: number, description: string) =>
  integer(min, max, DEFAULT_LIMITS[name], description);

// Some of the minimums are what the client library counts on: it does not know what this server is set to.
const limits = z
  .strictObject({
    values: limit(
      "values",
      500,
      100_000,
      "requests packed into one WebSocket message, and rooms in one subscribe many",
    ),
    depth: limit("depth", 4, 256, "nesting of arrays and maps in one request or body"),
    elements: limit(
      "elements",
      4_096,
      10_000_000,
      "array elements and map entries in one request or message",
    ),
    dataBytes: limit("dataBytes", 16, 16 * MIB, "data of one message, as MessagePack"),
    keyBytes: limit("keyBytes", 1, 1_024, "UTF-8 bytes of a key"),
    payloadBytes: limit("payloadBytes", 1_024, 17 * MIB, "one inbound WebSocket message"),
    roomsPerConnection: limit("roomsPerConnection", 1, 100_000, "rooms that one connection is subscribed to"),
    requestsInFlight: limit(
      "requestsInFlight",
      1,
      100_000,
      "requests of one connection that wait for the broker",
    ),
    requestsPerSecond: limit(
      "requestsPerSecond",
      0,
      100_000,
      "requests of one connection a second, pings too, each room of a subscribe many one; two seconds' worth at once. More " +
        "are told rate_limited, and who does not stop is closed with 4429. 0: any number",
    ),
    receivedBytesPerSecond: limit(
      "receivedBytesPerSecond",
      0,
      GIB,
      "bytes that one connection sends a second, two seconds' worth at once; more as for requests. 0: any number",
    ),
    inboxBytes: integer(
      MIB,
      64 * GIB,
      DEFAULT_GATEWAY_LIMITS.inboxBytes,
      "requests of all connections of a worker that wait for their turn, in bytes: of each connection 32 are carried out in one " +
        "turn of the loop. Above, who has most of it is closed with 4429",
    ),
    bufferBytes: limit(
      "bufferBytes",
      48 * KIB,
      64 * MIB,
      "bytes waiting for one socket before frames to it are dropped",
    ),
    lowWatermarkBytes: limit(
      "lowWatermarkBytes",
      1 * KIB,
      64 * MIB,
      "replay pauses above this many waiting bytes; a lagging socket is taken back below",
    ),
    softWatermarkBytes: limit(
      "softWatermarkBytes",
      33 * KIB,
      64 * MIB,
      "a socket with more waiting is moved to slower classes where slow allows it; at least lowWatermarkBytes and two chunks",
    ),
    slowMs: limit(
      "slowMs",
      100,
      600_000,
      "a lagging socket that takes nothing for this long is closed with 4408",
    ),
    replayBytesPerTick: limit(
      "replayBytesPerTick",
      16 * KIB,
      GIB,
      "replay for all sockets of a worker together in one turn of the loop",
    ),
    ringBytes: limit(
      "ringBytes",
      64 * KIB,
      1_024 * GIB,
      "recent messages kept in a worker, all rooms together",
    ),
    ringMessages: limit("ringMessages", 1, 1_000_000, "recent messages kept in a worker, one room"),
    roomLingerMs: limit("roomLingerMs", 0, 3_600_000, "how long a room without subscribers stays open"),
    openRooms: limit("openRooms", 1, 10_000_000, "rooms open at once in a worker"),
    historyMessages: limit("historyMessages", 1, 100_000, "messages of one history request, and of a rewind"),
    conflationBytes: limit(
      "conflationBytes",
      64 * KIB,
      GIB,
      "messages that wait in a worker's conflated classes together; above, classes are flushed before their time",
    ),
    pingMs: limit("pingMs", 100, 900_000, "how often a client must send something"),
    bodyBytes: integer(512, GIB, MIB, "body of one HTTP request"),
    batchMessages: integer(1, 1_000_000, 10_000, "messages in one HTTP batch"),
    connections: integer(
      1,
      10_000_000,
      100_000,
      "sockets of this node, spread over its workers; each takes up to a quarter more than its even share, since the " +
        "kernel spreads unevenly",
    ),
    plainConnections: integer(
      16,
      1_000_000,
      4_096,
      "places of a worker for connections that are no socket (yet), besides those that sockets leave; above half each is " +
        "closed after its reply, where no place is left new ones are reset (counted: connectionsRefused)",
    ),
    flushMsMax: integer(
      0,
      1_000,
      10,
      "how long a message may wait for others under load, so that they go out in one write; 0: never",
    ),
    laneSockets: limit(
      "laneSockets",
      1,
      1_000_000,
      "sockets written to in one turn of the loop; messages for more go out in several, reads between them",
    ),
    handshakesPerSecond: integer(
      1,
      1_000_000,
      2_000,
      "WebSocket handshakes a second of a worker with a core of its own (its share of one, where workers outnumber " +
        "cores); more are told 503 with Retry-After",
    ),
    handshakeLagMs: integer(
      10,
      60_000,
      200,
      "while the event loop is later than this, handshakes are told 503 with Retry-After",
    ),
    connectionsPerAddress: integer(
      0,
      10_000_000,
      5_000,
      "sockets of this node from one client address (IPv6: one /64), spread over its workers like connections; more are told " +
        "429 with Retry-After. Not for this machine itself. 0: any number",
    ),
    connectionsPerSub: integer(
      0,
      10_000_000,
      1_000,
      "sockets of this node whose tokens have one subject, spread over its workers like connections; more are closed with 4429. " +
        "0: any number",
    ),
    handshakesPerSecondPerAddress: integer(
      0,
      1_000_000,
      100,
      "WebSocket handshakes a second of a worker from one client address, two seconds' worth at once; more are told 429 with " +
        "Retry-After. Not for this machine itself. 0: any number",
    ),
    acceptsPerSecondPerAddress: integer(
      0,
      1_000_000,
      500,
      "TCP connections a second of a worker from one address, two seconds' worth at once; more are reset. Not for this " +
        "machine itself and trusted proxies. 0: any number",
    ),
    requestsPerSecondPerAddress: integer(
      0,
      1_000_000,
      10_000,
      "requests a second of all sockets of a worker from one client address, two seconds' worth at once; who exceeds it is " +
        "closed with 4429. Not for this machine itself. 0: any number",
    ),
    httpRequestsPerSecondPerAddress: integer(
      0,
      1_000_000,
      5_000,
      "HTTP requests a second of a worker from one client address, two seconds' worth at once; more are told 429 with " +
        "Retry-After. Not for this machine itself. 0: any number",
    ),
    httpRequestsPerSecondPerKey: integer(
      0,
      1_000_000,
      20_000,
      "writing HTTP requests a second of a worker with one API key, two seconds' worth at once; more are told 429 with " +
        "Retry-After. 0: any number",
    ),
    httpRequestsPerSecondPerSub: integer(
      0,
      1_000_000,
      1_000,
      "HTTP requests a second of a worker with tokens of one subject, two seconds' worth at once; more are told 429 with " +
        "Retry-After. 0: any number",
    ),
    hubBufferBytes: integer(
      MIB,
      GIB,
      16 * MIB,
      "bytes waiting for one worker before the hub drops its flow; it reads them back from history",
    ),
    presenceMembers: limit(
      "presenceMembers",
      1,
      1_000,
      "members of a room that are listed (presence members), of 16,000 bytes of names and data at the most; above, it only counts",
    ),
    presenceInfoBytes: limit("presenceInfoBytes", 1, 1_024, "what a client may say of its member (info)"),
    // uWebSockets.js aborts the process outside of 8 to 960.
    idleSeconds: integer(8, 960, 120, "a socket that sends nothing for this long is closed"),
  })
  .prefault({});

const { bytes, rooms, keysPerRoom, ids } = DEFAULT_MEMORY_LIMITS;

const memory = z
  .strictObject({
    bytes: integer(MIB, 1_024 * GIB, bytes, "history and state of all rooms, embedded broker"),
    rooms: integer(1, 100_000_000, rooms, "rooms known at once, embedded broker"),
    keysPerRoom: integer(1, 10_000_000, keysPerRoom, "keys in one room's state, embedded broker"),
    ids: integer(1, 100_000_000, ids, "idempotency ids remembered, embedded broker"),
  })
  .prefault({});

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
      port: integer(0, 65_535, 9_002, "admin port: /livez, /readyz, /v1/node, /v1/drain; 0: any free one"),
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
