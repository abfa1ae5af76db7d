import { DEFAULT_ROOM_SETTINGS, type RoomSettings } from "../core/settings.js";
import { CHUNK_BYTES } from "../protocol/frames.js";
import { ROOM_BYTES_MAX } from "../protocol/room-name.js";
import type { Config } from "./config-schema.js";
import { isLoopbackHost } from "./loopback.js";

/** Something wrong between keys: the key to blame, and what is allowed. */
export interface RuleBreak {
  readonly path: readonly string[];
  readonly allowed: string;
}

/** A check over several keys; it is skipped where one of them is wrong by itself. */
export interface Rule {
  /** Keys that the rule reads, or sections of them. */
  readonly keys: readonly string[];
  readonly check: (config: Config) => readonly RuleBreak[];
}

/** What a publish takes in a frame besides data and key: heads, code, ref and room. */
const PUBLISH_OVERHEAD_BYTES = 16 + ROOM_BYTES_MAX;

export const RULES: readonly Rule[] = [
  rule("lowWatermarkBytes", "bufferBytes", (low, buffer) =>
    // Or the chunk of replay that is sent below the watermark would fill the socket, and answers to it be dropped.
    low + 2 * CHUNK_BYTES <= buffer
      ? undefined
      : `limits.bufferBytes (${buffer}) less two chunks of ${CHUNK_BYTES} bytes at the most`,
  ),
  rule("receivedBytesPerSecond", "payloadBytes", (bytes, payload) =>
    bytes === 0 || bytes >= payload ? undefined : `0, or at least limits.payloadBytes (${payload})`,
  ),
  rule("dataBytes", "bufferBytes", (data, buffer) =>
    data < buffer ? undefined : `below limits.bufferBytes (${buffer}), or no socket can take it`,
  ),
  rule("dataBytes", "ringBytes", (data, ring) =>
    data <= ring ? undefined : `at most limits.ringBytes (${ring})`,
  ),
  rule("dataBytes", "bodyBytes", (data, body) =>
    data <= body ? undefined : `at most limits.bodyBytes (${body})`,
  ),
  rule("pingMs", "idleSeconds", (ping, idle) =>
    ping < idle * 1_000 ? undefined : `below limits.idleSeconds (${idle} s), or idle clients are cut off`,
  ),
  {
    keys: ["limits.dataBytes", "limits.keyBytes", "limits.payloadBytes"],
    check: ({ limits }) => {
      const most = limits.payloadBytes - limits.keyBytes - PUBLISH_OVERHEAD_BYTES;
      if (limits.dataBytes <= most) return [];
      const allowed = `at most ${most}: limits.payloadBytes less room, key and heads of the frame`;
      return [{ path: ["limits", "dataBytes"], allowed }];
    },
  },
  {
    keys: ["limits.dataBytes", "memory.bytes"],
    check: ({ limits, memory }) =>
      // State has a quarter of it and must hold one message at least.
      limits.dataBytes <= memory.bytes / 8
        ? []
        : [{ path: ["limits", "dataBytes"], allowed: `at most an eighth of memory.bytes (${memory.bytes})` }],
  },
  {
    keys: ["admin", "apiKeys"],
    check: ({ admin, apiKeys }) =>
      apiKeys.length > 0 || isLoopbackHost(admin.host)
        ? []
        : [
            {
              path: ["admin", "host"],
              allowed: "a loopback address, or any with an API key configured (apiKeys)",
            },
          ],
  },
  {
    keys: ["tls"],
    check: ({ tls }) =>
      (tls.cert === "") === (tls.key === "")
        ? []
        : [
            {
              path: ["tls", tls.cert === "" ? "cert" : "key"],
              allowed: "a path: tls.cert and tls.key, or neither",
            },
          ],
  },
  {
    keys: ["tls", "proxies"],
    check: ({ tls, proxies }) =>
      tls.cert === "" || proxies.trusted.length === 0 || proxies.tell !== "proxy-protocol"
        ? []
        : // Its header comes before TLS, where nobody here looks for it.
          [
            {
              path: ["proxies", "tell"],
              allowed: "a header where TLS ends here (tls.cert); the PROXY protocol without",
            },
          ],
  },
  {
    keys: ["workers", "hubs"],
    check: ({ workers, hubs }) =>
      hubs === 0 && workers !== 1
        ? [
            {
              path: ["hubs"],
              allowed: "auto, or 1 to 64: only with workers 1 can the broker be inside the worker",
            },
          ]
        : [],
  },
  {
    keys: ["nats"],
    check: ({ nats }) => {
      const ways = [nats.user, nats.token, nats.nkeyFile, nats.credsFile].filter((way) => way !== "");
      if (ways.length > 1)
        return [
          { path: ["nats"], allowed: "at most one of nats.user, nats.token, nats.nkeyFile, nats.credsFile" },
        ];
      if ((nats.user === "") !== (nats.password === ""))
        return [{ path: ["nats", "user"], allowed: "user and password, or neither" }];
      if ((nats.certFile === "") !== (nats.keyFile === ""))
        return [{ path: ["nats", "certFile"], allowed: "certFile and keyFile, or neither" }];
      return [];
    },
  },
  {
    keys: ["auth"],
    check: ({ auth }) =>
      [auth.secret, auth.keyFile, auth.jwksUrl].filter((source) => source !== "").length > 1
        ? [{ path: ["auth"], allowed: "at most one of auth.secret, auth.keyFile, auth.jwksUrl" }]
        : [],
  },
  {
    keys: ["apiKeys"],
    check: ({ apiKeys }) => {
      const names = apiKeys.flatMap((key) => (typeof key === "string" ? [] : [key.name]));
      return new Set(names).size === names.length
        ? []
        : [{ path: ["apiKeys"], allowed: "a name for each key that no other has" }];
    },
  },
  {
    keys: ["defaults"],
    check: ({ defaults }) => [...ephemeralRule(["defaults"], defaults), ...rateRule(["defaults"], defaults)],
  },
  {
    keys: ["defaults", "namespaces"],
    check: ({ defaults, namespaces }) =>
      // Not blamed again where a namespace only inherits what is wrong with the defaults.
      defaults.state && defaults.ephemeral
        ? []
        : Object.entries(namespaces).flatMap(([name, own]) =>
            ephemeralRule(["namespaces", name], resolveSettings(own, defaults)),
          ),
  },
  {
    keys: ["defaults", "namespaces"],
    check: ({ defaults, namespaces }) =>
      Object.entries(namespaces)
        .filter(([, own]) => own.rate !== undefined || own.rates !== undefined)
        .flatMap(([name, own]) => rateRule(["namespaces", name], resolveSettings(own, defaults))),
  },
];

/** One namespace's settings: its own, and for what it leaves out the defaults. */
export function resolveSettings(own: Config["namespaces"][string], defaults: RoomSettings): RoomSettings {
  return Object.freeze({
    ...DEFAULT_ROOM_SETTINGS,
    ...defaults,
    ...own,
    history: Object.freeze({ ...defaults.history, ...own.history }),
  });
}

function ephemeralRule(path: readonly string[], settings: RoomSettings): readonly RuleBreak[] {
  if (!settings.ephemeral || !settings.state) return [];
  return [
    {
      path: [...path, "state"],
      allowed: "false where ephemeral is true (say so where defaults.state is true)",
    },
  ];
}

function rateRule(path: readonly string[], { rate, rates }: RoomSettings): readonly RuleBreak[] {
  if (rates.includes(rate)) return [];
  return [{ path: [...path, "rate"], allowed: `one of rates (${rates.join(", ")})` }];
}

type LimitKey = keyof Config["limits"];

function rule(
  first: LimitKey,
  second: LimitKey,
  allowedOf: (first: number, second: number) => string | undefined,
): Rule {
  return {
    keys: [`limits.${first}`, `limits.${second}`],
    check: ({ limits }) => {
      const allowed = allowedOf(limits[first], limits[second]);
      return allowed === undefined ? [] : [{ path: ["limits", first], allowed }];
    },
  };
}
