import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import type { Rate } from "../../protocol/frames.js";
import { BadOption } from "../support/scenario.js";

/** What a namespace may allow. */
const HERTZ_MIN = 0.1;
const HERTZ_MAX = 200;

/** The delivery classes of `--rates`. @throws BadOption for what no namespace may allow. */
export function parseRates(text: string): Rate[] {
  return text.split(",").map((part) => {
    const hertz = Number(part);
    if (part === "all") return part;
    if (part.trim() !== "" && hertz >= HERTZ_MIN && hertz <= HERTZ_MAX) return hertz;
    throw new BadOption(
      `--rates ${text}: "${part}" is neither all nor a number of ${HERTZ_MIN} to ${HERTZ_MAX}`,
    );
  });
}

/** The classes that a namespace has to allow: what it has anyway, and those asked for. */
export function allowedRates(
  asked: readonly Rate[],
  standard: readonly Rate[] = DEFAULT_ROOM_SETTINGS.rates,
): Rate[] {
  return [...new Set([...standard, ...asked])];
}
