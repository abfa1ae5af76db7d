import { pino } from "pino";
import { PinoPretty } from "pino-pretty";
import type { Config } from "./config.js";
import { LogBounds } from "./log-bounds.js";
import { loggedError } from "./log-errors.js";

export type Logger = pino.Logger;

/** Wherever somebody logs an object that holds one of these, the value stays out. */
const SECRET_KEYS = ["apiKeys", "apiKey", "authorization", "token", "secret", "cookie"];

const STDERR = 2;
const LEFT_OUT = "more such lines left out";

/**
 * The process's log: one JSON object a line on stderr, or lines for people where `log.pretty` says so ("auto": on a
 * terminal). Lines carry `node`. Secrets are replaced by `***`; message data is never passed to a log. Of each kind of lines
 * some are written a second, and how many were left out.
 * @param destination Where lines go instead of stderr.
 */
export function createLogger(
  config: Pick<Config, "log" | "node">,
  destination?: NodeJS.WritableStream,
): Logger {
  const { level, pretty } = config.log;
  const bounds = new LogBounds((leftOut) => logger.warn(leftOut, LEFT_OUT));
  const options: pino.LoggerOptions = {
    level,
    base: { node: config.node },
    serializers: { err: loggedError },
    hooks: {
      logMethod(args, write) {
        const text = args.findLast((arg) => typeof arg === "string");
        const kind = String(text ?? "");
        if (kind === LEFT_OUT || bounds.allows(kind, performance.now())) write.apply(this, args);
      },
    },
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: "***" },
  };
  const logger = streamed(
    options,
    pretty === false || (pretty === "auto" && !process.stderr.isTTY),
    destination,
  );
  return logger;
}

function streamed(
  options: pino.LoggerOptions,
  isJson: boolean,
  destination: NodeJS.WritableStream | undefined,
): Logger {
  if (isJson) return pino(options, destination ?? pino.destination({ dest: STDERR, sync: true }));
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
