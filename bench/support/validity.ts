/**
 * Whether a measurement says something of the server, or of the clients that could not keep up with it: the one rule
 * for all scenarios.
 */

/** A client process that is busy for more of the time than this takes in late what came in time. */
export const CLIENT_BUSY_MAX = 0.95;

/**
 * Empty where the clients kept up. `share`: of the time that the busiest client process was busy, or ready and kept from
 * its core, 0 to 1.
 */
export function busyClient(share: number): string[] {
  if (share <= CLIENT_BUSY_MAX) return [];
  return [
    `INVALID: a client process was busy for ${Math.round(share * 100)} % of the time, so it was late itself`,
  ];
}
