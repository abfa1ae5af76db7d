import { z } from "zod";
import { DEFAULT_ROOM_SETTINGS } from "../core/settings.js";
import { isRights } from "./auth/grant.js";
import { key } from "./config-keys.js";

const historyMessages = z.int().min(0).max(10_000_000);
const historySeconds = z.int().min(1).max(31_536_000);
const stateSeconds = z.int().min(0).max(31_536_000);
const slow = z.enum(["auto", "conflate", "keep"]);
const keys = z.enum(["any", "sender"]);
const presence = z.enum(["off", "count", "members"]);
const publishers = z.enum(["api", "client"]);
// Above, a window would be shorter than a timer can keep.
const rate = key(z.union([z.literal("all"), z.number().min(0.1).max(200)]), {
  description: "a delivery class",
  allowed: "all, or messages a second and key, 0.1 to 200",
});
const rates = z.array(rate).min(1).max(16);
const anonymous = z.string().refine((letters) => letters === "" || isRights(letters));
const standard = DEFAULT_ROOM_SETTINGS;

/** What rooms are like whose namespace does not say otherwise. */
export const defaults = z
  .strictObject({
    history: z
      .strictObject({
        messages: key(historyMessages.default(standard.history.messages), {
          description: "messages kept a room; 0: a resume works as far as the worker's ring reaches",
        }),
        seconds: key(historySeconds.default(standard.history.seconds), {
          description: "age after which a message expires",
        }),
      })
      .prefault({}),
    state: key(z.boolean().default(standard.state), { description: "keep the latest message of every key" }),
    stateSeconds: key(stateSeconds.default(standard.stateSeconds), {
      description: "state forgets a key that was not published for so long; 0: never",
    }),
    ephemeral: key(z.boolean().default(standard.ephemeral), {
      description: "no numbering, no history, no replay; excludes state",
    }),
    publish: key(publishers.default(standard.publish), {
      description: "who may publish: the HTTP API only, or connected clients too",
    }),
    anonymous: key(anonymous.default(standard.anonymous), {
      description: "what everybody may do here without a token, where tokens are asked for (auth)",
      allowed:
        "letters of s subscribe, p publish (with publish client), h history, m members; empty: nothing",
    }),
    key: key(keys.default(standard.key), {
      description:
        "keys of what clients publish: any, or sender: always that of their session, taken out when their connection ends",
    }),
    presence: key(presence.default(standard.presence), {
      description:
        "whether clients and the HTTP API may ask who is in a room: not at all, how many connections, or which members, by the subjects of their tokens",
    }),
    rates: key(rates.default([...standard.rates]), {
      description:
        "delivery classes that clients may ask for: every message, or the latest of each key so often a second",
      allowed: "list of all and numbers of 0.1 to 200, 1 to 16 of them",
    }),
    rate: key(rate.default(standard.rate), {
      description: "the class of a subscription that asks for none",
      allowed: "one of rates",
    }),
    slow: key(slow.default(standard.slow), {
      description:
        "whether a slow socket is moved to the slowest class; auto: where state is kept, the room is ephemeral or the client asked for a rate",
    }),
  })
  .prefault({});

/** What one namespace says; the rest comes from `defaults`. */
export const namespace = z.strictObject({
  history: z
    .strictObject({ messages: historyMessages.exactOptional(), seconds: historySeconds.exactOptional() })
    .exactOptional(),
  state: z.boolean().exactOptional(),
  stateSeconds: stateSeconds.exactOptional(),
  ephemeral: z.boolean().exactOptional(),
  publish: publishers.exactOptional(),
  anonymous: anonymous.exactOptional(),
  key: keys.exactOptional(),
  presence: presence.exactOptional(),
  rates: rates.exactOptional(),
  rate: rate.exactOptional(),
  slow: slow.exactOptional(),
});

export const namespaceName = key(z.string().regex(/^[A-Za-z0-9_:-]{1,128}$/), {
  description: "a namespace",
  allowed: "a room's first token: 1 to 128 of A-Z a-z 0-9 _ - :",
});
