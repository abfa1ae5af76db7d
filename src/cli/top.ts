import { setTimeout as sleep } from "node:timers/promises";
import type { NodeStatus } from "../supervisor/status.js";
import { countFlag, parseFlags } from "./flags.js";
import { type Command, Failure, type Io, UsageError, writeLine } from "./io.js";
import { topText } from "./top-text.js";

const HELP = `Shows what a node does, process by process, until Ctrl-C.

  fanwire top                                   the node on this machine, every second
  fanwire top --admin http://10.0.0.5:9002 --every 5
  fanwire top --count 1                         once: states without rates, for scripts

  --admin URL    the node's admin port (default FANWIRE_ADMIN_URL, else http://127.0.0.1 with FANWIRE_ADMIN_PORT, else 9002)
  --api-key KEY  one of the node's apiKeys, where its admin port asks for one (default FANWIRE_API_KEY)
  --every N      seconds between two looks (default 1)
  --count N      looks; without it until Ctrl-C

in/s: messages from the broker. out/s: messages handed to sockets, one for each socket; of a hub, to workers.
latency: from a message's time to the turn that hands it to sockets, between two looks.
slow/s: readers that were too slow and lost their flow; they resume.

Exit codes: 0 done, 1 the node does not answer, 2 wrong arguments.
`;

const DEFAULT_PORT = "9002";
const ANSWER_MS = 5_000;
const CLEAR = "\u001b[H\u001b[2J";

export const top: Command = {
  name: "top",
  summary: "show what a node does, live",
  help: () => HELP,
  run: async (args, io) => {
    const { values, positionals } = parseFlags(args, {
      admin: { type: "string" },
      "api-key": { type: "string" },
      every: { type: "string" },
      count: { type: "string" },
    });
    if (positionals.length > 0)
      throw new UsageError(`${JSON.stringify(positionals[0])}: top takes flags only`);
    const url = adminUrl(values.admin, io);
    const key = values["api-key"] ?? io.env.FANWIRE_API_KEY;
    const everyMs = (countFlag("every", values.every) ?? 1) * 1_000;
    const looks = countFlag("count", values.count) ?? Number.POSITIVE_INFINITY;
    const isTerminal = "isTTY" in io.stdout && io.stdout.isTTY === true;
    let before: NodeStatus | undefined;
    for (let look = 1; !io.stop.aborted; look += 1) {
      const now = await statusAt(url, key);
      await writeLine(io.stdout, `${isTerminal && looks > 1 ? CLEAR : ""}${topText(now, before)}`);
      if (look >= looks) break;
      before = now;
      await sleep(everyMs, undefined, { signal: io.stop }).catch(() => {
        // Ctrl-C: the loop sees it.
      });
      if (!isTerminal && !io.stop.aborted) await writeLine(io.stdout, "");
    }
    return 0;
  },
};

/** @throws UsageError */
function adminUrl(flag: string | undefined, { env }: Io): string {
  const given =
    flag ?? (env.FANWIRE_ADMIN_URL || `http://127.0.0.1:${env.FANWIRE_ADMIN_PORT || DEFAULT_PORT}`);
  if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol))
    throw new UsageError(`the address ${JSON.stringify(given)} is no URL such as http://127.0.0.1:9002`);
  return given.replace(/\/+$/, "");
}

/** @throws Failure where it does not answer, or not as an admin port does. */
async function statusAt(url: string, key: string | undefined): Promise<NodeStatus> {
  const headers: Record<string, string> = key ? { authorization: `Bearer ${key}` } : {};
  let response: Response;
  try {
    response = await fetch(`${url}/v1/node`, { headers, signal: AbortSignal.timeout(ANSWER_MS) });
  } catch (cause) {
    const { cause: inner } = cause instanceof Error ? cause : {};
    const why =
      inner instanceof Error ? inner.message : cause instanceof Error ? cause.message : String(cause);
    throw new Failure(`no admin port answers at ${url} (${why}); --admin names another`, "unavailable");
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw new Failure(`${url} answers ${response.status}: ${JSON.stringify(body) ?? ""}`);
  if (!isStatus(body)) throw new Failure(`what answers at ${url} is no admin port of fanwire`);
  return body;
}

function isStatus(body: unknown): body is NodeStatus {
  return (
    typeof body === "object" && body !== null && "workers" in body && "hubs" in body && "versions" in body
  );
}
