import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fuzz } from "./fuzz.testkit.js";
import { seedOf } from "./seeds.testkit.js";

// `npm run fuzz -- --seconds 60 --seed 7`: a node of real processes, and clients that send whatever comes to mind.
const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const SECONDS_MAX = 3_600;

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } },
});
const seconds = Math.min(Math.max(1, Number(values.seconds)), SECONDS_MAX);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const folder = mkdtempSync(join(tmpdir(), "fanwire-fuzz-"));
const args = ["serve", "--port", "0", "--admin.port", "0", "--workers", "2", "--demo"];
const env = {
  PATH: process.env.PATH,
  FANWIRE_LIMITS_HANDSHAKE_LAG_MS: "60000",
  FANWIRE_LIMITS_HANDSHAKES_PER_SECOND: "100000",
};
const node = spawn(process.execPath, [MAIN, ...args], {
  cwd: folder,
  env,
  stdio: ["ignore", "ignore", "pipe"],
});
const end = (): void => {
  node.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
};
process.once("exit", end);
process.once("SIGINT", () => process.exit(130));

let log = "";
const [url = "", admin = ""] = await new Promise<string[]>((resolve, reject) => {
  node.once("exit", (code) => reject(new Error(`the node ended with ${code}: ${log}`)));
  node.stderr.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-100_000);
    const found = /"url":"([^"]+)","admin":"([^"]+)"/.exec(log);
    if (found !== null) resolve(found.slice(1));
  });
});
console.log(`seed ${seed}, ${seconds} s against ${url}`);
const target = {
  url,
  port: Number(new URL(url).port),
  status: async () => (await fetch(`${admin}/v1/node`)).json(),
};
const { runs, finding } = await fuzz(target, { seconds, seed, report: (line) => console.log(line) });
console.log(`${runs} connections`);
if (finding !== undefined) {
  console.log(
    `FOUND: ${finding.problem}\nfor src/hostile/seeds.json: ${JSON.stringify(seedOf("say what", finding.script))}`,
  );
  console.log(log.slice(-4_000));
}
process.exit(finding === undefined ? 0 : 1);
