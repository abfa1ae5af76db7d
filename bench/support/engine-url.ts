import { ownVersion } from "./environment.js";
import { BadOption } from "./scenario.js";

/** A started engine that is measured from outside. */
export interface EngineAddress {
  readonly host: string;
  readonly port: number;
}

const ASK_MS = 10_000;

/** As it stands in a URL and in a Host header. */
export function authorityOf({ host, port }: EngineAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * The engine at `url`, such as http://127.0.0.1:9001.
 * @throws Error where the address is none, nothing answers there, or it is no fanwire of this version.
 */
export async function engineAt(url: string): Promise<EngineAddress> {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^(?:http|ws):$/.test(parsed.protocol))
    throw new BadOption(
      `--url ${url}: an address such as http://127.0.0.1:9001 is needed; the bench speaks no TLS`,
    );
  const engine = { host: parsed.hostname.replace(/^\[|\]$/g, ""), port: Number(parsed.port || "80") };
  const version = await versionOf(`http://${parsed.host}`);
  const own = ownVersion();
  if (version !== own)
    throw new Error(
      `the engine at ${url} is version ${version}, this bench is ${own}: use that version's own`,
    );
  return engine;
}

async function versionOf(url: string): Promise<string> {
  let answer: unknown;
  try {
    const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(ASK_MS) });
    answer = await response.json().catch(() => undefined);
  } catch (cause) {
    throw new Error(`no engine answers at ${url} (${reasonOf(cause)}); "fanwire serve" starts one`);
  }
  if (typeof answer === "object" && answer !== null && "version" in answer) return String(answer.version);
  throw new Error(`what answers at ${url} is no fanwire`);
}

/** fetch says "fetch failed" and puts what happened into the cause. */
function reasonOf(cause: unknown): string {
  const inner = cause instanceof Error ? (cause.cause ?? cause) : cause;
  return inner instanceof Error ? ((inner as NodeJS.ErrnoException).code ?? inner.message) : String(inner);
}
