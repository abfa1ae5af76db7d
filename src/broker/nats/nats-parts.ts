import type { Gossip } from "../../core/ports.js";
import type { NatsLink } from "./connection.js";
import type { Echoes } from "./echoes.js";
import type { EphemeralRooms } from "./ephemeral.js";
import type { EpochKeeper } from "./epoch-keeper.js";
import type { Gate } from "./gate.js";
import type { LiveRooms } from "./live-rooms.js";
import type { Delivery } from "./open-room.js";
import type { PatternWatch } from "./pattern-watch.js";
import type { Publisher } from "./publisher.js";
import type { ReadDesk } from "./read-desk.js";
import type { RevokedLog } from "./revoked-log.js";
import type { RoomCatalog } from "./room-catalog.js";
import type { RoomReader } from "./room-reader.js";
import type { StreamPlan } from "./stream-plan.js";
import type { Streams } from "./streams.js";

/** What a broker is made of. */
export interface NatsParts {
  readonly plan: StreamPlan;
  readonly streams: Streams;
  readonly delivery: Delivery;
  /** The connection of live messages and publishes. */
  readonly live: NatsLink;
  readonly publisher: Publisher;
  readonly flows: LiveRooms;
  readonly ephemeral: EphemeralRooms;
  readonly patterns: PatternWatch;
  readonly echoes: Echoes;
  readonly keeper: EpochKeeper;
  readonly revoked: RevokedLog | undefined;
  /** Undefined: this node has no right to it. */
  readonly gossip: Gossip | undefined;
  readonly rooms: RoomReader;
  readonly catalog: RoomCatalog;
  readonly desk: ReadDesk;
  /** Holds back reads when there are many at once. */
  readonly gate: Gate;
  /** Why this node must not serve; undefined: it may. */
  readonly refusal: () => string | undefined;
  /** For how long there has been no connection; 0 while there is one. */
  readonly awayMs: () => number;
  /** False: there is a connection, but no stream has answered for long. */
  readonly isAnswering: () => boolean;
  readonly stop: (deadlineMs: number) => Promise<void>;
}
