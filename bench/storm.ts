/**
 * A storm: some workers of a box are killed with SIGKILL at once, and everybody they served comes back to the others and
 * to the replacements, honouring refusals, while publishing goes on. Measured from the kill: until all are live again and
 * caught up, and what those see meanwhile who lost nothing.
 *
 * A process here holds less than 20,000 sockets, so 50,000 clients that lose their worker at once are those of
 * several workers.
 */

import { Arena } from "./fleet/arena.js";
import { measureStorm, type StormSeen, stormRows, WITNESS_NOTE } from "./fleet/storm-phase.js";
import { digits, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";

const OPTIONS = {
  connections: { default: 75_000, help: "clients" },
  witnesses: {
    default: 1_500,
    help: "of them, in a process of their own; those who would lose their worker leave",
  },
  workers: { default: 9, help: "workers" },
  kill: { default: 6, help: "workers that are killed at once" },
  "rooms-each": { default: 3, help: "rooms of each client; the first is everybody's" },
  rooms: { default: 1_001, help: "rooms in all" },
  rate: { default: 50, help: "messages a second, to all rooms but everybody's in turn" },
  bytes: { default: 100, help: "bytes of a message's data" },
  "connect-rate": { default: 4_000, help: "new connections a second, before the storm" },
  "answer-seconds": { default: 30, help: "after which a handshake without an answer is looked into" },
  "quiet-seconds": { default: 10, help: "publishing without a storm, for comparison" },
  "deadline-seconds": { default: 120, help: "in which all must be back" },
  serve: { default: "", help: "further arguments of fanwire serve" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const storm = defineScenario({
  name: "storm",
  summary: "workers with 50,000 clients die at once: how fast all are back, what others notice",
  options: OPTIONS,
  run: async (options) => [report(options, await measure(options))],
});

interface Result {
  readonly killed: readonly number[];
  readonly witnesses: number;
  readonly storm: StormSeen;
  readonly verdicts: Readonly<Record<string, number>>;
  readonly kernelEvents: string;
}

async function measure(options: Options): Promise<Result> {
  if (options.kill < 1 || options.kill >= options.workers)
    throw new BadOption(`--kill ${options.kill}: at least one and not all of the ${options.workers} workers`);
  const arena = await Arena.start({
    node: { workers: options.workers, flags: splitArgs(options.serve) },
    connections: options.connections,
    witnesses: options.witnesses,
    rooms: { rooms: options.rooms, roomsEach: options["rooms-each"], shared: true },
    bytes: options.bytes,
    connectRate: options["connect-rate"],
    answerMs: options["answer-seconds"] * 1_000,
  });
  try {
    progress(`connecting ${options.connections}`);
    await arena.connectAll();
    const { node, workers } = await arena.node.status();
    const doomed = workers.slice(0, options.kill);
    // Witnesses are those who keep their worker.
    const dismissed = await arena.fleet.dismissWitnesses(doomed.map(({ index }) => `${node}.${index}`));
    const killed = doomed.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
    const storm = await measureStorm(arena, {
      rate: options.rate,
      quietSeconds: options["quiet-seconds"],
      deadlineMs: options["deadline-seconds"] * 1_000,
      strike: async () => {
        for (const pid of killed) process.kill(pid, "SIGKILL");
        progress(`${killed.length} workers killed`);
        await arena.someLost();
        return options.connections - dismissed;
      },
    });
    const witnesses = options.witnesses - dismissed;
    return {
      killed,
      witnesses,
      storm,
      verdicts: Object.fromEntries(arena.verdicts),
      kernelEvents: arena.kernelEvents,
    };
  } finally {
    await arena.stop();
  }
}

function report(options: Options, { storm, witnesses, verdicts, kernelEvents, killed }: Result): Table {
  const found = [...storm.troubles];
  if (storm.lostBefore > 0) found.push(`${storm.lostBefore} connections were lost before the storm`);
  return {
    title: `Storm: ${killed.length} of ${options.workers} workers killed, ${digits(options.connections)} connections with ${options["rooms-each"]} of ${digits(options.rooms)} rooms each`,
    columns: ["what", "measured"],
    rows: [["lost their worker", digits(storm.counts.lost)], ...stormRows(storm)],
    notes: [
      found.length === 0
        ? "Every subscription recovered; every message delivered to every client exactly once and in order."
        : `TROUBLE: ${found.join(" | ")}`,
      `${witnesses} witnesses. ${WITNESS_NOTE}`,
      `Ends of attempts and connections: ${JSON.stringify(storm.handshakes.reasons)}.`,
      `Kernel events: ${kernelEvents}. Overdue handshakes: ${JSON.stringify(verdicts)}.`,
    ],
    invalid: storm.invalid,
    raw: { killed, witnesses, storm, verdicts, kernelEvents },
  };
}
