import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("../../scripts/tune-linux.sh", import.meta.url));
const TEXT = readFileSync(SCRIPT, "utf8");
const DEADLINE_MS = 60_000;
const IS_ROOT = process.getuid?.() === 0;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], user?: number): Ran {
  const options = user === undefined ? {} : { uid: user, gid: user };
  const { status, stdout, stderr } = spawnSync(command, args, {
    ...options,
    // From there the script can be read by everybody, wherever it is.
    input: TEXT,
    cwd: "/",
    encoding: "utf8",
    timeout: DEADLINE_MS,
  });
  return { code: status, stdout, stderr };
}

const tune = (...args: readonly string[]): Ran => run("sh", [SCRIPT, ...args]);

/**
 * Runs shell lines in a network of their own, whose settings they may change; `tune` there is the script. Other settings
 * are out of reach, since they are this machine's.
 */
function apart(...lines: readonly string[]): Ran {
  const protect =
    "mount -o bind /proc/sys/fs /proc/sys/fs && mount -o remount,bind,ro /proc/sys/fs || exit 77";
  const start = ["set -e", IS_ROOT ? protect : "true", `tune() { sh '${SCRIPT}' "$@"; }`];
  return run("unshare", [
    ...(IS_ROOT ? ["-n", "-m"] : ["-r", "-n"]),
    "sh",
    "-c",
    [...start, ...lines].join("\n"),
  ]);
}

const NO_NAMESPACES =
  apart("true").code === 0
    ? false
    : `no network namespaces here: ${apart("true").stderr.trim() || "unshare failed"}`;

/** Every setting of the network, a line each. */
const SNAPSHOT = "grep -rs '' /proc/sys/net/core /proc/sys/net/ipv4 | sort; echo END";

/** A temporary folder. */
function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "fanwire-tune-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

const settingLines = (text: string): readonly string[] =>
  text.split("\n").filter((line) => /^[^#\s]/.test(line));

describe("without --apply", { skip: process.platform !== "linux" && "for Linux" }, () => {
  test("it needs no rights, and prints a file for sysctl.d with every value, its reason and its memory", () => {
    const { code, stdout, stderr } = run("sh", ["-s"], IS_ROOT ? 65_534 : undefined);
    assert.deepEqual([code, stderr], [0, ""]);
    for (const line of settingLines(stdout)) assert.match(line, /^(?:net|fs)\.[a-z0-9_.-]+ = \d+(?: \d+)*$/);
    for (const name of [
      "fs.nr_open",
      "net.core.somaxconn",
      "net.ipv4.tcp_notsent_lowat",
      "net.ipv4.tcp_wmem",
    ])
      assert.match(
        stdout,
        new RegExp(`^# ${name}: now [\\d ]+, .*\\n(?:# {3}.+\\n)+# {3}memory: .+\\n`, "m"),
      );
    assert.match(stdout, /^# open files of a process: this shell may have \S+, fanwire needs up to 108544/m);
  });

  test("it changes nothing", { skip: NO_NAMESPACES }, () => {
    const { code, stdout, stderr } = apart(SNAPSHOT, "tune --outgoing >/dev/null", SNAPSHOT);
    assert.equal(code, 0, stderr);
    const [before, after] = stdout.split("END\n");
    assert.ok(before !== undefined && before.length > 1_000);
    assert.equal(after, before);
  });

  test("every setting that it names is one of this kernel", () => {
    // Two belong to the machine and are not shown to containers, one to a module, one is there from Linux 5.14 on.
    const elsewhere = existsSync("/proc/sys/net/core/netdev_max_backlog")
      ? []
      : ["net.core.netdev_max_backlog", "net.ipv4.tcp_mem"];
    const names = [...TEXT.matchAll(/^ *setting ([a-z0-9_.-]+) /gm)].map(([, name = ""]) => name);
    assert.equal(names.length, 12);
    for (const name of names) {
      if (elsewhere.includes(name) || /conntrack|migrate/.test(name)) continue;
      assert.ok(existsSync(`/proc/sys/${name.replaceAll(".", "/")}`), name);
    }
    assert.ok(names.includes("net.ipv4.tcp_migrate_req"));
  });

  test("the number of connections is what the proposals follow", () => {
    assert.match(tune("--connections", "1000").stdout, /needs up to 9216\b/);
    assert.match(tune("--connections=1000000").stdout, /needs up to 1008640\b/);
  });

  test("ports for outgoing connections are proposed on demand", () => {
    assert.doesNotMatch(tune().stdout, /ip_local_port_range/);
    assert.match(tune("--outgoing").stdout, /^# net\.ipv4\.ip_local_port_range: now /m);
  });
});

describe("--apply", { skip: NO_NAMESPACES }, () => {
  test("sets exactly what it says; a second time there is nothing to do", () => {
    const { code, stdout, stderr } = apart(
      'sysctl() { echo "$2" >/proc/sys/$1; }',
      "sysctl net/core/somaxconn 128; sysctl net/ipv4/tcp_max_syn_backlog 100000",
      SNAPSHOT,
      "tune --apply --connections 1000; echo END",
      SNAPSHOT,
      "tune --apply --connections 1000",
    );
    assert.equal(code, 0, stderr);
    const [before = "", said = "", after = "", again] = stdout.split("END\n");
    const told = [...said.matchAll(/^set {6}(\S+): ([\d ]+) -> ([\d ]+)$/gm)].map(
      ([, name = "", from, to]) => `${name.replaceAll(".", "/")}: ${from} -> ${to}`,
    );
    assert.deepEqual(told.sort(), changes(before, after));
    assert.ok(told.includes("net/core/somaxconn: 128 -> 4096"), said);
    assert.ok(told.includes("net/ipv4/tcp_notsent_lowat: 4294967295 -> 16384"), said);
    assert.ok(!said.includes("tcp_max_syn_backlog"), "what is higher already stays");
    assert.match(again ?? "", /^nothing to do/m);
    assert.doesNotMatch(again ?? "", /^(?:set|NOT SET)/m);
  });

  test("what cannot be set is said and ends with 1; the rest is set", {
    skip: !IS_ROOT && "needs root",
  }, () => {
    const { code, stdout } = apart(
      "echo 128 >/proc/sys/net/core/somaxconn",
      "mount -o bind /proc/sys/net/core /proc/sys/net/core",
      "mount -o remount,bind,ro /proc/sys/net/core",
      "tune --apply --connections 1000",
    );
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^NOT SET {2}net\.core\.somaxconn: it stays 128, not 4096 \(Read-only file system\)$/m,
    );
    assert.match(stdout, /^set {6}net\.ipv4\.tcp_notsent_lowat: /m);
  });

  test("open files that do not suffice are left to whoever starts fanwire, with the ways to do it", () => {
    const { code, stdout } = apart("ulimit -n 256; tune --apply --connections 1000");
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^left {5}open files: 256 .* 9216 /m);
    assert.match(stdout, /ulimit -n 9216\n.*LimitNOFILE=9216\n.*--ulimit nofile=9216\n/);
  });
});

describe("--persist", { skip: NO_NAMESPACES }, () => {
  const conf = (etc: string) => readFileSync(join(etc, "sysctl.d/90-fanwire.conf"), "utf8");

  test("writes what was or would be set, and the limit of open files where it does not suffice", (t) => {
    const etc = folder(t);
    const limits = join(etc, "security/limits.d/90-fanwire.conf");
    const persist = `tune --persist --connections 1000 --etc '${etc}'`;
    assert.equal(apart("ulimit -n 9999", persist).code, 0);
    assert.equal(existsSync(limits), false);
    const before = conf(etc);
    assert.match(before, /^net\.ipv4\.tcp_notsent_lowat = 16384$/m);
    assert.equal(apart("tune --apply --connections 1000 >/dev/null", "ulimit -n 256", persist).code, 0);
    assert.deepEqual(settingLines(conf(etc)), settingLines(before));
    assert.match(readFileSync(limits, "utf8"), /^\* +hard nofile 9216\nroot hard nofile 9216$/m);
  });

  test("keeps what it wrote before and is more than is needed now", (t) => {
    const etc = folder(t);
    const persist = (connections: number) => `tune --persist --connections ${connections} --etc '${etc}'`;
    assert.equal(apart(persist(1_000)).code, 0);
    assert.doesNotMatch(conf(etc), /^net\.core\.somaxconn = 9999$/m);
    const raise = "echo 9999 >/proc/sys/net/core/somaxconn";
    assert.equal(apart(raise, persist(1_000)).code, 0);
    assert.match(conf(etc), /^net\.core\.somaxconn = 9999$/m);
  });
});

describe("wrong arguments end with 2 and change nothing", () => {
  const cases: [args: string[], text: RegExp][] = [
    [["--connections", "0"], /--connections is "0", not an integer of 1 to 10000000/],
    [["--connections", "010"], /"010"/],
    [["--connections=99999999999999999999"], /not an integer/],
    [["--connections", "1e5"], /"1e5"/],
    [["--connections"], /needs a value/],
    [["--aply"], /unknown argument --aply/],
    [["--etc", "/none"], /"\/none", not a folder/],
  ];
  for (const [args, text] of cases)
    test(args.join(" "), () => {
      const { code, stdout, stderr } = tune("--apply", ...args);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, text);
    });

  test("--help explains", () => {
    const { code, stdout } = tune("--help");
    assert.equal(code, 0);
    for (const flag of ["--connections N", "--outgoing", "--apply", "--persist", "--etc DIR"])
      assert.ok(stdout.includes(flag), flag);
  });

  test("--apply without root says so", () => {
    const { code, stderr } = run("sh", ["-s", "--", "--apply"], IS_ROOT ? 65_534 : undefined);
    assert.equal(code, 1);
    assert.match(stderr, /need root/);
  });
});

test("shellcheck finds nothing", { skip: !existsSync("/usr/bin/shellcheck") && "not installed" }, () => {
  const { code, stdout } = run("shellcheck", [SCRIPT]);
  assert.equal(code, 0, stdout);
});

/** What differs between two snapshots, in the form `net/core/somaxconn: 128 -> 4096`. */
function changes(before: string, after: string): readonly string[] {
  const parse = (text: string) =>
    new Map(
      text.split("\n").flatMap((line) => {
        const [, name, value = ""] = /^\/proc\/sys\/([^:]+):(.*)$/.exec(line) ?? [];
        return name === undefined ? [] : [[name, value.trim().split(/\s+/).join(" ")] as const];
      }),
    );
  const was = parse(before);
  return [...parse(after)]
    .filter(([name, value]) => was.get(name) !== value)
    .map(([name, value]) => `${name}: ${was.get(name)} -> ${value}`)
    .sort();
}
