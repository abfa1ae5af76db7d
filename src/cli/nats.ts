import { describeChange } from "../broker/nats/plan-change.js";
import { type Provisioning, prepareProvisioning } from "../broker/nats/provision.js";
import { type Config, loadConfig } from "../server/config.js";
import { natsAccessOf, provisionOptionsOf } from "../server/nats-options.js";
import { type Command, type Io, UsageError, writeLine } from "./io.js";
import { coded, NO_SERVERS, purge } from "./nats-purge.js";

const HELP = `Makes the streams that nodes with this configuration need in NATS JetStream, or changes them to what it says now; purges rooms.

  fanwire nats provision --broker nats://127.0.0.1:4222              shows the plan, then does it
  fanwire nats provision --broker nats://127.0.0.1:4222 --dry-run    shows the plan
  fanwire nats provision --force                                     also where it loses data
  fanwire nats purge ROOM… [--dry-run]                               takes away all that rooms have stored

Both take the configuration that "fanwire serve" takes, from the same places: broker, nats.*, defaults, namespaces. Give all nodes
and this command the same file. Nodes make missing streams themselves, unless nats.provision is "never" or their account may not;
what would lose data only this command does.

purge shows what there is; --dry-run does no more. Then it announces the purge to all nodes, waits five seconds, purges what was shown
(not what came since), and tells: who follows such a room gets a reset "purged", now or when he comes back from before it. NATS' own
tools purge as well, but leave nothing that nodes could tell everybody by.

Of the rights that this needs, nodes need none: give it a user of its own (scripts/nats-accounts.conf). Interrupted, it leaves what
it has done; the next run does the rest.

Exit codes: 0 done, or nothing to do; 1 it could not be done, or would lose data; 2 wrong configuration.
`;

export const nats: Command = {
  name: "nats",
  summary: "make and change the streams in NATS, purge rooms: nats provision, nats purge",
  help: () => HELP,
  run: async ([action, ...rest], io) => {
    const own = action === "provision" ? ["--dry-run", "--force"] : ["--dry-run"];
    if (action !== "provision" && action !== "purge")
      throw new UsageError(
        `${action === undefined ? "an action is missing" : `${JSON.stringify(action)} is no action`}; there are provision and purge`,
      );
    const flags = new Set(rest.filter((arg) => own.includes(arg)));
    const others = rest.filter((arg) => !own.includes(arg));
    const rooms = action === "purge" ? untilFlag(others) : [];
    const config = loadConfig({ argv: others.slice(rooms.length), env: io.env, cwd: io.cwd });
    if (action === "purge") await purge(rooms, config, flags.has("--dry-run"), io);
    else await provision(config, flags.has("--dry-run"), flags.has("--force"), io);
    return 0;
  },
};

function untilFlag(args: readonly string[]): readonly string[] {
  const flag = args.findIndex((arg) => arg.startsWith("-"));
  return flag < 0 ? args : args.slice(0, flag);
}

async function provision(config: Config, isDry: boolean, force: boolean, io: Io): Promise<void> {
  const access = natsAccessOf(config);
  if (access === undefined) throw new UsageError(NO_SERVERS);
  const options = { ...provisionOptionsOf(config, access), signal: io.stop };
  const provisioning = await coded(prepareProvisioning(options));
  try {
    await carryOut(provisioning, isDry, force, io);
  } finally {
    await provisioning.close();
  }
}

async function carryOut(
  { change, replicas, server, apply }: Provisioning,
  isDry: boolean,
  force: boolean,
  io: Io,
): Promise<void> {
  await writeLine(io.stdout, `nats-server ${server}, ${replicas} replica${replicas === 1 ? "" : "s"}`);
  for (const line of describeChange(change)) await writeLine(io.stdout, line);
  if (isDry) return;
  await coded(apply(force));
  await writeLine(io.stdout, "done");
}
