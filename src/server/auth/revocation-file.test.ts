import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { startTestServer } from "../bystander.testkit.js";
import { idOfRevocation, parseKept, textOfKept } from "./kept-revocation.js";
import { RevocationFile } from "./revocation-file.js";
import type { KeptRevocation } from "./revocations.js";
import { knock, nowSeconds, SECRET, tokenOf } from "./tokens.testkit.js";

const KEY = "admin-key-0123456789";

const byId = (jti: string, until: number): KeptRevocation => ({ revocation: { kind: "jti", jti }, until });

function pathFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-revoked-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "revoked");
}

test("each kind comes back as it was written, and what is something else is refused", () => {
  const all: KeptRevocation[] = [
    byId('a\n"b', 9),
    { revocation: { kind: "sub", sub: "eve", issuedBefore: 7 }, until: 9 },
    { revocation: { kind: "issued", issuedBefore: 7 }, until: 9 },
  ];
  for (const kept of all) assert.deepEqual(parseKept(textOfKept(kept)), kept);
  assert.equal(new Set(all.map(({ revocation }) => idOfRevocation(revocation))).size, all.length);
  for (const wrong of [
    "",
    "1",
    "{}",
    '{"until":9}',
    '{"jti":"a"}',
    '{"sub":"a","until":9}',
    '{"jti":"a","until":"9"}',
  ])
    assert.throws(() => parseKept(wrong), wrong);
});

test("what was kept is there after a restart until its time; what a crash has cut off is left out, all else refused", (t) => {
  const path = pathFor(t);
  const first = new RevocationFile(path, 100, 0);
  first.append(byId("a", 50), 0);
  first.append(byId("b", 90), 0);
  first.close();
  appendFileSync(path, '{"jti":"cut o');
  const second = new RevocationFile(path, 100, 10);
  assert.deepEqual(second.list(), [byId("a", 50), byId("b", 90)]);
  second.append(byId("c", 95), 10);
  second.close();
  const third = new RevocationFile(path, 100, 60);
  assert.deepEqual(third.list(), [byId("b", 90), byId("c", 95)]);
  third.close();
  assert.equal(readFileSync(path, "utf8").split("\n").length, 3, "it begins anew with what is good");
  writeFileSync(path, `${textOfKept(byId("a", 50))}\nnonsense\n`);
  assert.throws(() => new RevocationFile(path, 100, 0), /revocationsFile .*revoked, line 2: /);
  assert.match(readFileSync(path, "utf8"), /nonsense/, "it stays as it is");
  assert.throws(() => new RevocationFile(join(path, "no-folder"), 100, 0), /revocationsFile/);
});

test("the file does not grow for ever", (t) => {
  const path = pathFor(t);
  const file = new RevocationFile(path, 10, 0, 50);
  t.after(() => file.close());
  for (let n = 0; n < 70; n += 1) file.append(byId("again", n + 100), 0);
  assert.ok(readFileSync(path, "utf8").split("\n").length < 40);
  assert.deepEqual(file.list(), [byId("again", 169)]);
  for (let n = 1; n < 10; n += 1) file.append(byId(`n${n}`, 100), 0);
  assert.throws(() => file.append(byId("more", 100), 0), { code: "unavailable" });
});

test("a server without a supervisor keeps the file itself", async (t) => {
  const config = {
    auth: { secret: SECRET, revocationsFile: pathFor(t) },
    apiKeys: [KEY],
  };
  const eve = await tokenOf({ sub: "eve", iat: nowSeconds() - 10 });
  const before = await startTestServer(t, config);
  assert.equal((await knock(before.port, eve)).status, 101);
  const answer = await fetch(`${before.url}/v1/revocations`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: '{"sub":"eve"}',
  });
  assert.equal(answer.status, 200);
  await before.stop();
  const after = await startTestServer(t, config);
  assert.equal((await knock(after.port, eve)).status, 401);
});
