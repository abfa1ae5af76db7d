import type { BrokerCounters } from "../broker/counters.js";
import type { HubCounters, HubLinkCounters } from "../broker/hub/hub-counters.js";
import type { NatsCounters } from "../broker/nats/nats-counters.js";
import type { PresenceCounters } from "../broker/presence/presence-counters.js";
import type { Counters } from "../core/counters.js";
import type { GatewayCounters } from "../server/gateway-limits.js";

/** What one of a process's running totals is called outside. Several may share a name, told apart by their labels. */
export interface MetricName {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly labels: Readonly<Record<string, string>>;
}

/** Every total has a name: one that is added without it does not compile. */
type NamesOf<C> = Readonly<Record<keyof C, MetricName>>;

/** What each name means. */
export const METRIC_HELP = {
  fanwire_connections: "WebSocket connections open now",
  fanwire_handshakes_total: "WebSocket handshakes, by result: welcome or refused",
  fanwire_received_bytes_total: "Bytes of WebSocket messages from clients",
  fanwire_requests_total: "Values that clients sent",
  fanwire_requested_rooms_total: "Rooms of subscribe many, each of which is as much work as a request",
  fanwire_request_errors_total: "Requests of clients answered with an error",
  fanwire_limit_hits_total:
    "Times that a limit was reached and somebody was refused, cut or made to wait, by limit",
  fanwire_published_total:
    "Publishes that were stored, or handed on in an ephemeral room, by where they were counted",
  fanwire_publish_errors_total: "Publishes that were refused or failed, by where they were counted",
  fanwire_received_total: "Messages handed to this process by its broker",
  fanwire_writes_total: "Publishes to topics, and writes to sockets that are alone in a room of their lane",
  fanwire_write_bytes_total: "Bytes of these, counted once however many sockets a topic has",
  fanwire_deliveries_total: "Live messages handed to sockets, one a message and socket; replays are apart",
  fanwire_delivery_frames_total:
    "WebSocket messages that deliveries came in, one a socket: deliveries by these is how many were packed into one",
  fanwire_sent_bytes_total:
    "Bytes handed to sockets: of topics, for every socket on them, and directly (answers, replays, sockets that are alone)",
  fanwire_flush_waits_total: "Flushes that waited for more messages because the loop was busy",
  fanwire_lanes: "Cohorts of sockets, each written to in a turn of its own",
  fanwire_lane_flushes_total: "Turns of lanes",
  fanwire_lane_waits_total: "Times that a lane had something to send and left the turn to others",
  fanwire_replayed_messages_total:
    "Messages sent to subscriptions that resumed or rewound, by where they were counted",
  fanwire_history_shared_total: "Resumes served by what was read a moment before for another position",
  fanwire_resumes_total:
    "Subscribes after a position, by what served them (ring, history, or nothing for another epoch) and the result",
  fanwire_history_reads_total: "Reads of history at the broker, by where they were counted",
  fanwire_classes: "Conflated classes of rooms with somebody in them",
  fanwire_patterns: "Subscriptions to patterns of rooms",
  fanwire_pattern_flows: "Sets of patterns that subscriptions come in, each a flow of its own",
  fanwire_pattern_gaps_total:
    "Times that subscriptions to patterns were told that messages may be missing, a flow or session each",
  fanwire_class_flushes_total: "Times that a conflated class was handed to the lanes",
  fanwire_conflated_total:
    "Messages that a conflated class left out because a later one of their key took their place",
  fanwire_rate_changes_total: "Subscribes that moved a subscription to another delivery class",
  fanwire_outages_told_total: "Connections told that rooms of theirs get nothing new, once an outage",
  fanwire_broker_patterns: "Different patterns of rooms that the broker watches for somebody",
  fanwire_hub_patterns: "Different patterns of rooms that workers watch at the hub",
  fanwire_link_patterns: "Patterns of rooms that the worker watches at its hubs, once a hub",
  fanwire_watched_messages_total:
    "Messages of rooms that are not open, handed on because a pattern means them, by where they were counted",
  fanwire_lost_patterns_total:
    "Times that something may have been missed in rooms that patterns mean, by where it was told",
  fanwire_checkpoints_total: "Quiet rooms whose position was moved on, as nothing came",
  fanwire_keys_removed_total:
    "Keys taken out because the connection, or the process, that they were of has ended",
  fanwire_presence_events_total:
    "Presence events: of a room at most one a second, sent to all of a process who watch it",
  fanwire_presence_gossip_total: "What hubs of several nodes tell each other of presence, by direction",
  fanwire_presence_gossip_bytes_total: "Bytes of it",
  fanwire_presence_repairs_total: "What hubs missed of what others told them, or lost of them, by kind",
  fanwire_ring_evictions_total: "Messages that left a ring for a newer one",
  fanwire_lagged_total:
    "Readers too slow for their buffer, which lost their flow and were told to resume, by kind",
  fanwire_restored_total: "Slow sockets that got their own delivery classes back",
  fanwire_slow_closes_total: "Sockets closed because they made no progress for too long",
  fanwire_resets_total:
    "Times that a room's continuity was lost, which its subscribers are told, by where they were counted",
  fanwire_bugs_total: "Broken invariants, by kind. Always 0, or a bug",
  fanwire_forbidden_total: "Operations that the rights of a connection did not allow",
  fanwire_tokens_total:
    "Tokens that were taken, refused or refreshed, and sockets closed for theirs, by result",
  fanwire_token_keys_failures_total: "Times that the keys of tokens could not be fetched",
  fanwire_hooks_failed_total: "Hooks that threw or took too long",
  fanwire_backpressure_bytes:
    "Bytes that wait to be taken: by sockets of a worker, by workers of a hub; looked at once a second",
  fanwire_backpressure_sockets: "Sockets that something waits for",
  fanwire_http_requests_total: "HTTP requests",
  fanwire_http_refused_total: "HTTP requests that the gateway refused: too large, too slow, too many",
  fanwire_broker_duplicates_total: "Publishes whose id was known: answered, not stored again",
  fanwire_broker_evictions_total: "What the broker forgot because of its bounds, by kind",
  fanwire_broker_expired_keys_total: "Keys that state forgot because nobody published them for long enough",
  fanwire_broker_disconnects_total: "Times that the connection to NATS was lost",
  fanwire_broker_retries_total: "What was asked of NATS again because no answer came, by kind",
  fanwire_broker_pass_rooms_total: "Rooms that were read by passes",
  fanwire_broker_passes_total: "Reads over a partition for many of its rooms",
  fanwire_broker_reads_total: "Reads of history, by where they were answered",
  fanwire_broker_repairs_total: "What the live flow from NATS did to keep every room gapless, by kind",
  fanwire_broker_epochs_total: "Streams that began a new numbering",
  fanwire_broker_invalid_total:
    "Foreign messages that are not what they say, by kind; delivered as bytes, or left out",
  fanwire_hub_links: "Workers linked to the hub now",
  fanwire_hub_rooms: "Rooms that workers have open at the hub",
  fanwire_hub_held_keys: "Keys that stand for connected senders, held by workers at the hub",
  fanwire_hub_deliveries_total: "Messages handed to workers",
  fanwire_link_changes_total: "Times that a link between a worker and a hub came up or was lost",
  fanwire_link_bytes_total: "Bytes between hubs and workers, by direction as its end sees it",
  fanwire_link_records_total: "Records that this end of a link received",
  fanwire_link_reopened_total: "Rooms opened again after a link's flow was lost",
  fanwire_link_timeouts_total: "Requests to a hub without an answer in time",
  fanwire_link_ignored_total: "Messages for a room that was closed or opened anew meanwhile",
} as const;

type Name = keyof typeof METRIC_HELP;

const NONE = Object.freeze({});

function counter(
  name: Name & `${string}_total`,
  labels: Readonly<Record<string, string>> = NONE,
): MetricName {
  return { name, type: "counter", labels };
}

function gauge(name: Name): MetricName {
  return { name, type: "gauge", labels: NONE };
}

const limit = (name: string): MetricName => counter("fanwire_limit_hits_total", { limit: name });
const resume = (source: string, result: string): MetricName =>
  counter("fanwire_resumes_total", { source, result });
const bug = (kind: string): MetricName => counter("fanwire_bugs_total", { kind });

export const ENGINE_NAMES: NamesOf<Counters> = {
  connections: gauge("fanwire_connections"),
  connectionsTotal: counter("fanwire_handshakes_total", { result: "welcome" }),
  receivedBytes: counter("fanwire_received_bytes_total"),
  requests: counter("fanwire_requests_total"),
  roomsOfMany: counter("fanwire_requested_rooms_total"),
  requestErrors: counter("fanwire_request_errors_total"),
  protocolErrors: limit("protocol"),
  payloadsTooLarge: limit("payloadBytes"),
  published: counter("fanwire_published_total", { at: "session" }),
  publishErrors: counter("fanwire_publish_errors_total", { at: "session" }),
  received: counter("fanwire_received_total", { at: "engine" }),
  topicPublishes: counter("fanwire_writes_total", { kind: "topic" }),
  topicBytes: counter("fanwire_write_bytes_total", { kind: "topic" }),
  directWrites: counter("fanwire_writes_total", { kind: "direct" }),
  directBytes: counter("fanwire_write_bytes_total", { kind: "direct" }),
  topicSentBytes: counter("fanwire_sent_bytes_total", { kind: "topic" }),
  sentBytes: counter("fanwire_sent_bytes_total", { kind: "direct" }),
  deliveries: counter("fanwire_deliveries_total"),
  deliveryFrames: counter("fanwire_delivery_frames_total"),
  lanes: gauge("fanwire_lanes"),
  laneFlushes: counter("fanwire_lane_flushes_total"),
  laneWaits: counter("fanwire_lane_waits_total"),
  classes: gauge("fanwire_classes"),
  classFlushes: counter("fanwire_class_flushes_total"),
  conflated: counter("fanwire_conflated_total"),
  conflationOverflows: limit("conflationBytes"),
  rateChanges: counter("fanwire_rate_changes_total"),
  rateChangesRefused: limit("rateChanges"),
  ratesRefused: limit("rates"),
  keysRemoved: counter("fanwire_keys_removed_total"),
  replayedMessages: counter("fanwire_replayed_messages_total", { at: "session" }),
  ringResumes: resume("ring", "recovered"),
  historyResumes: resume("history", "recovered"),
  epochResumes: resume("none", "epoch"),
  expiredResumes: resume("history", "expired"),
  failedResumes: resume("history", "failed"),
  historyReads: counter("fanwire_history_reads_total", { at: "session" }),
  historyShared: counter("fanwire_history_shared_total"),
  ringEvictions: counter("fanwire_ring_evictions_total"),
  dropped: limit("bufferBytes"),
  lagged: counter("fanwire_lagged_total", { kind: "socket" }),
  slowCloses: counter("fanwire_slow_closes_total"),
  slowedDown: limit("softWatermarkBytes"),
  restored: counter("fanwire_restored_total"),
  resets: counter("fanwire_resets_total", { at: "engine" }),
  outagesTold: counter("fanwire_outages_told_total"),
  tooManyRooms: limit("roomsPerConnection"),
  patterns: gauge("fanwire_patterns"),
  patternFlows: gauge("fanwire_pattern_flows"),
  tooManyPatterns: limit("patternsPerConnection"),
  openPatternsRefused: limit("openPatterns"),
  patternGaps: counter("fanwire_pattern_gaps_total"),
  rateLimited: limit("requestsInFlight"),
  forbidden: counter("fanwire_forbidden_total"),
  authenticated: counter("fanwire_tokens_total", { result: "refreshed" }),
  requestsOverRate: limit("requestsPerSecond"),
  bytesOverRate: limit("receivedBytesPerSecond"),
  floodCloses: limit("flood"),
  presenceEvents: counter("fanwire_presence_events_total"),
  presenceAsksRefused: limit("presenceAsks"),
  presenceListsCut: limit("presenceLists"),
  presenceInfosRefused: limit("presenceInfoBytes"),
  chainBroken: bug("engineChain"),
};

export const GATEWAY_NAMES: NamesOf<GatewayCounters> = {
  waitingBytes: gauge("fanwire_backpressure_bytes"),
  waitingSockets: gauge("fanwire_backpressure_sockets"),
  httpRequests: counter("fanwire_http_requests_total"),
  httpRefused: counter("fanwire_http_refused_total"),
  repliesCut: limit("replySeconds"),
  upgradesRefused: counter("fanwire_handshakes_total", { result: "refused" }),
  handshakesOverRate: limit("handshakesPerSecond"),
  handshakesOverLag: limit("handshakeLagMs"),
  handshakesOverAddress: limit("handshakesPerSecondPerAddress"),
  connectionsOverAddress: limit("connectionsPerAddress"),
  requestsOverAddress: limit("requestsPerSecondPerAddress"),
  httpOverAddress: limit("httpRequestsPerSecondPerAddress"),
  httpOverKey: limit("httpRequestsPerSecondPerKey"),
  httpOverSub: limit("httpRequestsPerSecondPerSub"),
  connectionsOverSub: limit("connectionsPerSub"),
  acceptsOverAddress: limit("acceptsPerSecondPerAddress"),
  connectionsRefused: limit("plainConnections"),
  connectionsShed: limit("openFiles"),
  inboxOverflows: limit("inboxBytes"),
  idleCloses: limit("idleSeconds"),
  payloadsCut: limit("payloadBytesHard"),
  tokensTaken: counter("fanwire_tokens_total", { result: "taken" }),
  tokensRefused: counter("fanwire_tokens_total", { result: "refused" }),
  tokensExpired: counter("fanwire_tokens_total", { result: "expired" }),
  tokensRevoked: counter("fanwire_tokens_total", { result: "revoked" }),
  jwksFailures: counter("fanwire_token_keys_failures_total"),
  hooksFailed: counter("fanwire_hooks_failed_total"),
  flushWaits: counter("fanwire_flush_waits_total"),
  faults: bug("gatewayHandler"),
};

const BROKER_NAMES: NamesOf<BrokerCounters> = {
  published: counter("fanwire_published_total", { at: "broker" }),
  duplicates: counter("fanwire_broker_duplicates_total"),
  evictedMessages: counter("fanwire_broker_evictions_total", { kind: "message" }),
  droppedKeys: counter("fanwire_broker_evictions_total", { kind: "key" }),
  expiredKeys: counter("fanwire_broker_expired_keys_total"),
  droppedIds: counter("fanwire_broker_evictions_total", { kind: "id" }),
  forgottenRooms: counter("fanwire_broker_evictions_total", { kind: "room" }),
  watchedPatterns: gauge("fanwire_broker_patterns"),
  watchedMessages: counter("fanwire_watched_messages_total", { at: "broker" }),
  lostPatterns: counter("fanwire_lost_patterns_total", { at: "broker" }),
  refusedPatterns: limit("patterns"),
  refusedLists: limit("roomLists"),
  sinkErrors: bug("brokerSink"),
};

const NATS_NAMES: NamesOf<NatsCounters> = {
  ...BROKER_NAMES,
  delivered: counter("fanwire_received_total", { at: "nats" }),
  knownMessages: counter("fanwire_broker_repairs_total", { kind: "knownMessage" }),
  holes: counter("fanwire_broker_repairs_total", { kind: "hole" }),
  cuts: counter("fanwire_broker_repairs_total", { kind: "cut" }),
  repairedMessages: counter("fanwire_broker_repairs_total", { kind: "repairedMessage" }),
  sweptHoles: counter("fanwire_broker_repairs_total", { kind: "sweptHole" }),
  staleReads: counter("fanwire_broker_repairs_total", { kind: "staleRead" }),
  failedReads: counter("fanwire_broker_repairs_total", { kind: "failedRead" }),
  queueOverflows: counter("fanwire_broker_repairs_total", { kind: "queueOverflow" }),
  resets: counter("fanwire_resets_total", { at: "nats" }),
  checkpoints: counter("fanwire_checkpoints_total"),
  invalidData: counter("fanwire_broker_invalid_total", { kind: "data" }),
  invalidKeys: counter("fanwire_broker_invalid_total", { kind: "key" }),
  strayMessages: counter("fanwire_broker_invalid_total", { kind: "subject" }),
  misplacedMessages: counter("fanwire_broker_invalid_total", { kind: "room" }),
  retriedPublishes: counter("fanwire_broker_retries_total", { kind: "publish" }),
  publishHolds: counter("fanwire_broker_retries_total", { kind: "publishHold" }),
  retriedReads: counter("fanwire_broker_retries_total", { kind: "read" }),
  refusedPublishes: limit("outbox"),
  droppedEphemerals: limit("ephemeral"),
  droppedGossip: limit("gossip"),
  reads: counter("fanwire_broker_reads_total", { from: "nats" }),
  tailReads: counter("fanwire_broker_reads_total", { from: "memory" }),
  sharedReads: counter("fanwire_broker_reads_total", { from: "other" }),
  passes: counter("fanwire_broker_passes_total"),
  passRooms: counter("fanwire_broker_pass_rooms_total"),
  disconnects: counter("fanwire_broker_disconnects_total"),
  newEpochs: counter("fanwire_broker_epochs_total"),
};

/** Of what hubs tell each other of presence. */
const PRESENCE_NAMES: NamesOf<PresenceCounters> = {
  presenceSaid: counter("fanwire_presence_gossip_total", { direction: "out" }),
  presenceSaidBytes: counter("fanwire_presence_gossip_bytes_total", { direction: "out" }),
  presenceHeard: counter("fanwire_presence_gossip_total", { direction: "in" }),
  presenceHeardBytes: counter("fanwire_presence_gossip_bytes_total", { direction: "in" }),
  presenceSnapshots: counter("fanwire_presence_repairs_total", { kind: "snapshot" }),
  presenceHoles: counter("fanwire_presence_repairs_total", { kind: "hole" }),
  presencePeersLost: counter("fanwire_presence_repairs_total", { kind: "peerLost" }),
  presenceMalformed: counter("fanwire_presence_repairs_total", { kind: "malformed" }),
  presenceOverflows: limit("presenceEntries"),
};

/** Of whatever broker a process hosts. */
export const BROKER_TOTALS: Readonly<Record<string, MetricName>> = { ...NATS_NAMES, ...PRESENCE_NAMES };

export const HUB_NAMES: NamesOf<HubCounters> = {
  links: gauge("fanwire_hub_links"),
  linksTotal: counter("fanwire_link_changes_total", { to: "up", end: "hub" }),
  rooms: gauge("fanwire_hub_rooms"),
  bytesIn: counter("fanwire_link_bytes_total", { direction: "in", end: "hub" }),
  bytesOut: counter("fanwire_link_bytes_total", { direction: "out", end: "hub" }),
  recordsIn: counter("fanwire_link_records_total", { end: "hub" }),
  messages: counter("fanwire_received_total", { at: "hub" }),
  deliveries: counter("fanwire_hub_deliveries_total"),
  watchedPatterns: gauge("fanwire_hub_patterns"),
  watchedMessages: counter("fanwire_watched_messages_total", { at: "hub" }),
  lostPatterns: counter("fanwire_lost_patterns_total", { at: "hub" }),
  published: counter("fanwire_published_total", { at: "hub" }),
  publishErrors: counter("fanwire_publish_errors_total", { at: "hub" }),
  historyReads: counter("fanwire_history_reads_total", { at: "hub" }),
  replays: counter("fanwire_broker_reads_total", { from: "replay" }),
  replayedMessages: counter("fanwire_replayed_messages_total", { at: "hub" }),
  lagged: counter("fanwire_lagged_total", { kind: "worker" }),
  resets: counter("fanwire_resets_total", { at: "hub" }),
  heldKeys: gauge("fanwire_hub_held_keys"),
  keysRemoved: counter("fanwire_keys_removed_total"),
  untrackedKeys: limit("heldKeys"),
  refused: limit("hubRequests"),
  malformed: bug("hubRecord"),
};

/** Of a worker's links to its hubs. */
export const LINK_NAMES: NamesOf<HubLinkCounters> = {
  linked: counter("fanwire_link_changes_total", { to: "up", end: "worker" }),
  lost: counter("fanwire_link_changes_total", { to: "down", end: "worker" }),
  bytesIn: counter("fanwire_link_bytes_total", { direction: "in", end: "worker" }),
  bytesOut: counter("fanwire_link_bytes_total", { direction: "out", end: "worker" }),
  recordsIn: counter("fanwire_link_records_total", { end: "worker" }),
  received: counter("fanwire_received_total", { at: "link" }),
  ignored: counter("fanwire_link_ignored_total"),
  lagged: counter("fanwire_lagged_total", { kind: "link" }),
  reopened: counter("fanwire_link_reopened_total"),
  resets: counter("fanwire_resets_total", { at: "link" }),
  watchedPatterns: gauge("fanwire_link_patterns"),
  watchedMessages: counter("fanwire_watched_messages_total", { at: "link" }),
  lostPatterns: counter("fanwire_lost_patterns_total", { at: "link" }),
  published: counter("fanwire_published_total", { at: "link" }),
  publishErrors: counter("fanwire_publish_errors_total", { at: "link" }),
  refused: limit("linkRequests"),
  timeouts: counter("fanwire_link_timeouts_total"),
  malformed: bug("linkRecord"),
  sinkErrors: bug("linkSink"),
  chainBroken: bug("linkChain"),
};
