import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { readFacts } from "./capacity-facts.js";
import { openFilesMax } from "./open-files.js";

/** A folder with such files below it. */
function root(t: TestContext, files: Readonly<Record<string, string | Buffer>>): string {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-facts-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

const NONE = Number.POSITIVE_INFINITY;

test("this machine's facts are read", {
  skip: process.platform !== "linux" && "only Linux has /proc",
}, () => {
  const facts = readFacts();
  assert.equal(facts.cores, availableParallelism());
  assert.equal(facts.openFiles, openFilesMax());
  assert.equal(facts.memoryBytes, totalmem());
  assert.ok([4_096, 16_384, 65_536].includes(facts.pageBytes), String(facts.pageBytes));
  assert.ok(facts.cpuQuota > 0 && facts.cgroupMemoryBytes > 0);
  assert.equal(facts.kernel["net.core.somaxconn"]?.length, 1);
});

test("settings have as many fields as the kernel shows; none that it does not have", (t) => {
  const { kernel, memoryBytes, openFiles, pageBytes } = readFacts(
    root(t, {
      "proc/sys/net/ipv4/tcp_mem": "287901\t383868\t575802\n",
      "proc/sys/net/ipv4/tcp_migrate_req": "0\n",
      "proc/meminfo": "MemTotal:        2048 kB\nMemFree: 1 kB\n",
      "proc/self/limits": "Max open files            256                  512                  files     \n",
      "proc/self/auxv": auxv([3n, 64n], [6n, 16_384n], [0n, 0n]),
    }),
  );
  assert.deepEqual(kernel, {
    "net.ipv4.tcp_mem": [287_901, 383_868, 575_802],
    "net.ipv4.tcp_migrate_req": [0],
  });
  assert.deepEqual([memoryBytes, openFiles, pageBytes], [2_097_152, 256, 16_384]);
});

test("what cannot be read is no bound", (t) => {
  const facts = readFacts(root(t, {}));
  assert.deepEqual([facts.cpuQuota, facts.cgroupMemoryBytes, facts.openFiles], [NONE, NONE, NONE]);
  assert.deepEqual([facts.kernel, facts.pageBytes, facts.memoryBytes], [{}, 4_096, totalmem()]);
});

describe("control groups", () => {
  const bounds = (t: TestContext, files: Readonly<Record<string, string>>) => {
    const { cpuQuota, cgroupMemoryBytes } = readFacts(root(t, files));
    return [cpuQuota, cgroupMemoryBytes];
  };

  test("version 2: the smallest bound of the group and those around it", (t) => {
    const files = {
      "proc/self/cgroup": "0::/a.slice/b.service\n",
      "sys/fs/cgroup/a.slice/b.service/memory.max": "max\n",
      "sys/fs/cgroup/a.slice/b.service/cpu.max": "max 100000\n",
      "sys/fs/cgroup/a.slice/memory.max": "536870912\n",
      "sys/fs/cgroup/a.slice/cpu.max": "150000 100000\n",
      "sys/fs/cgroup/memory.max": "1073741824\n",
    };
    assert.deepEqual(bounds(t, files), [1.5, 536_870_912]);
  });

  test("version 1: each controller has its own path", (t) => {
    const files = {
      "proc/self/cgroup": "4:memory:/one\n3:cpu,cpuacct:/two/three\n0::/\n",
      "sys/fs/cgroup/memory/one/memory.limit_in_bytes": "536870912\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "sys/fs/cgroup/cpu/two/three/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/two/three/cpu.cfs_period_us": "100000\n",
      "sys/fs/cgroup/cpu/two/cpu.cfs_quota_us": "200000\n",
      "sys/fs/cgroup/cpu/two/cpu.cfs_period_us": "100000\n",
    };
    assert.deepEqual(bounds(t, files), [2, 536_870_912]);
  });

  test("in a container that sees the host's path the bound is at the root", (t) => {
    const files = {
      "proc/self/cgroup": "4:memory:/docker/0123\n3:cpu:/docker/0123\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    };
    assert.deepEqual(bounds(t, files), [0.5, 268_435_456]);
  });

  test("no bound", (t) => {
    const files = {
      "proc/self/cgroup": "0::/\n",
      "sys/fs/cgroup/memory.max": "max\n",
      "sys/fs/cgroup/cpu.max": "max 100000\n",
    };
    assert.deepEqual(bounds(t, files), [NONE, NONE]);
  });
});

function auxv(...pairs: readonly (readonly [bigint, bigint])[]): Buffer {
  const buffer = Buffer.alloc(pairs.length * 16);
  pairs.forEach(([kind, value], index) => {
    buffer.writeBigUInt64LE(kind, index * 16);
    buffer.writeBigUInt64LE(value, index * 16 + 8);
  });
  return buffer;
}
