import { digits, percent } from "../support/report.js";
import type { Calibration } from "./calibration.js";

/** What was measured, and how far predictions were off, for people. */
export function calibrationText({
  prices,
  restMs,
  memory,
  heldOut,
  runs,
  connectMicros,
  machine,
}: Calibration): string {
  const width = Math.max(...runs.map(({ name }) => name.length));
  return [
    `On ${machine}, µs of one core: a write ${digits(prices.write)} and up to ${digits(prices.cold)} more where the socket rested (two thirds of that after ${digits(restMs)} ms), a message ${digits(prices.message)}, 1,000 bytes ${digits(prices.byte * 1_000)},`,
    `a message taken in ${digits(prices.publish)}, a request with messages ${digits(prices.batch)}, a connection held for a second ${digits(prices.second)}, a new connection ${digits(connectMicros)}.`,
    `Bytes: a connection ${digits(memory.connectionBytes)} and ${digits(memory.kernelBytes)} of the kernel's, a subscription ${digits(memory.subscriptionBytes)}, a worker ${digits(memory.workerBytes / 2 ** 20)} MiB.`,
    "",
    "CPU predicted and measured, ms, ± of single windows, and how far the prediction is off:",
    ...runs.map(
      ({ name, heldOut: isOut, measured, predicted, spread }) =>
        `  ${name.padEnd(width)}  ${digits(predicted / 1_000).padStart(6)}  ${digits(measured / 1_000).padStart(6)} ± ${percent(spread).padEnd(6)}  ${percent((predicted - measured) / measured).padStart(8)}${isOut ? "  held out" : ""}`,
    ),
    "",
    `Of the ${heldOut.runs} runs held out predictions were off by ${percent(heldOut.median)} in the middle, ${percent(heldOut.worst)} at the worst.`,
  ].join("\n");
}
