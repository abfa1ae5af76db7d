/** Running totals of this process, plain numbers that metrics read. Every limit that bites shows here. */
export interface Counters {
  connections: number;
  connectionsTotal: number;
  /** Bytes of WebSocket messages that sessions took. */
  receivedBytes: number;
  requests: number;
  /** Rooms of subscribe many, each of which is as much work as a request. */
  roomsOfMany: number;
  requestErrors: number;
  protocolErrors: number;
  /** WebSocket messages over the payload limit. */
  payloadsTooLarge: number;
  published: number;
  publishErrors: number;
  /** Messages handed over by the broker. */
  received: number;
  /** Publishes to topics: one a room, lane, wire and chunk. */
  topicPublishes: number;
  topicBytes: number;
  /** The same once for every socket on the topic. */
  topicSentBytes: number;
  /** Writes to sockets that are alone in a room of their lane, which needs no topic: one a socket, turn and chunk. */
  directWrites: number;
  directBytes: number;
  /** Live messages handed to sockets, one a message and socket. */
  deliveries: number;
  /** WebSocket messages that these came in, one a socket: the fewer, the more was packed. */
  deliveryFrames: number;
  /** Bytes handed to sockets one by one: answers, replays, rooms where a socket is alone in its lane. */
  sentBytes: number;
  /** Cohorts of sockets at the moment, each written to in a tick of its own. */
  lanes: number;
  laneFlushes: number;
  /** Times that a lane had something to send and had to leave the tick to others. */
  laneWaits: number;
  /** Conflated classes of rooms with somebody in them at the moment. */
  classes: number;
  /** Times that such a class was handed to the lanes. */
  classFlushes: number;
  /** Messages that a conflated class did not send because a later one of their key took their place. */
  conflated: number;
  /** Times that a class was flushed before its window was over, because too much waited. */
  conflationOverflows: number;
  /** Subscribes that moved a subscription to another class, refused or not. */
  rateChanges: number;
  /** Of these, refused because there were too many. */
  rateChangesRefused: number;
  /** Subscribes refused because their namespace does not allow their rate. */
  ratesRefused: number;
  /** Keys taken out because the connection that they were of has ended. */
  keysRemoved: number;
  replayedMessages: number;
  /** Subscribes that went on after a position: from the ring, from history. */
  ringResumes: number;
  historyResumes: number;
  /** Those that could not, since the position was of another epoch, or what followed it was gone. */
  epochResumes: number;
  expiredResumes: number;
  /** Those that were refused, since history could not be read. */
  failedResumes: number;
  /** Replays that the ring could not serve. */
  historyReads: number;
  /** Reads that one of the last moment had served for another position. */
  historyShared: number;
  ringEvictions: number;
  /** Sockets that reached their buffer limit. */
  dropped: number;
  lagged: number;
  slowCloses: number;
  /** Connections whose subscriptions were moved to the slowest classes, and those that were moved back. */
  slowedDown: number;
  restored: number;
  resets: number;
  /** Connections told that rooms of theirs get nothing new, once an outage. */
  outagesTold: number;
  tooManyRooms: number;
  /** Subscriptions to patterns now, and the flows that these come in. */
  patterns: number;
  patternFlows: number;
  /** Subscribes to patterns refused because their connection has too many. */
  tooManyPatterns: number;
  /** Patterns refused, or taken away, because this process has too many of them or of their flows. */
  openPatternsRefused: number;
  /** Times that something was missed in what patterns match, which those who have them are told. */
  patternGaps: number;
  /** Requests refused because too many of their connection wait. */
  rateLimited: number;
  /** Operations that the rights did not allow, and rooms left because a new token did not. */
  forbidden: number;
  /** Tokens that were replaced on an open connection. */
  authenticated: number;
  /** Requests refused because their connection sent too many, or too many bytes, a second. */
  requestsOverRate: number;
  bytesOverRate: number;
  /** Connections closed because they did not stop sending above their rate. */
  floodCloses: number;
  /** Presence events that were made: one a room and second at the most, whoever gets it. */
  presenceEvents: number;
  /** Questions who is in a room that were refused because too many rooms were asked about. */
  presenceAsksRefused: number;
  /** Members that are not listed, only counted, because the lists of this process are too long. */
  presenceListsCut: number;
  /** Subscribes refused because of what they say of their member. */
  presenceInfosRefused: number;
  /** A broker broke its promise of a gapless flow. Always 0, or a bug. */
  chainBroken: number;
}

export function createCounters(): Counters {
  return {
    connections: 0,
    connectionsTotal: 0,
    receivedBytes: 0,
    requests: 0,
    roomsOfMany: 0,
    requestErrors: 0,
    protocolErrors: 0,
    payloadsTooLarge: 0,
    published: 0,
    publishErrors: 0,
    received: 0,
    topicPublishes: 0,
    topicBytes: 0,
    topicSentBytes: 0,
    directWrites: 0,
    directBytes: 0,
    deliveries: 0,
    deliveryFrames: 0,
    sentBytes: 0,
    lanes: 0,
    laneFlushes: 0,
    laneWaits: 0,
    classes: 0,
    classFlushes: 0,
    conflated: 0,
    conflationOverflows: 0,
    rateChanges: 0,
    rateChangesRefused: 0,
    ratesRefused: 0,
    keysRemoved: 0,
    replayedMessages: 0,
    ringResumes: 0,
    historyResumes: 0,
    epochResumes: 0,
    expiredResumes: 0,
    failedResumes: 0,
    historyReads: 0,
    historyShared: 0,
    ringEvictions: 0,
    dropped: 0,
    lagged: 0,
    slowCloses: 0,
    slowedDown: 0,
    restored: 0,
    resets: 0,
    outagesTold: 0,
    tooManyRooms: 0,
    patterns: 0,
    patternFlows: 0,
    tooManyPatterns: 0,
    openPatternsRefused: 0,
    patternGaps: 0,
    rateLimited: 0,
    forbidden: 0,
    authenticated: 0,
    requestsOverRate: 0,
    bytesOverRate: 0,
    floodCloses: 0,
    presenceEvents: 0,
    presenceAsksRefused: 0,
    presenceListsCut: 0,
    presenceInfosRefused: 0,
    chainBroken: 0,
  };
}
