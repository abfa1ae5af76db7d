import { describeChange } from "../broker/nats/plan-change.js";
import { type Provisioning, prepareProvisioning } from "../broker/nats/provision.js";
import { CodedError } from "../protocol/errors.js";
import { loadConfig } from "../server/config.js";
import { natsAccessOf, provisionOptionsOf } from "../server/nats-options.js";
import { type Command, Failure, type Io, UsageError, writeLine } from "./io.js";

const HELP = `Makes the streams that nodes with this configuration need in NATS JetStream, or changes them to what it says now.

  fanwire nats provision --broker nats://127.0.0.1:4222              shows the plan, then does it
  fanwire nats provision --broker nats://127.0.0.1:4222 --dry-run    shows the plan
  fanwire nats provision --force                                     also where it loses data

Takes the configuration that "fanwire serve" takes, from the same places: broker, nats.*, defaults, namespaces. Give all nodes
and this command the same file. Nodes make missing streams themselves, unless nats.provision is "never" or their account may not;
what would lose data only this command does.

Of the rights that this needs, nodes need none: give it a user of its own (scripts/nats-accounts.conf). Interrupted, it leaves what
it has done; the next run does the rest.

Exit codes: 0 done, or nothing to do; 1 it could not be done, or would lose data; 2 wrong configuration.
`;

export const nats: Command = {
  name: "nats",
  summary: "make and change the streams in NATS: nats provision",
  help: () => HELP,
  run: async ([action, ...rest], io) => {
    if (action !== "provision")
      throw new UsageError(
        `${action === undefined ? "an action is missing" : `${JSON.stringify(action)} is no action`}; there is provision`,
      );
    const own = ["--dry-run", "--force"];
    const flags = new Set(rest.filter((arg) => own.includes(arg)));
    const config = loadConfig({ argv: rest.filter((arg) => !own.includes(arg)), env: io.env, cwd: io.cwd });
    const access = natsAccessOf(config);
    if (access === undefined)
      throw new UsageError(
        'broker is "memory": name the servers, for instance --broker nats://127.0.0.1:4222',
      );
    const options = { ...provisionOptionsOf(config, access), signal: io.stop };
    const provisioning = await coded(prepareProvisioning(options));
    try {
      await provision(provisioning, flags.has("--dry-run"), flags.has("--force"), io);
    } finally {
      await provisioning.close();
    }
    return 0;
  },
};

async function provision(
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

async function coded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw cause instanceof CodedError ? new Failure(cause.message, cause.code) : cause;
  }
}
