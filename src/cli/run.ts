import { ConfigError } from "../server/config.js";
import { nearest } from "../server/nearest.js";
import { bench } from "./bench.js";
import { calibrate } from "./calibrate.js";
import { config } from "./config.js";
import { doctor } from "./doctor.js";
import { type Command, type ExitCode, Failure, type Io, UsageError } from "./io.js";
import { key } from "./key.js";
import { nats } from "./nats.js";
import { plan } from "./plan.js";
import { pub } from "./pub.js";
import { serve } from "./serve.js";
import { sub } from "./sub.js";
import { token } from "./token.js";
import { top } from "./top.js";
import { readVersion } from "./version.js";

const COMMANDS: readonly Command[] = [
  serve,
  pub,
  sub,
  config,
  doctor,
  top,
  bench,
  calibrate,
  plan,
  token,
  key,
  nats,
];

const HELP = `fanwire: one message onto every subscriber's socket, in order, none lost in silence.

  fanwire serve                                    terminal 1
  fanwire sub chat.lobby                           terminal 2
  fanwire pub chat.lobby '{"text":"hello"}'        terminal 3

Commands:
${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`).join("\n")}

"fanwire COMMAND --help" explains one. "fanwire --version" prints the version.
`;

/** Runs one command line; whatever goes wrong is told on stderr and in the exit code. */
export async function run(args: readonly string[], io: Io): Promise<ExitCode> {
  const [name, ...rest] = args;
  const command = COMMANDS.find((candidate) => candidate.name === name);
  try {
    if (command === undefined) return general(args, io);
    if (asksForHelp(rest) && !(command.explainsArguments === true && rest.length > 1)) {
      io.stdout.write(command.help());
      return 0;
    }
    return await command.run(rest, io);
  } catch (cause) {
    io.stderr.write(`${problemText(cause, command)}\n`);
    return cause instanceof UsageError || cause instanceof ConfigError ? 2 : 1;
  }
}

function general([name, topic, ...more]: readonly string[], io: Io): ExitCode {
  if (name === undefined) {
    io.stderr.write(HELP);
    return 2;
  }
  const alone = topic === undefined;
  if (alone && (name === "--version" || name === "-v" || name === "version")) {
    io.stdout.write(`${readVersion()}\n`);
    return 0;
  }
  if (alone && (name === "--help" || name === "-h" || name === "help")) {
    io.stdout.write(HELP);
    return 0;
  }
  const about = more.length === 0 ? COMMANDS.find((candidate) => candidate.name === topic) : undefined;
  if (name === "help" && about !== undefined) {
    io.stdout.write(about.help());
    return 0;
  }
  const wrong = name === "help" ? (topic ?? name) : name;
  const near = nearest(
    wrong,
    COMMANDS.map((candidate) => candidate.name),
  );
  throw new UsageError(
    `${JSON.stringify(wrong)} is no command${near === undefined ? "" : `; did you mean ${near}?`}`,
  );
}

/** What stands after `--` is data, whatever it looks like. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

function problemText(cause: unknown, command: Command | undefined): string {
  const name = command === undefined ? "fanwire" : `fanwire ${command.name}`;
  if (cause instanceof UsageError) return `${name}: ${cause.message}\n"${name} --help" explains.`;
  if (cause instanceof ConfigError || cause instanceof Failure) return `${name}: ${cause.message}`;
  return `${name}: ${cause instanceof Error ? cause.message : String(cause)}`;
}
