import type { Environment } from "../server/config.js";
import { UsageError } from "./io.js";

const DEFAULT_PORT = "9001";

/** Addresses that mean "every interface" to a listener; a client reaches it on loopback. */
const ANY: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "[::1]" };

/**
 * The server to talk to: `--url`, else `FANWIRE_URL`, else where `fanwire serve` listens in the same environment.
 * Any of http, https, ws and wss will do, with or without `/ws`. Returned as http or https, without a slash at the end.
 * @throws UsageError
 */
export function serverUrl(flag: string | undefined, env: Environment): string {
  const given = flag ?? (env.FANWIRE_URL || `http://${hostOf(env)}:${portOf(env)}`);
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !/^(?:http|ws)s?:$/.test(url.protocol))
    throw new UsageError(`the address ${JSON.stringify(given)} is no URL such as http://127.0.0.1:9001`);
  if (url.search !== "" || url.hash !== "" || url.username !== "")
    throw new UsageError("the address has no user, query or fragment; keys go into --api-key");
  const scheme = url.protocol.replace(/^ws/, "http");
  return `${scheme}//${url.host}${url.pathname.replace(/\/(?:ws\/?)?$/, "")}`;
}

function hostOf(env: Environment): string {
  const host = env.FANWIRE_HOST || "127.0.0.1";
  return ANY[host] ?? (host.includes(":") ? `[${host}]` : host);
}

// Not where Kubernetes put the address of a service of this name there.
function portOf(env: Environment): string {
  const port = env.FANWIRE_PORT ?? "";
  return /^\d+$/.test(port) ? port : DEFAULT_PORT;
}
