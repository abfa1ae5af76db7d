import { randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import { GRANT_TEXT, isGrant } from "../server/auth/grant.js";
import { loadConfig } from "../server/config.js";
import { parseFlags } from "./flags.js";
import { type Command, Failure, UsageError, writeLine } from "./io.js";

const HELP = `Mints a token for development: signs with auth.secret, as "fanwire serve" here would check it, and prints it.

  fanwire token --sub ada --room 'chat.>:sph'
  fanwire token --sub ada --room 'user.{sub}.>:sp' --room 'market.*:s' --ttl 8h
  FANWIRE_TOKEN=$(fanwire token --sub ada --room '>:s') fanwire sub chat.lobby

A room is PATTERN:RIGHTS: * is one token, > at the end one or more, {sub} the subject; rights are letters of s subscribe,
p publish, h history, m members. In production tokens are made by whoever knows the users, with any JWT library.

Flags:
  --sub NAME         whose it is
  --room P:R         rights in rooms; any number of times
  --ttl TIME         how long it lives: 90s, 15m, 8h (default 1h; at most auth.maxTokenSeconds)
  --config FILE      where auth.secret, auth.issuer and auth.audience stand (default fanwire.config.json, environment)

Exit codes: 0 printed, 1 no secret is configured, 2 wrong arguments.
`;

const FLAGS = {
  sub: { type: "string" },
  room: { type: "string", multiple: true },
  ttl: { type: "string" },
  config: { type: "string" },
} as const;

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

export const token: Command = {
  name: "token",
  summary: "mint a token for development",
  help: () => HELP,
  run: async (args, io) => {
    const { values, positionals } = parseFlags(args, FLAGS);
    if (positionals.length > 0)
      throw new UsageError(`${JSON.stringify(positionals[0])}: there are flags only`);
    const { sub } = values;
    if (sub === undefined || sub === "") throw new UsageError("--sub is missing: whose token is it?");
    const argv = values.config === undefined ? [] : ["--config", values.config];
    const { auth } = loadConfig({ argv, env: io.env, cwd: io.cwd });
    const rooms = (values.room ?? []).map(grantOf);
    const seconds = secondsOf(values.ttl ?? "1h", auth.maxTokenSeconds);
    if (auth.secret === "")
      throw new Failure(
        'auth.secret is not configured: set FANWIRE_AUTH_SECRET ("openssl rand -hex 32" makes one)',
      );
    const jwt = new SignJWT({ rooms })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setSubject(sub)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${seconds}s`);
    if (auth.issuer !== "") jwt.setIssuer(auth.issuer);
    if (auth.audience !== "") jwt.setAudience(auth.audience);
    await writeLine(io.stdout, await jwt.sign(Buffer.from(auth.secret)));
    return 0;
  },
};

function grantOf(text: string): readonly [string, string] {
  const colon = text.lastIndexOf(":");
  const grant = [text.slice(0, Math.max(0, colon)), text.slice(colon + 1)];
  if (isGrant(grant)) return grant;
  throw new UsageError(`--room ${JSON.stringify(text)} is not PATTERN:RIGHTS, as in ${GRANT_TEXT}`);
}

function secondsOf(text: string, max: number): number {
  const [, count = "", unit = ""] = /^([1-9]\d{0,8})([smh])$/.exec(text) ?? [];
  const seconds = Number(count) * (SECONDS[unit] ?? 0);
  if (seconds > 0 && seconds <= max) return seconds;
  throw new UsageError(`--ttl ${JSON.stringify(text)} is no time such as 90s, 15m or 8h, up to ${max}s`);
}
