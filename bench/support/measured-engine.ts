import { namespaceOf, parseRoom } from "../../protocol/room-name.js";
import { EngineProcess } from "./engine-process.js";
import { type EngineAddress, engineAt } from "./engine-url.js";
import { type CpuTime, cpuSince, cpuTime, residentBytes } from "./proc.js";
import { Refused } from "./refused.js";
import { BadOption } from "./scenario.js";

/** What every scenario has that measures one engine. */
export const ENGINE_OPTIONS = {
  url: {
    default: "",
    help: "an engine that runs, such as http://127.0.0.1:9001, instead of one of its own",
  },
} as const;

/** What an engine has to allow for a scenario: one that runs elsewhere, and so our own is started. */
export interface EngineNeeds {
  /** Settings by namespace, as `fanwire serve --namespaces` takes them. */
  readonly namespaces: Readonly<Record<string, object>>;
  /** Further flags of `fanwire serve`. */
  readonly flags: readonly string[];
  /** The scenario's option that takes what it uses elsewhere. */
  readonly option: "room" | "namespace";
}

/** Our own engine has this core, clients another one. */
const ENGINE_CORE = 0;

/** The engine that a scenario measures: its own, started for it, or one at a URL, of which clients alone can tell. */
export class MeasuredEngine {
  readonly #own: EngineProcess | undefined;
  readonly host: string;
  readonly port: number;

  private constructor(own: EngineProcess | undefined, { host, port }: EngineAddress) {
    this.#own = own;
    this.host = host;
    this.port = port;
  }

  /**
   * The one at `url`, as it is set, or where that is "" one of our own that meets the needs.
   * @throws Error, see {@link engineAt}.
   */
  static async open(url: string, needs: EngineNeeds): Promise<MeasuredEngine> {
    if (url !== "") return new MeasuredEngine(undefined, await engineAt(url));
    const own = await EngineProcess.start(flagsOf(needs), ENGINE_CORE);
    return new MeasuredEngine(own, { host: "127.0.0.1", port: own.port });
  }

  /** Begins now; the function that it returns says what the engine used since, undefined where it is not ours. */
  watchCpu(): () => CpuTime | undefined {
    const pid = this.#own?.child.pid;
    if (pid === undefined) return () => undefined;
    const before = cpuTime(pid);
    return () => cpuSince(pid, before);
  }

  /** undefined where it is not ours. */
  residentBytes(): number | undefined {
    return this.#own === undefined ? undefined : residentBytes(this.#own.child.pid);
  }

  /** undefined where it is not ours: one elsewhere may have many processes, each with counters of its own. */
  async counters(): Promise<Readonly<Record<string, number>> | undefined> {
    return await this.#own?.counters();
  }

  /** Ends our own; one elsewhere goes on. */
  async stop(): Promise<void> {
    await this.#own?.stop();
  }
}

/** Runs what measures; where an engine refuses, the error says what it has to allow, too. */
export async function needing<T>(needs: EngineNeeds, measure: () => Promise<T>): Promise<T> {
  try {
    return await measure();
  } catch (cause) {
    if (!(cause instanceof Refused)) throw cause;
    throw new Refused(`${cause.message}. ${textOf(needs)}`, { cause });
  }
}

/** Notes on whose numbers these are. `own`: those on what is seen of our own engine alone. */
export function engineNotes(url: string, needs: EngineNeeds, own: string): string[] {
  if (url === "") return [own];
  return [
    `The engine at ${url} is measured as it is set; its CPU, memory and counters are not seen from here.`,
    textOf(needs),
  ];
}

/** @throws BadOption where an option's text is no room, or no room begins with it. */
export function checkRoom(option: EngineNeeds["option"], text: string): { readonly namespace: string } {
  let namespace: string;
  try {
    namespace = namespaceOf(parseRoom(text));
  } catch (cause) {
    throw new BadOption(`--${option} ${text}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (option === "room" || namespace === text) return { namespace };
  throw new BadOption(`--${option} ${text}: a namespace is a room's first token, such as ${namespace}`);
}

function flagsOf({ namespaces, flags }: EngineNeeds): string[] {
  return Object.keys(namespaces).length === 0
    ? [...flags]
    : [`--namespaces=${JSON.stringify(namespaces)}`, ...flags];
}

/** To be pasted into a shell; no setting has a quote in it. */
function textOf(needs: EngineNeeds): string {
  const flags = flagsOf(needs).map((flag) => flag.replace(/^([^=]+)=(.*["{].*)$/, "$1='$2'"));
  const command = ["fanwire serve", ...flags].join(" ");
  return `An engine that asks for no token and no API key allows it when started with: ${command} (--${needs.option} takes another ${needs.option})`;
}
