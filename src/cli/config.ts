import { loadConfig, maskSecrets } from "../server/config.js";
import { configJsonSchema, configMarkdown, configReference } from "../server/config-table.js";
import { type Command, writeLine } from "./io.js";

const HELP = `Prints the effective configuration as JSON, with secrets masked, and every problem in it.

  fanwire config                      what "fanwire serve" would run with here
  fanwire config --port 9002 --demo   the same with flags
  fanwire config --schema             JSON Schema of the file, for editors
  fanwire config --markdown           the table of all keys

Flags go over environment, environment over file, file over defaults. The file is fanwire.config.json in the working
directory, or what --config or FANWIRE_CONFIG names; its keys are those below, nested. An empty variable is not set.
Lists are separated by commas, or the flag is repeated. Switches are --demo and --no-demo.

Exit codes: 0 valid, 2 not.

Keys:
`;

export const config: Command = {
  name: "config",
  summary: "print the effective configuration; --help lists every setting",
  help: () => `${HELP}\n${configReference()}`,
  run: async (args, io) => {
    const [only] = args;
    if (args.length === 1 && only === "--schema")
      await writeLine(io.stdout, JSON.stringify(configJsonSchema(), undefined, 2));
    else if (args.length === 1 && only === "--markdown")
      await writeLine(io.stdout, configMarkdown().trimEnd());
    else {
      const effective = loadConfig({ argv: args, env: io.env, cwd: io.cwd });
      await writeLine(io.stdout, JSON.stringify(maskSecrets(effective), undefined, 2));
    }
    return 0;
  },
};
