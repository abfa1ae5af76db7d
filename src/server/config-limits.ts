import { z } from "zod";
import { DEFAULT_MEMORY_LIMITS } from "../broker/memory-limits.js";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.js";
import { integer } from "./config-keys.js";
import { DEFAULT_GATEWAY_LIMITS } from "./gateway-limits.js";

const KIB = 1_024;
const MIB = 1_048_576;
const GIB = 1_073_741_824;

const limit = (name: keyof Limits, min: number, max: number, description: string) =>
  integer(min, max, DEFAULT_LIMITS[name], description);

// Some of the minimums are what the client library counts on: it does not know what this server is set to.
export const limits = z
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
    patternsPerConnection: limit(
      "patternsPerConnection",
      1,
      256,
      "patterns that one connection is subscribed to",
    ),
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
    openPatterns: limit(
      "openPatterns",
      1,
      1_000_000,
      "patterns watched at once in a worker, and sets of them that its connections have, each with the rooms that these " +
        "have by name beside them",
    ),
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

export const memory = z
  .strictObject({
    bytes: integer(MIB, 1_024 * GIB, bytes, "history and state of all rooms, embedded broker"),
    rooms: integer(1, 100_000_000, rooms, "rooms known at once, embedded broker"),
    keysPerRoom: integer(1, 10_000_000, keysPerRoom, "keys in one room's state, embedded broker"),
    ids: integer(1, 100_000_000, ids, "idempotency ids remembered, embedded broker"),
  })
  .prefault({});
