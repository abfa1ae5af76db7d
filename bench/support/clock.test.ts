import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { hostMicros } from "./clock.js";

test("two processes' clocks agree to 50 µs", () => {
  const module = fileURLToPath(new URL("./clock.js", import.meta.url));
  const script = `
    import { hostMicros } from ${JSON.stringify(module)};
    const pairs = Array.from({ length: 100 }, () => {
      const exact = Number(process.hrtime.bigint()) / 1_000;
      return hostMicros() - exact;
    });
    console.log(Math.min(...pairs));
  `;
  const args = ["--input-type=module", "--eval", script];
  const theirs = Number(execFileSync(process.execPath, args, { encoding: "utf8", timeout: 10_000 }));
  let ours = Number.POSITIVE_INFINITY;
  for (let pair = 0; pair < 100; pair++) {
    const exact = Number(process.hrtime.bigint()) / 1_000;
    ours = Math.min(ours, hostMicros() - exact);
  }
  // Both against the kernel's monotonic clock; a first reading that was slow would show as an offset here.
  assert.ok(Math.abs(theirs) < 50 && Math.abs(ours) < 50, `${theirs} µs there, ${ours} µs here`);
});
