import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type ListenOptions } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Finding } from "../server/capacity-findings.js";
import type { Config } from "../server/config.js";
import { whyNotListening } from "../server/gateway-port.js";

const ANSWER_MS = 1_000;

/** Tries what `fanwire serve` needs: the native module, its ports, a socket between processes where there are hubs. */
export async function probe(config: Config, hubs: number): Promise<readonly Finding[]> {
  const between = hubs === 0 ? [] : [await socketBetween()];
  return [await engine(), ...(await ports(config)), ...between];
}

/** Its binaries each fit one version of Node, and the C library from some version on. */
async function engine(): Promise<Finding> {
  const subject = "engine";
  const versions = `Node ${process.versions.node}, glibc ${glibcVersion() ?? "none"}`;
  try {
    await import("../server/gateway.js");
    return { level: "ok", subject, text: `${versions}: uWebSockets.js loads`, fixes: [] };
  } catch (cause) {
    const text = `${versions}: uWebSockets.js does not load: ${textOf(cause)}`;
    const fixes = ["Node 20 on glibc 2.27 or later", "Node 22 or later on glibc 2.38 or later"];
    return { level: "problem", subject, text, fixes };
  }
}

function glibcVersion(): string | undefined {
  const { report } = process;
  // Or it would look up the names of all connections' peers.
  Object.assign(report, { excludeNetwork: true });
  const made: unknown = report.getReport();
  const version = isRecord(made) && isRecord(made.header) ? made.header.glibcVersionRuntime : undefined;
  return typeof version === "string" ? version : undefined;
}

async function ports({ host, port, admin }: Config): Promise<readonly Finding[]> {
  const own = await portFinding("port", host, port);
  // What runs there has the other one, too.
  return own.running
    ? [own.finding]
    : [own.finding, (await portFinding("admin port", admin.host, admin.port)).finding];
}

async function portFinding(
  subject: string,
  host: string,
  port: number,
): Promise<{ readonly finding: Finding; readonly running: boolean }> {
  const found = (level: Finding["level"], text: string, fixes: readonly string[] = [], running = false) => ({
    finding: { level, subject, text, fixes },
    running,
  });
  if (port === 0) return found("ok", `any free one of ${host}`);
  const failure = await listening({ host, port, exclusive: true });
  if (failure === undefined) return found("ok", `${host}:${port} is free`);
  if (failure.code === "EADDRINUSE") {
    const node = await fanwireAt(host, port);
    if (node !== undefined) return found("ok", `fanwire runs on ${host}:${port}, as ${node}`, [], true);
  }
  const key = subject === "port" ? "port" : "admin.port";
  return found("problem", (await whyNotListening(host, port)).message, [`--${key} with another one`]);
}

/** The name of the node that answers there. */
async function fanwireAt(host: string, port: number): Promise<string | undefined> {
  const reached = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const origin = `http://${reached.includes(":") ? `[${reached}]` : reached}:${port}`;
  try {
    const reply = await fetch(`${origin}/healthz`, {
      signal: AbortSignal.timeout(ANSWER_MS),
      redirect: "error",
    });
    const body: unknown = await reply.json();
    return isRecord(body) && typeof body.node === "string" && typeof body.version === "string"
      ? body.node
      : undefined;
  } catch {
    // Whatever is there, it does not answer as fanwire does.
    return undefined;
  }
}

/** Hubs and workers talk over a socket in the folder for temporary files. */
async function socketBetween(): Promise<Finding> {
  const subject = "sockets of hubs";
  const failure = await socketInTemporaryFolder();
  if (failure === undefined) return { level: "ok", subject, text: `${tmpdir()} takes them`, fixes: [] };
  return {
    level: "problem",
    subject,
    text: `there can be none in ${tmpdir()}: ${textOf(failure)}`,
    fixes: ["TMPDIR set to a folder with a short name that may be written to"],
  };
}

async function socketInTemporaryFolder(): Promise<unknown> {
  try {
    const folder = await mkdtemp(join(tmpdir(), "fanwire-"));
    try {
      return await listening({ path: join(folder, "hub-0.sock") });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  } catch (cause) {
    return cause;
  }
}

/** Whether one can listen there: the reason why not, else undefined. */
function listening(options: ListenOptions): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen(options, () => server.close(() => resolve(undefined)));
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
