import { randomBytes } from "node:crypto";
import { digestOf } from "../server/auth/api-keys.js";
import { type Command, UsageError, writeLine } from "./io.js";

const HELP = `Makes an API key: prints the key, for whoever is to have it, and what belongs into apiKeys of the configuration, which holds
no more than its SHA-256.

  fanwire key billing

A key is rotated without a restart: add the new one, send SIGHUP, hand it out, remove the old one, send SIGHUP. "rooms" narrows what it
may do, such as [["chat.>","p"]]; "admin": true lets it revoke tokens and drain.

Exit codes: 0 printed, 2 wrong arguments.
`;

const BYTES = 32;

export const key: Command = {
  name: "key",
  summary: "make an API key and its entry in the configuration",
  help: () => HELP,
  run: async (args, io) => {
    const [name, ...more] = args;
    if (name === undefined || more.length > 0 || !/^[A-Za-z0-9._-]{1,64}$/.test(name) || name.startsWith("-"))
      throw new UsageError("one NAME of 1 to 64 of A-Z a-z 0-9 . _ - is needed: fanwire key NAME");
    const made = `fw_${randomBytes(BYTES).toString("base64url")}`;
    await writeLine(io.stdout, made);
    await writeLine(io.stdout, JSON.stringify({ name, sha256: digestOf(made) }));
    return 0;
  },
};
