import type { Rate } from "../protocol/frames.js";

/** What a subscription asked for, besides where to begin. One object for all that ask the same: there are hundreds of thousands. */
export interface Terms {
  /** The delivery class. */
  readonly rate: Rate;
  /** False: not the messages that its own connection publishes. */
  readonly echo: boolean;
  /** Whether it wants to be told who is in the room. */
  readonly members: boolean;
}

const shared = new Map<string, Terms>();

/** The terms of an allowed rate; of others there would be no end. */
export function termsOf(rate: Rate, echo: boolean, members: boolean): Terms {
  const name = `${rate} ${echo} ${members}`;
  let terms = shared.get(name);
  if (terms === undefined) {
    terms = Object.freeze({ rate, echo, members });
    shared.set(name, terms);
  }
  return terms;
}
