import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DEADLINE_MS } from "./hub.testkit.js";

/** A program of the tests as a process, which answers every message of ours with a report, and sends one when it is ready. */
export class Program<Report> {
  readonly #process: ChildProcess;
  readonly #waiting: ((report: Report) => void)[] = [];
  readonly #exited: Promise<void>;

  private constructor(file: string, args: readonly string[]) {
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), args, { stdio: "inherit" });
    this.#process.on("message", (report) => this.#waiting.shift()?.(report as Report));
    this.#exited = new Promise((resolve) => this.#process.once("exit", () => resolve()));
  }

  static async start<Report>(file: string, args: readonly string[]): Promise<Program<Report>> {
    const program = new Program<Report>(file, args);
    await program.#next();
    return program;
  }

  /** @param ask What programs that do more than report are told to do before. */
  report(ask: Readonly<Record<string, unknown>> = {}): Promise<Report> {
    const report = this.#next();
    this.#process.send(ask);
    return report;
  }

  /** Reports until one is as it should be. */
  async until(isSo: (report: Report) => boolean, what: string): Promise<Report> {
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      const report = await this.report();
      if (isSo(report)) return report;
      if (performance.now() > deadline) throw new Error(`${what}: not so, ${JSON.stringify(report)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#exited;
  }

  #next(): Promise<Report> {
    return new Promise((resolve, reject) => {
      const fail = setTimeout(() => reject(new Error("the program did not report in time")), DEADLINE_MS);
      this.#waiting.push((report) => {
        clearTimeout(fail);
        resolve(report);
      });
    });
  }
}
