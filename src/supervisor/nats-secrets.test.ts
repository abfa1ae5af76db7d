import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { TestNode } from "./node.testkit.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const PASSWORD = "pa55-that-nobody-may-see";
const TOKEN = "tok3n-that-nobody-may-see";

test("a password is in no log, on no status page and in no error, whether it is right or wrong", async (t) => {
  const server = await NatsServer.start({
    bare: true,
    config: `authorization { user: "fan", password: "${PASSWORD}" }`,
  });
  t.after(() => server.dispose());
  const args = ["--workers", "2", "--broker", server.url, "--nats.partitions", "2", "--log.level", "trace"];
  const env = { FANWIRE_NATS_USER: "fan", FANWIRE_NATS_PASSWORD: PASSWORD };
  const node = await TestNode.start(t, { args, env });
  const seen: string[] = [];
  for (const path of ["/v1/node", "/readyz", "/livez"])
    seen.push(await (await fetch(`${node.adminUrl}${path}`)).text());
  // Losing and finding NATS again is logged, too.
  await server.kill();
  await node.until("not ready", ({ ready }) => !ready);
  await server.restart();
  await node.until("ready", ({ ready }) => ready);
  seen.push(await printed(["config", ...args], env));
  assert.match(seen.at(-1) ?? "", /"password": "\*+"/);
  const wrong = TestNode.launch(t, { args, env: { ...env, FANWIRE_NATS_PASSWORD: `not-${PASSWORD}` } });
  assert.equal((await wrong.ended()).code, 1);
  assert.match(wrong.stderr, /the server refuses user .*fan.*check nats\.user and nats\.password/);
  seen.push(wrong.stderr, wrong.stdout, node.stderr, node.stdout);
  for (const text of seen) assert.ok(!text.includes(PASSWORD), text);
});

test("a token that is refused is not shown, nor one that was put where it does not belong", async (t) => {
  const server = await NatsServer.start({ bare: true, config: 'authorization { token: "another" }' });
  t.after(() => server.dispose());
  const env = { FANWIRE_NATS_TOKEN: TOKEN };
  const provision = await printed(["nats", "provision", "--broker", server.url], env);
  assert.match(provision, /fanwire nats: unauthenticated: NATS at .*: the server refuses the token/);
  const misplaced = await printed(["serve", "--broker", server.url.replace("//", `//${TOKEN}@`)], {});
  assert.match(misplaced, /no credentials/);
  for (const text of [provision, misplaced]) assert.ok(!text.includes(TOKEN), text);
});

/** All that the command prints until it ends. */
function printed(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, ...env }, timeout: 30_000 };
    execFile(process.execPath, [MAIN, ...args], options, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}
