import assert from "node:assert/strict";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeMulti } from "@msgpack/msgpack";
import fc from "fast-check";
import type { NodeStatus } from "../supervisor/status.js";
import { type Script, scripts } from "./fuzz-grammar.testkit.js";

/** The node under test, as far as it is needed. */
export interface Target {
  readonly port: number;
  readonly url: string;
  status(): Promise<NodeStatus>;
}

export interface FuzzOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Told now and then. */
  readonly report?: (line: string) => void;
}

/** What broke the node, or what it should not have said. */
export interface Finding {
  readonly script: Script;
  readonly problem: string;
}

const AT_ONCE = 24;
const BATCH = 240;
/** Between pieces, so that they come apart; a handshake must be answered before frames count. */
const GAP_MS = 4;
const LINGER_MS = 30;
const CANARY_MS = 10_000;
/** A worker's counters come with its beat, once a second. */
const BEAT_MS = 1_500;
/** What no client may ever be shown. */
const INTERNALS = /node_modules|at file:|at async|\.js:\d+|HTTP\/1\.1 500|"internal"/;

/** Runs scripts of one seed until the time is over. Returns how many, and what was found. */
export async function fuzz(
  target: Target,
  { seconds, seed, report = () => {} }: FuzzOptions,
): Promise<{ readonly runs: number; readonly finding: Finding | undefined }> {
  const endMs = Date.now() + seconds * 1_000;
  const healthy = await healthOf(target);
  let runs = 0;
  for (let batch = 0; Date.now() < endMs; batch += 1) {
    const list = fc.sample(scripts, { seed: seed + batch, numRuns: BATCH });
    const finding = (await runAll(target, list, endMs)) ?? (await blame(target, list, healthy));
    runs += list.length;
    if (finding !== undefined) return { runs, finding };
    report(`${runs} connections, batch seed ${seed + batch}`);
  }
  return { runs, finding: undefined };
}

/** Runs one script and checks what came back. */
export async function runScript(target: Target, script: Script): Promise<Finding | undefined> {
  const answer = await play(target, script);
  const problem = problemOf(answer);
  return problem === undefined ? undefined : { script, problem };
}

/** Fails unless the node serves as before: the same processes, no fault, answers in time. */
export async function healthOf(target: Target): Promise<string> {
  const answer = await fetch(`${target.url}/healthz`, { signal: AbortSignal.timeout(CANARY_MS) });
  assert.equal(answer.status, 200);
  await answer.arrayBuffer();
  const { workers, hubs } = await target.status();
  const faults = workers.map(({ report }) => {
    const { gateway, engine } = report?.counters ?? {};
    return (gateway?.faults ?? 0) + (engine?.chainBroken ?? 0);
  });
  return JSON.stringify({ pids: [...workers, ...hubs].map(({ pid }) => pid), faults });
}

async function runAll(target: Target, list: readonly Script[], endMs: number): Promise<Finding | undefined> {
  const queue = [...list];
  const found: Finding[] = [];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (
        let script = queue.pop();
        script !== undefined && Date.now() < endMs + 2_000;
        script = queue.pop()
      ) {
        const finding = await runScript(target, script);
        if (finding !== undefined) found.push(finding);
      }
    }),
  );
  return found[0];
}

/** Who of a batch it was, where the node is not as it was before; one after the other, against what is left of it. */
async function blame(target: Target, list: readonly Script[], healthy: string): Promise<Finding | undefined> {
  const first = list[0];
  // The counters come with the next beat.
  const found = await healthOf(target).catch((cause: unknown) => String(cause));
  if (found === healthy || first === undefined) return undefined;
  let suspects = list;
  while (suspects.length > 1) {
    const half = suspects.slice(0, Math.ceil(suspects.length / 2));
    suspects = (await isChangedBy(target, half)) ? half : suspects.slice(half.length);
  }
  const [last] = suspects;
  if (last !== undefined && (await isChangedBy(target, [last])))
    return { script: last, problem: `the node was ${healthy}, then ${found}` };
  return {
    script: first,
    problem: `the node was ${healthy} and is ${found}; no single script of the batch does it`,
  };
}

async function isChangedBy(target: Target, list: readonly Script[]): Promise<boolean> {
  const before = await healthOf(target).catch((cause: unknown) => String(cause));
  for (const script of list) await play(target, script);
  await sleep(BEAT_MS);
  return before !== (await healthOf(target).catch((cause: unknown) => String(cause)));
}

function play(target: Target, { pieces, end }: Script): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port: target.port, host: "127.0.0.1", noDelay: true });
    let isGone = false;
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      isGone = true;
      resolve(Buffer.concat(chunks));
    });
    socket.on("connect", async () => {
      for (const piece of pieces) {
        if (isGone) return;
        socket.write(piece);
        await sleep(GAP_MS);
      }
      if (end === "wait") await sleep(LINGER_MS);
      if (end === "fin") socket.end();
      else socket.resetAndDestroy();
      // One that is half-closed must be closed; that it is not would be told here, by its absence.
      if (end === "fin") setTimeout(() => socket.destroy(), CANARY_MS).unref();
    });
  });
}

/** What is wrong with bytes that a server sent: HTTP answers and, after a 101, frames. */
function problemOf(answer: Buffer): string | undefined {
  if (answer.length === 0) return undefined;
  const text = answer.toString("latin1");
  if (INTERNALS.test(text)) return `it told about itself: ${text.slice(0, 2_000)}`;
  if (!text.startsWith("HTTP/1.1 ")) return `no HTTP: ${text.slice(0, 200)}`;
  if (!text.startsWith("HTTP/1.1 101")) return undefined;
  const isText = /sec-websocket-protocol: fanwire\.v1\.json/i.test(text);
  let at = answer.indexOf("\r\n\r\n") + 4;
  while (at + 2 <= answer.length) {
    const [first = 0, second = 0] = answer.subarray(at);
    const long = second === 126 ? 2 : second === 127 ? 8 : 0;
    const length =
      long === 0 ? second : long === 2 ? answer.readUInt16BE(at + 2) : Number(answer.readBigUInt64BE(at + 2));
    const from = at + 2 + long;
    const payload = answer.subarray(from, from + length);
    if ((first & 0x70) !== 0 || second >= 128 || ![0x81, 0x82, 0x88, 0x89, 0x8a].includes(first))
      return `a wrong frame: ${first} ${second}`;
    at = from + length;
    if (at > answer.length) return undefined;
    const wrong = wrongPayload(first & 0x0f, payload, isText);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function wrongPayload(opcode: number, payload: Buffer, isText: boolean): string | undefined {
  try {
    if (opcode === 2) for (const value of decodeMulti(payload)) assert.ok(Array.isArray(value));
    if (opcode === 1)
      for (const line of payload.toString().split("\n"))
        if (line !== "") assert.ok(Array.isArray(JSON.parse(line)));
    if (opcode === 1 || opcode === 2) assert.equal(opcode === 1, isText);
    return undefined;
  } catch (cause) {
    return `a frame of no values: ${payload.toString("hex")} ${cause}`;
  }
}
