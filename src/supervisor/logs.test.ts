import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { WebSocket } from "ws";
import { TestNode } from "./node.testkit.js";

/** In every payload, token, key and query of this test; letters that nothing else has. */
const SECRET = "zqxj7vkw";
const API_KEY = `${SECRET}-api-key-0123456789`;
const AUTH_SECRET = `${SECRET}-signs-tokens-0123456789abcdefghij`;
const DEADLINE_MS = 20_000;

/** Throws with what it was given, as careless code does. */
const HOOKS = `
export async function onConnect({ query }) {
  if (query.includes("throw")) throw new Error("connect " + query);
}
export async function onSubscribe({ room }) {
  if (room.endsWith("throw")) throw Object.assign(new TypeError("${SECRET} of " + room), { claims: "${SECRET}" });
}
export async function onPublish({ data }) {
  if (data.fail === "parse") JSON.parse(data.text);
  if (data.fail === "throw") throw new Error(JSON.stringify(data), { cause: new Error(data.text) });
  if (data.fail === "name") throw Object.assign(new Error("x"), { name: data.text, code: data.text });
}
`;

/** Opens a socket, sends these, and returns what came until a while after or its end. */
async function talk(
  url: string,
  protocols: readonly string[],
  frames: readonly (string | Buffer)[],
): Promise<string> {
  const socket = new WebSocket(url, [...protocols]);
  let text = "";
  socket.on("message", (data) => {
    text += String(data);
  });
  const timer = setTimeout(() => socket.terminate(), DEADLINE_MS);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => undefined);
  // Welcome, which a hook decides about after the handshake, or why not.
  await Promise.race([new Promise((resolve) => socket.once("message", resolve)), closed]);
  for (const frame of frames) socket.send(frame);
  // Answered in order: when this is, all are. A socket that was closed is over anyhow.
  if (socket.readyState === WebSocket.OPEN) socket.send("[7,99]\n");
  while (!/\[1[78],99[,\]]/.test(text) && socket.readyState === WebSocket.OPEN)
    await Promise.race([new Promise((resolve) => socket.once("message", resolve)), closed]);
  clearTimeout(timer);
  socket.terminate();
  return text;
}

interface Answer {
  readonly status: number | undefined;
  readonly id: string | undefined;
}

/** One HTTP request, whatever is wrong with it. */
async function ask(
  base: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body = "",
): Promise<Answer> {
  const asked = request(new URL(path, base), { method, headers, agent: false, timeout: DEADLINE_MS });
  asked.end(body);
  try {
    const [response] = await once(asked, "response");
    response.resume();
    const id = response.headers["x-request-id"];
    return { status: response.statusCode, id };
  } catch {
    return { status: undefined, id: undefined };
  }
}

test("no payload and no token ever reaches a log; lines about connections and requests have their ids", async (t) => {
  const folder = TestNode.folderFor(t);
  writeFileSync(join(folder, "hooks.mjs"), HOOKS);
  const node = await TestNode.start(t, {
    args: ["--workers", "1", "--hooks.module", join(folder, "hooks.mjs")],
    env: {
      FANWIRE_LOG_LEVEL: "trace",
      FANWIRE_API_KEYS: API_KEY,
      FANWIRE_AUTH_SECRET: AUTH_SECRET,
      FANWIRE_DEFAULTS_ANONYMOUS: "sph",
      FANWIRE_DEFAULTS_PUBLISH: "client",
      FANWIRE_LIMITS_DATA_BYTES: "1000",
    },
  });
  const ws = `${node.url.replace("http", "ws")}/ws`;
  const json = ["fanwire.v1.json"];
  const jwt = `eyJhbGciOiJIUzI1NiJ9.${Buffer.from(`{"sub":"${SECRET}"}`).toString("base64url")}.${SECRET}`;
  const data = (fail: string): string => JSON.stringify({ fail, text: SECRET });
  const said = await talk(ws, json, [
    `[1,1,"chat.a"]\n[3,2,"chat.a",${data("")}]\n[3,3,"chat.a",${data("throw")}]`,
    `[3,4,"chat.a",${data("parse")}]\n[3,5,"chat.a",${data("name")}]\n[1,6,"chat.throw"]`,
    `[3,7,"chat.a","${SECRET.repeat(200)}"]\n[3,8,"chat.a","${SECRET}",{"${SECRET}":1}]`,
    `[4,9,"${jwt}"]\n[3,10,"${SECRET} is no room","${SECRET}"]`,
  ]);
  assert.match(said, /\[17,2,/, "a publish was stored");
  assert.match(said, /\[18,3,"internal"/, "a hook threw");
  await talk(ws, json, [`["${SECRET}"`]);
  await talk(ws, json, [Buffer.from(SECRET)]);
  await talk(ws, ["fanwire.v1"], [Buffer.from([0x93, 0x03, 0x01, 0xff, ...Buffer.from(SECRET)])]);
  await talk(ws, json, [SECRET.repeat(20_000)]);
  await talk(`${ws}?token=${jwt}`, json, []);
  await talk(`${ws}?throw=${SECRET}`, json, []);
  await talk(ws, [...json, `token.${jwt}`], []);
  const post = (path: string, headers: Readonly<Record<string, string>>, body: string): Promise<Answer> =>
    ask(node.url, "POST", path, { "content-type": "application/json", ...headers }, body);
  const own = { authorization: `Bearer ${API_KEY}`, "x-request-id": "the-client.says-1" };
  const stored = await post("/v1/rooms/chat.a/messages", own, data(""));
  assert.deepEqual(stored, { status: 200, id: "the-client.says-1" });
  const failed = await post(
    "/v1/rooms/chat.a/messages",
    { authorization: `Bearer ${API_KEY}` },
    data("throw"),
  );
  assert.equal(failed.status, 500);
  assert.match(failed.id ?? "", /^[\w-]{8}-\w+$/);
  await post("/v1/rooms/chat.a/messages", { authorization: `Bearer ${jwt}` }, data(""));
  await post("/v1/rooms/chat.a/messages", { authorization: SECRET }, data(""));
  await post(`/v1/rooms/chat.a/messages?token=${SECRET}`, own, `{"${SECRET}"`);
  await post(
    "/v1/rooms/chat.a/messages",
    { ...own, "fanwire-key": SECRET, "idempotency-key": SECRET },
    SECRET,
  );
  await post(
    "/v1/messages",
    own,
    `[{"room":"chat.a","data":"${SECRET}"},{"room":"${SECRET}","data":${data("parse")}}]`,
  );
  await post("/v1/revocations", own, `{"jti":"${SECRET}","sub":1}`);
  await post("/v1/revocations", own, `{"jti":"${SECRET}"}`);
  await ask(node.url, "GET", `/v1/rooms/chat.a/messages?after=${SECRET}:1`, own);
  await ask(node.url, "GET", `/v1/rooms/chat.a/state?${SECRET}`, {
    cookie: SECRET,
    "x-request-id": `${SECRET} \t`,
  });
  await ask(node.adminUrl, "POST", "/v1/drain", { authorization: `Bearer ${SECRET}` });
  await ask(node.adminUrl, "GET", `/metrics?${SECRET}`, {});
  node.signal("SIGTERM");
  assert.deepEqual(await node.ended(), { code: 0, signal: null });

  const lines = node.stderr.trim().split("\n");
  assert.deepEqual(
    lines.filter((line) => line.includes(SECRET) || line.includes("eyJ")),
    [],
  );
  assert.ok(!node.stdout.includes(SECRET));
  const parsed = lines.map((line) => JSON.parse(line));
  const about = (message: string) => parsed.filter(({ msg }) => msg === message);
  assert.ok(about("a connection opened").length >= 4);
  const sessions = new Set(about("a connection opened").map(({ session }) => session));
  assert.ok(about("a connection closed").some(({ session, code }) => sessions.has(session) && code > 0));
  assert.ok(about("a handshake was refused").length > 0);
  const hooks = about("a hook failed");
  assert.ok(hooks.length >= 4, String(hooks.length));
  for (const { hook, thrown } of hooks) {
    assert.match(hook, /^on(Connect|Subscribe|Publish)$/);
    assert.match(thrown.stack.join(), /hooks\.mjs/);
  }
});
