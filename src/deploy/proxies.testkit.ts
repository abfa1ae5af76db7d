import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../server/raw-socket.testkit.js";
import { ROOT } from "./kubernetes.testkit.js";

const START_MS = 10_000;

/** A node as a proxy reaches it. */
export interface Upstream {
  readonly port: number;
  readonly adminPort: number;
}

export type ProxyKind = "haproxy" | "nginx";

/**
 * A real HAProxy or nginx with the configuration of k8s/proxies: only addresses are the test's.
 * @param clientAddress What it says of its clients, who are all of this machine; default: as it is.
 * @returns The URL of the proxy, which ends with the test.
 */
export async function startProxy(
  t: TestContext,
  kind: ProxyKind,
  upstreams: readonly [Upstream, Upstream, Upstream],
  clientAddress?: string,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), `fanwire-${kind}-`));
  const port = await freePort();
  const file = join(folder, "proxy.conf");
  writeFileSync(
    file,
    kind === "haproxy"
      ? haproxyConf(port, upstreams, clientAddress)
      : nginxConf(port, upstreams, folder, clientAddress),
  );
  return await launchProxy(t, kind, folder, file, port);
}

/**
 * A real nginx with this configuration, that of the repository but for names and ports.
 * @param nodes Ports on this machine by what the configuration calls them.
 */
export async function startNginx(
  t: TestContext,
  conf: string,
  nodes: Readonly<Record<string, number>>,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-nginx-"));
  const port = await freePort();
  const file = join(folder, "proxy.conf");
  let text = onLoopback(conf, port, folder, undefined);
  for (const [name, nodePort] of Object.entries(nodes)) text = text.replaceAll(name, `127.0.0.1:${nodePort}`);
  writeFileSync(file, text);
  return await launchProxy(t, "nginx", folder, file, port);
}

async function launchProxy(
  t: TestContext,
  kind: ProxyKind,
  folder: string,
  file: string,
  port: number,
): Promise<string> {
  const [program, ...args] =
    kind === "haproxy"
      ? ["/usr/sbin/haproxy", "-db", "-f", file]
      : ["/usr/sbin/nginx", "-c", file, "-p", folder, "-g", "daemon off; master_process off;"];
  const child = spawn(program ?? "", args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (bytes) => (said += String(bytes)));
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    rmSync(folder, { recursive: true, force: true });
  });
  await listening(child, port, () => said);
  return `http://127.0.0.1:${port}`;
}

function haproxyConf(
  port: number,
  upstreams: readonly Upstream[],
  clientAddress: string | undefined,
): string {
  let text = read("haproxy.cfg")
    .replace("bind 0.0.0.0:80", `bind 127.0.0.1:${port}`)
    // The test's own limit of open files.
    .replace("maxconn 250000", "maxconn 8000")
    .replace("%[src]", clientAddress ?? "%[src]");
  upstreams.forEach((upstream, index) => {
    text = text.replace(`node-${index + 1}:9001`, `127.0.0.1:${upstream.port} port ${upstream.adminPort}`);
  });
  return text;
}

function nginxConf(
  port: number,
  upstreams: readonly Upstream[],
  folder: string,
  clientAddress: string | undefined,
): string {
  let text = onLoopback(read("nginx.conf"), port, folder, clientAddress);
  upstreams.forEach((upstream, index) => {
    text = text.replace(`node-${index + 1}:9001`, `127.0.0.1:${upstream.port}`);
  });
  return text;
}

/** What needs root, or belongs to the machine, is the test's. */
function onLoopback(conf: string, port: number, folder: string, clientAddress: string | undefined): string {
  return conf
    .replace("listen 80;", `listen 127.0.0.1:${port};`)
    .replace("worker_rlimit_nofile 250000;", `pid ${folder}/nginx.pid; error_log stderr;`)
    .replace("worker_connections 100000;", "worker_connections 8000;")
    .replace("$remote_addr", clientAddress ?? "$remote_addr")
    .replace(
      "access_log off;",
      `access_log off; ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")}`,
    );
}

function read(name: string): string {
  return readFileSync(join(ROOT, "k8s/proxies", name), "utf8");
}

async function listening(child: ChildProcess, port: number, said: () => string): Promise<void> {
  const endMs = Date.now() + START_MS;
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await Promise.race([
      once(socket, "connect").then(
        () => true,
        () => false,
      ),
      sleep(1_000, false),
    ]);
    socket.destroy();
    if (isOpen) return;
    assert.ok(child.exitCode === null && Date.now() < endMs, `it does not listen: ${said()}`);
    await sleep(20);
  }
}
