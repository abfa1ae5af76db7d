import type { PeerCounters } from "../../core/presence/peers.js";

/** Running totals of what hubs of several nodes tell each other of presence. */
export interface PresenceCounters extends PeerCounters {
  presenceSaid: number;
  presenceSaidBytes: number;
  presenceHeard: number;
  presenceHeardBytes: number;
  /** Times that everything was said anew because somebody had missed something. */
  presenceSnapshots: number;
}

export function createPresenceCounters(): PresenceCounters {
  return {
    presenceSaid: 0,
    presenceSaidBytes: 0,
    presenceHeard: 0,
    presenceHeardBytes: 0,
    presenceSnapshots: 0,
    presenceHoles: 0,
    presencePeersLost: 0,
    presenceMalformed: 0,
    presenceOverflows: 0,
  };
}
