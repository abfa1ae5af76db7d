import { type ParseArgsConfig, parseArgs } from "node:util";
import { nearest } from "../server/nearest.js";
import { UsageError } from "./io.js";

/** Flags of every command that talks to a server. */
export const SERVER_FLAGS = { url: { type: "string" }, "api-key": { type: "string" } } as const;

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<T extends Options> = ReturnType<
  typeof parseArgs<{ options: T; strict: true; allowPositionals: true; args: string[] }>
>;

/** Parses a command's arguments. @throws UsageError that says what was probably meant. */
export function parseFlags<const T extends Options>(args: readonly string[], options: T): Parsed<T> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    const unknown = /^Unknown option '(--?[^' ]+)'/.exec(cause.message)?.[1];
    const near = unknown === undefined ? undefined : nearest(unknown, Object.keys(options));
    throw new UsageError(
      near === undefined ? cause.message : `unknown flag ${unknown}; did you mean --${near}?`,
    );
  }
}

/** A flag's count. @throws UsageError unless it is an integer of at least 1. */
export function countFlag(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 0xffff_ffff)
    throw new UsageError(`--${name} is ${JSON.stringify(text)}, not an integer of 1 or more`);
  return value;
}
