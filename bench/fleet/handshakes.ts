import { digits } from "../support/report.js";
import type { Tally } from "./tally.js";

/** How all attempts to connect ended, for a row of a report. */
export interface Handshakes {
  readonly attempts: number;
  readonly welcomes: number;
  readonly refused: number;
  /** Neither: no TCP connection, reset or closed before the welcome, or no answer at all. */
  readonly neither: number;
  readonly unanswered: number;
  /** What ended attempts and connections, in words with their number. */
  readonly reasons: Readonly<Record<string, number>>;
}

export function handshakesOf({ counts, reasons }: Tally): Handshakes {
  const { attempts, welcomes, refused, connectFailed, cutShort, unanswered } = counts;
  return {
    attempts,
    welcomes,
    refused,
    neither: connectFailed + cutShort + unanswered,
    unanswered,
    reasons: Object.fromEntries(reasons),
  };
}

export function describeHandshakes({ attempts, welcomes, refused, neither, unanswered }: Handshakes): string {
  return `${digits(attempts)}: ${digits(welcomes)} welcomes, ${refused} refusals, ${neither} neither (${unanswered} unanswered)`;
}
