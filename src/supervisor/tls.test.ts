import assert from "node:assert/strict";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect, type PeerCertificate, type TLSSocket } from "node:tls";
import { WebSocket } from "ws";
import { Client } from "../client/index.js";
import { Authority, type Pair } from "../server/certificates.testkit.js";
import { checkTlsFiles } from "../server/tls-files.js";
import { TestNode } from "./node.testkit.js";

const DEADLINE_MS = 60_000;

/** Certificate and key at paths that stay while what is in them changes, as renewals do it. */
function place(folder: string, { cert, key }: Pair): Pair {
  const placed = { cert: join(folder, "live.pem"), key: join(folder, "live.key") };
  copyFileSync(cert, placed.cert);
  copyFileSync(key, placed.key);
  return placed;
}

async function greet(port: number, ca: Buffer, maxVersion?: "TLSv1.1"): Promise<PeerCertificate> {
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    const old =
      maxVersion === undefined
        ? {}
        : ({ maxVersion, minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" } as const);
    const made = connect({ port, host: "127.0.0.1", servername: "localhost", ca, ...old }, () =>
      resolve(made),
    );
    made.once("error", reject);
  });
  const certificate = socket.getPeerCertificate();
  socket.destroy();
  return certificate;
}

function publish(url: string, agent: Agent, room: string, data: unknown): Promise<number> {
  const body = JSON.stringify(data);
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/rooms/${room}/messages`, {
      agent,
      method: "POST",
      headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
    });
    sent.on("error", reject);
    sent.on("response", (response) => response.resume().on("end", () => resolve(response.statusCode ?? 0)));
    sent.end(body);
  });
}

/** A client that checks the whole chain up to the root. */
function subscribe(t: TestContext, url: string, ca: Buffer, room: string) {
  class Trusting extends WebSocket {
    constructor(address: string, protocols?: string | string[]) {
      super(address, protocols, { ca });
    }
  }
  const client = new Client(`${url.replace(/^http/, "ws")}/ws`, {
    WebSocket: Trusting,
    backoffBaseMs: 50,
    backoffCapMs: 500,
  });
  t.after(() => client.close());
  const numbers: number[] = [];
  const resets: string[] = [];
  const subscription = client.subscribe<number>(room);
  subscription.on("message", ({ data }) => numbers.push(Number(data)));
  subscription.on("reset", ({ reason }) => resets.push(reason));
  return { subscription, numbers, resets };
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const endMs = Date.now() + DEADLINE_MS;
  while (!isSo()) {
    assert.ok(Date.now() < endMs, `not ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("https and wss with a chain of three; SIGHUP takes a renewed certificate without a gap; a wrong one changes nothing", {
  timeout: 120_000,
}, async (t) => {
  const folder = TestNode.folderFor(t);
  const authority = new Authority(folder);
  const ca = readFileSync(authority.root);
  const { cert, key } = place(folder, authority.issue("first"));
  const args = ["--workers", "2", "--drain-seconds", "0", "--tls-cert", cert, "--tls-key", key];
  const node = await TestNode.start(t, { args });
  assert.match(node.url, /^https:/);
  const url = `https://localhost:${node.port}`;
  const agent = new Agent({ ca, keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const { subscription, numbers, resets } = subscribe(t, url, ca, "tls.room");
  await until("live", () => subscription.state.kind === "live");
  assert.equal((await greet(node.port, ca)).subject.CN, "first");
  await assert.rejects(greet(node.port, ca, "TLSv1.1"), "old versions are refused");
  await assert.rejects(greet(node.port, Buffer.from("")), "the chain is a real one");
  const told = await new Promise<(string | undefined)[]>((resolve, reject) => {
    const answers: (string | undefined)[] = [];
    for (const path of ["/", "/ws", "/v1/none"])
      request(`${url}${path}`, { agent: new Agent({ ca }) }, (response) => {
        answers.push(response.headers["strict-transport-security"]);
        response.resume();
        if (answers.length === 3) resolve(answers);
      })
        .on("error", reject)
        .end();
  });
  assert.deepEqual(told, Array<string>(3).fill("max-age=2592000"), "pages, refusals and errors say it");
  let last = 0;
  const some = async (): Promise<void> => {
    for (let count = 0; count < 50; count += 1) {
      last += 1;
      assert.equal(await publish(url, agent, "tls.room", last), 200);
    }
  };
  await some();
  await until("all here", () => numbers.length === last);

  place(folder, authority.issue("second"));
  const before = await node.workerPids();
  node.signal("SIGHUP");
  await node.until(
    "replaced",
    (status) =>
      status.state === "running" &&
      status.workers.length === 2 &&
      status.workers.every(({ pid, state }) => state === "ready" && !before.includes(pid ?? 0)),
  );
  assert.equal((await greet(node.port, ca)).subject.CN, "second");
  agent.destroy();
  const fresh = new Agent({ ca, keepAlive: true, maxSockets: 1 });
  t.after(() => fresh.destroy());
  for (let count = 0; count < 50; count += 1) {
    last += 1;
    assert.equal(await publish(url, fresh, "tls.room", last), 200);
  }
  await until("all here again", () => numbers.length === last);
  assert.deepEqual(
    numbers,
    Array.from({ length: last }, (_, index) => index + 1),
  );
  assert.deepEqual(resets, []);

  writeFileSync(key, readFileSync(authority.issue("third").key));
  node.signal("SIGHUP");
  await node.untilText("stderr", /not reloaded[^\n]*|is not the key of the first certificate/);
  assert.equal((await greet(node.port, ca)).subject.CN, "second");
  assert.equal(await publish(url, fresh, "tls.room", last + 1), 200);
});

test("what is wrong with the files is said, and the node does not start", async (t) => {
  const folder = TestNode.folderFor(t);
  const authority = new Authority(folder);
  const [one, other] = [authority.issue("one"), authority.issue("other")];
  const node = TestNode.launch(t, { args: ["--tls-cert", one.cert, "--tls-key", other.key] });
  assert.equal((await node.ended()).code, 1);
  assert.match(node.stderr, /tls\.key: \S+ is not the key of the first certificate in /);
  const half = TestNode.launch(t, { args: ["--tls-cert", one.cert] });
  assert.equal((await half.ended()).code, 2);
  assert.match(half.stderr, /tls\.cert and tls\.key, or neither/);
  const nowMs = Date.now();
  assert.equal(checkTlsFiles({ cert: "", key: "" }, nowMs), undefined);
  const facts = checkTlsFiles(one, nowMs);
  assert.deepEqual([facts?.subject, facts?.expired], ["CN=one", false]);
  assert.equal(checkTlsFiles(one, nowMs + 3 * 86_400_000)?.expired, true);
  assert.throws(
    () => checkTlsFiles({ ...one, cert: join(folder, "none") }, nowMs),
    /tls\.cert: \S+ cannot be read: ENOENT/,
  );
  assert.throws(() => checkTlsFiles({ ...one, cert: one.key }, nowMs), /tls\.cert: \S+ is no certificate/);
  assert.throws(() => checkTlsFiles({ ...one, key: one.cert }, nowMs), /tls\.key: \S+ is no private key/);
});
