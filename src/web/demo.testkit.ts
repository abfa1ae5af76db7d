import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const DIST = fileURLToPath(new URL("../", import.meta.url));
const CHROMIUM = "/usr/bin/chromium";
const CHROMIUM_FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** Enough for what a test cuts off. */
const NAMESPACES = { market: { history: { messages: 20_000, seconds: 300 } } };
const START_MS = 20_000;

/** A program of this project, started by the test and ended by its own id. */
export class Program {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly #file: string;

  constructor(file: string, args: readonly string[]) {
    this.#file = file;
    const env = { ...process.env, FANWIRE_NAMESPACES: JSON.stringify(NAMESPACES) };
    this.child = spawn(process.execPath, [DIST + file, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream !== null) createInterface(stream).on("line", (line) => this.lines.push(line));
    }
  }

  /** The first line that matches, already said or to come. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const deadline = Date.now() + START_MS;
    for (;;) {
      for (const line of this.lines) {
        const match = pattern.exec(line);
        if (match !== null) return match;
      }
      const said = this.lines.join("\n");
      assert.ok(Date.now() < deadline, `${this.#file} did not say ${pattern}:\n${said}`);
      assert.equal(this.child.exitCode, null, `${this.#file} has ended:\n${said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exit = once(this.child, "exit");
    this.child.kill(signal);
    await exit;
    return this.child.exitCode;
  }
}

export interface RunningServer {
  readonly program: Program;
  readonly url: string;
}

export async function startServer(port: number): Promise<RunningServer> {
  const program = new Program("cli/main.js", ["serve", "--demo", "--port", String(port)]);
  const [, url = ""] = await program.says(/listens on (http:\/\/[^\s/]+)/);
  return { program, url };
}

/**
 * On a port below those that the kernel gives to outgoing connections: after a kill, one of those could take the
 * server's place before it is started again.
 */
export async function startRestartableServer(): Promise<RunningServer> {
  for (let attempt = 1; ; attempt += 1) {
    const port = 21_000 + Math.floor(Math.random() * 9_000);
    try {
      return await startServer(port);
    } catch (cause) {
      if (attempt === 5) throw cause;
    }
  }
}

export function startFeed(url: string): Program {
  return new Program("feed/main.js", ["--url", url]);
}

export async function startBrowser(): Promise<Browser> {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: apt-get install -y chromium`);
  return chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });
}

/** A page that remembers everything that went wrong on it. */
export interface Visit {
  readonly page: Page;
  readonly problems: string[];
}

export async function visit(context: BrowserContext, url: string): Promise<Visit> {
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("requestfailed", (request) => problems.push(`failed: ${request.url()}`));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      problems.push(`console: ${message.text()}`);
    }
  });
  await page.goto(url);
  return { page, problems };
}

/** Text of an element; "" where there is none. */
export async function textOf(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).first().textContent()) ?? "";
}

/** A number as the page writes it. */
export async function numberOf(page: Page, selector: string): Promise<number> {
  return Number((await textOf(page, selector)).replaceAll(/[^\d.-]/g, ""));
}

/** Waits until it is true; the deadline names what was awaited. */
export async function until(what: string, isTrue: () => Promise<boolean>, ms = 20_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await isTrue())) {
    assert.ok(Date.now() < deadline, `not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
