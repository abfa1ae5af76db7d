/** What can go wrong with a fleet on other machines; the code stands in front of the text. */
export type FleetCode =
  /** Nobody answers there, or no agent does. */
  | "fleet_unreachable"
  /** One side does not know the other's secret. */
  | "fleet_secret"
  /** Agent and bench are of different versions. */
  | "fleet_version"
  /** The agent has as many processes as it may. */
  | "fleet_full"
  /** The agent went away in the middle. */
  | "fleet_lost"
  /** It did not answer in time. */
  | "fleet_late"
  /** It said what no agent says, or could not do what it was asked for. */
  | "fleet_failed";

export class FleetError extends Error {
  override readonly name = "FleetError";
  readonly code: FleetCode;

  constructor(code: FleetCode, text: string) {
    super(`${code}: ${text}`);
    this.code = code;
  }
}
