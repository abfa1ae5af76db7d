import { pino } from "pino";
import { PinoPretty } from "pino-pretty";
import type { Config } from "./config.js";

export type Logger = pino.Logger;

/** Wherever somebody logs an object that holds one of these, the value stays out. */
const SECRET_KEYS = ["apiKeys", "apiKey", "authorization", "token", "secret", "cookie"];

const STDERR = 2;

/**
 * The process's log: one JSON object a line on stderr, or lines for people where `log.pretty` says so ("auto": on a
 * terminal). Lines carry `node`. Secrets are replaced by `***`; message data is never passed to a log.
 * @param destination Where lines go instead of stderr.
 */
export function createLogger(
  config: Pick<Config, "log" | "node">,
  destination?: NodeJS.WritableStream,
): Logger {
  const { level, pretty } = config.log;
  const options: pino.LoggerOptions = {
    level,
    base: { node: config.node },
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: "***" },
  };
  if (pretty === false || (pretty === "auto" && !process.stderr.isTTY))
    return pino(options, destination ?? pino.destination({ dest: STDERR, sync: true }));
  return pino(
    options,
    PinoPretty({
      destination: destination ?? STDERR,
      sync: true,
      ignore: "pid,hostname,node",
      translateTime: "HH:MM:ss.l",
    }),
  );
}
