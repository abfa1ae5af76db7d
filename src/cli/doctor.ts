import { capacityOf } from "../server/capacity.js";
import { readFacts } from "../server/capacity-facts.js";
import { loadConfig } from "../server/config.js";
import { probe } from "./doctor-probes.js";
import { type Diagnosis, diagnosisText } from "./doctor-text.js";
import { type Command, writeLine } from "./io.js";

const HELP = `Says how many connections this machine allows of those configured, what bounds them, and what to change.

  fanwire doctor                            for what "fanwire serve" would run with here
  fanwire doctor --workers 4 --limits.connections 200000
  fanwire doctor --json                     for programs

Takes every setting that "fanwire serve" takes, in the same ways, and changes nothing. limits.connections are the
sockets of the whole node. Limits belong to who starts a program: run it as the user, in the container or the systemd
unit (systemd-run --pty with its properties) that fanwire is to run in.

Exit codes: 0 the configured connections can be reached, 1 they cannot, or fanwire would not start, 2 wrong configuration.
`;

export const doctor: Command = {
  name: "doctor",
  summary: "say how many connections this machine allows, and what to change",
  help: () => HELP,
  run: async (args, io) => {
    const json = args.includes("--json");
    const argv = args.filter((arg) => arg !== "--json");
    const config = loadConfig({ argv, env: io.env, cwd: io.cwd });
    const facts = readFacts();
    const capacity = capacityOf(config, facts);
    const findings = [...(await probe(config, capacity.hubs)), ...capacity.findings];
    const ok = findings.every(({ level }) => level !== "problem");
    const diagnosis: Diagnosis = { ok, ...capacity, findings, facts };
    await writeLine(io.stdout, json ? JSON.stringify(diagnosis, undefined, 2) : diagnosisText(diagnosis));
    return ok ? 0 : 1;
  },
};
