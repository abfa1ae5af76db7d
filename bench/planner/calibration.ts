import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";

const price = z.number().nonnegative();

export const CALIBRATION_FORMAT = "fanwire-calibration/3";

/** What `fanwire calibrate` writes and `fanwire plan` reads. */
export const calibrationSchema = z.strictObject({
  format: z.literal(CALIBRATION_FORMAT),
  at: z.iso.datetime(),
  machine: z.string(),
  fanwire: z.string(),
  /** µs of one core, see model.ts. */
  prices: z.strictObject({
    write: price,
    cold: price,
    message: price,
    byte: price,
    publish: price,
    batch: price,
    second: price,
  }),
  /** Time after which about two thirds of what a rest costs have come about, see model.ts. */
  restMs: z.number().positive(),
  /** µs of one core that a new connection takes, handshake and one subscription included. */
  connectMicros: price,
  memory: z.strictObject({
    /** RSS of a connection without rooms, of a subscription, and of a worker without connections. */
    connectionBytes: price,
    subscriptionBytes: price,
    workerBytes: price,
    /** What the kernel holds for one end of an idle connection. */
    kernelBytes: price,
  }),
  /** Of runs that were held out of the fit: how far the prediction was from what was measured, as shares. */
  heldOut: z.strictObject({ runs: z.int().nonnegative(), median: price, worst: price }),
  runs: z.array(
    z.strictObject({
      name: z.string(),
      heldOut: z.boolean(),
      /** µs, the middle of its windows. */
      measured: price,
      predicted: price,
      /** Half the quartile distance of its windows, as a share. */
      spread: price,
    }),
  ),
  /** Of one worker, everybody in one room: the most deliveries a second that were seen with p99 within 50 ms, see frontier.ts. */
  frontier: z.array(
    z.strictObject({
      connections: z.int().positive(),
      deliveriesPerSecond: price,
      p99Micros: price,
      /** What more came up against: latency, the subscribers' own core, or nothing as far as was tried. */
      bound: z.enum(["latency", "clients", "steps"]),
    }),
  ),
});

export type Calibration = z.infer<typeof calibrationSchema>;

/** Where calibrations are kept unless it is said otherwise. */
export function calibrationFile(env: Readonly<Record<string, string | undefined>>): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "fanwire", "calibration.json");
}

/** @throws Error that says where it does not fit. */
export function parseCalibration(text: string): Calibration {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("it is no JSON");
  }
  const other = (value as { format?: unknown } | null)?.format;
  if (typeof other === "string" && other.startsWith("fanwire-calibration/") && other !== CALIBRATION_FORMAT)
    throw new Error('it is of another version of fanwire: "fanwire calibrate" takes it anew');
  const parsed = calibrationSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`it is no calibration of this version: ${z.prettifyError(parsed.error)}`);
}
