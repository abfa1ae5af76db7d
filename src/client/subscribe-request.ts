import type { Rate } from "../protocol/frames.js";
import type { SubscribeRequest } from "./effect.js";
import { FanwireError } from "./errors.js";
import type { SubscribeOptions } from "./options.js";

/** What a subscription asks for. @throws FanwireError `bad_request` */
export function requestOf<T>({
  after,
  last,
  state,
  rate,
  hidden,
  echo,
  members,
  info,
}: SubscribeOptions<T>): SubscribeRequest {
  const given = [after !== undefined, last !== undefined, state === true].filter(Boolean).length;
  if (given > 1) throw new FanwireError("bad_request", "after, last and state: at most one of them");
  const problem = rate === undefined ? undefined : rateProblem(rate);
  if (problem !== undefined) throw new FanwireError("bad_request", problem);
  // Rooms whose options are the same as JSON are asked for together: what is none is told here.
  JSON.stringify(info);
  return {
    after,
    last,
    state: state ?? false,
    rate,
    slowHidden: hidden !== "keep",
    echo: echo ?? true,
    members,
    info,
  };
}

/** A pattern is live only and brings every message. @throws FanwireError `bad_request` */
export function refuseForPattern(pattern: string, request: SubscribeRequest): void {
  const { after, last, state, rate, echo, members, info } = request;
  const isPlain = after === undefined && last === undefined && !state && echo && members !== true;
  if (!isPlain || info !== undefined || (rate !== undefined && rate !== "all")) throw patternProblem(pattern);
}

export function patternProblem(pattern: string): FanwireError {
  const text = "a pattern is live only and takes no options: subscribe to rooms by their names for these";
  return new FanwireError("bad_request", `${pattern}: ${text}`);
}

/** What is wrong with a rate; undefined: nothing. */
export function rateProblem(rate: Rate): string | undefined {
  if (rate === "all" || (typeof rate === "number" && rate > 0 && Number.isFinite(rate))) return undefined;
  return `rate is ${rate}: must be a number above 0 or "all"`;
}
