import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { capacityOf, capacityWarnings } from "./capacity.js";
import type { Facts, KernelSetting } from "./capacity-facts.js";
import type { Finding } from "./capacity-findings.js";
import { type ConfigInput, createConfig } from "./config.js";

const GIB = 1_073_741_824;

const TUNED: Facts["kernel"] = {
  "fs.nr_open": [1_048_576],
  "fs.file-max": [2_000_000],
  "net.core.somaxconn": [4_096],
  "net.ipv4.tcp_syncookies": [1],
  "net.ipv4.tcp_max_syn_backlog": [128],
  "net.ipv4.tcp_migrate_req": [1],
  "net.ipv4.tcp_notsent_lowat": [16_384],
  "net.ipv4.tcp_mem": [150_000, 200_000, 300_000],
};

const FACTS: Facts = {
  cores: 4,
  cpuQuota: Number.POSITIVE_INFINITY,
  memoryBytes: 16 * GIB,
  cgroupMemoryBytes: Number.POSITIVE_INFINITY,
  openFiles: 524_288,
  pageBytes: 4_096,
  kernel: TUNED,
};

const kernel = (name: KernelSetting, ...fields: number[]): Partial<Facts> => ({
  kernel: { ...TUNED, [name]: fields },
});

function diagnose(facts: Partial<Facts> = {}, config: ConfigInput = {}) {
  const capacity = capacityOf(createConfig(config), { ...FACTS, ...facts });
  const about = (subject: string): Finding => {
    const finding = capacity.findings.find((candidate) => candidate.subject === subject);
    assert.ok(finding !== undefined, `nothing about ${subject}`);
    return finding;
  };
  return { ...capacity, about, levels: new Set(capacity.findings.map(({ level }) => level)) };
}

test("a tuned machine with the usual limits reaches the default configuration", () => {
  const { levels, configured, reachable, workers, hubs, worker } = diagnose();
  assert.deepEqual([...levels], ["ok"]);
  assert.deepEqual([configured, reachable, workers, hubs, worker], [100_000, 100_000, 4, 1, 31_250]);
  assert.deepEqual(capacityWarnings(createConfig(), FACTS), []);
});

describe("open files", () => {
  test("of all workers together are the bound", () => {
    const { about, reachable, worker } = diagnose({ openFiles: 20_000 }, { workers: 2 });
    const { level, connections, text, fixes } = about("open files");
    assert.deepEqual([level, connections, reachable, worker], ["problem", 31_898, 31_898, 15_949]);
    assert.match(text, /20,000 a process, of which 15,949 .* 2 workers: 31,898/);
    const needed = 62_500 + 4_096 + 64;
    assert.match(
      fixes[0] ?? "",
      new RegExp(`^ulimit -n ${needed} .*LimitNOFILE=${needed},.*nofile=${needed}`),
    );
    assert.deepEqual(fixes.slice(1), ["--workers 7", "--limits.connections 31898"]);
  });

  test("each of the ways out suffices", () => {
    for (const openFiles of [1_024, 4_096, 20_000])
      for (const workers of [1, 2, 5]) {
        const { fixes } = diagnose({ openFiles }, { workers }).about("open files");
        for (const fix of fixes) {
          const [, ulimit] = /^ulimit -n (\d+)/.exec(fix) ?? [];
          const [, more] = /^--workers (\d+)$/.exec(fix) ?? [];
          const [, fewer] = /^--limits\.connections (\d+)$/.exec(fix) ?? [];
          const config = {
            workers: Number(more ?? workers),
            limits: { connections: Number(fewer ?? 100_000) },
          };
          const raised = { memoryBytes: 64 * GIB, openFiles: Number(ulimit ?? openFiles) };
          const { reachable, configured } = diagnose(raised, config);
          assert.equal(reachable, configured, fix);
        }
      }
  });

  test("more workers are no way out where they were many a core", () => {
    const { fixes } = diagnose({ openFiles: 1_024, cores: 2 }).about("open files");
    assert.deepEqual(fixes.slice(1), ["--limits.connections 1536"]);
  });

  test("that suffice for an even spread only are told", () => {
    const { level, text, fixes } = diagnose(
      { openFiles: 20_000 },
      { workers: 6, limits: { connections: 95_600 } },
    ).about("open files");
    assert.equal(level, "advice");
    assert.match(text, /some are refused once/);
    assert.deepEqual(fixes.slice(1), ["--workers 7"]);
  });

  test("above what the kernel lets anybody ask for need the kernel's limit raised before", () => {
    const { about } = diagnose({ openFiles: 100_000 }, { workers: 1, limits: { connections: 2_000_000 } });
    assert.match(
      about("open files").fixes[0] ?? "",
      /tune-linux\.sh --apply --connections 2000000, then ulimit/,
    );
  });

  test("of the whole machine are a bound, too", () => {
    const { about, reachable } = diagnose(kernel("fs.file-max", 50_000));
    assert.equal(about("all open files").level, "problem");
    assert.equal(reachable, 50_000 - 4 * 4_096 - 6 * 64);
  });
});

describe("memory", () => {
  test("is the machine's but for a tenth, or what the control group allows", () => {
    const fixed = 6 * 64 * 1_048_576 + 4 * 64 * 1_048_576 + 256 * 1_048_576;
    const machine = diagnose({ memoryBytes: GIB });
    assert.equal(machine.reachable, Math.floor((GIB * 0.9 - fixed) / 6_144));
    const group = diagnose({ cgroupMemoryBytes: GIB });
    assert.equal(group.reachable, Math.floor((GIB - fixed) / 6_144));
    assert.equal(group.about("memory").level, "problem");
  });

  test("that does not even suffice for the processes allows none", () => {
    assert.equal(diagnose({ memoryBytes: GIB / 4 }).reachable, 0);
  });

  test("that the worst case exceeds is advice, and no bound", () => {
    const { about, reachable } = diagnose({ memoryBytes: 4 * GIB });
    assert.deepEqual([about("worst case").level, reachable], ["advice", 100_000]);
    assert.match(
      about("worst case").text,
      /6,250 MiB would wait in fanwire .* 1,172 MiB in the kernel .* more than the 3,686 MiB/,
    );
  });

  test("of the network that a message to everybody exceeds is advice", () => {
    assert.equal(
      diagnose(kernel("net.ipv4.tcp_mem", 50_000, 99_999, 100_000)).about("network memory").level,
      "advice",
    );
  });
});

describe("processes", () => {
  test("auto is a worker a core, or fewer where the control group gives less", () => {
    const cases: [facts: Partial<Facts>, workers: number, hubs: number][] = [
      [{}, 4, 1],
      [{ cpuQuota: 1.5 }, 2, 1],
      [{ cpuQuota: 0.2 }, 1, 0],
      [{ cores: 1 }, 1, 0],
      [{ cores: 1_000 }, 256, 1],
    ];
    for (const [facts, workers, hubs] of cases) {
      const found = diagnose(facts);
      assert.deepEqual([found.workers, found.hubs], [workers, hubs]);
      assert.equal(found.about("cores").level, "ok");
    }
  });

  test("more workers than the control group's time are advised against, more than cores are not", () => {
    assert.deepEqual(diagnose({ cpuQuota: 2 }, { workers: 4 }).about("cores").fixes, ["--workers 2"]);
    assert.equal(diagnose({}, { workers: 8 }).about("cores").level, "ok");
  });
});

describe("the kernel", () => {
  const advice: [subject: string, facts: Partial<Facts>, text: RegExp][] = [
    ["waiting connections", kernel("net.core.somaxconn", 128), /^128 a worker .* net\.core\.somaxconn/],
    [
      "waiting connections",
      { kernel: { ...TUNED, "net.ipv4.tcp_syncookies": [0] } },
      /^96 a worker .* net\.ipv4\.tcp_max_syn_backlog/,
    ],
    ["slow clients", kernel("net.ipv4.tcp_notsent_lowat", 4_294_967_295), /4 MB/],
    ["dying workers", kernel("net.ipv4.tcp_migrate_req", 0), /are reset/],
  ];
  for (const [subject, facts, text] of advice)
    test(`what is not tuned is advice and no bound: ${subject}, ${text}`, () => {
      const { about, reachable } = diagnose(facts);
      const finding = about(subject);
      assert.equal(finding.level, "advice");
      assert.match(finding.text, text);
      assert.match(
        finding.fixes[0] ?? "",
        /^as root: \/.*\/scripts\/tune-linux\.sh --apply --connections 100000$/,
      );
      assert.equal(reachable, 100_000);
    });

  test("tracked connections are a bound only where connections are tracked", () => {
    const tracking = (count: number): Partial<Facts> => ({
      kernel: {
        ...TUNED,
        "net.netfilter.nf_conntrack_max": [65_536],
        "net.netfilter.nf_conntrack_count": [count],
      },
    });
    assert.equal(diagnose(tracking(0)).reachable, 100_000);
    assert.equal(diagnose(tracking(3)).reachable, 65_536);
  });

  test("with one worker nobody could take over what waits", () => {
    const { findings } = diagnose(kernel("net.ipv4.tcp_migrate_req", 0), { workers: 1 });
    assert.ok(findings.every(({ subject }) => subject !== "dying workers"));
  });

  test("of another system says nothing, and nothing is claimed about it", () => {
    const { levels, reachable } = diagnose({ kernel: {}, openFiles: Number.POSITIVE_INFINITY });
    assert.deepEqual([[...levels], reachable], [["ok"], 100_000]);
  });
});

test("the start warns of each reason in a line, with what to do", () => {
  const facts = { ...FACTS, openFiles: 20_000, memoryBytes: GIB };
  const warnings = capacityWarnings(createConfig({ workers: 2 }), facts);
  assert.equal(warnings.length, 2);
  assert.match(
    warnings[0] ?? "",
    /^31,898 of the 100,000 configured connections fit \(open files: .*\)\. Either ulimit -n 66660 .*, or --workers 7, or --limits\.connections 31898\. "fanwire doctor" says more$/,
  );
  assert.match(warnings[1] ?? "", /connections fit \(memory: /);
  // What is merely not tuned is no reason to warn at every start.
  const untuned = { ...FACTS, ...kernel("net.ipv4.tcp_notsent_lowat", 4_294_967_295) };
  assert.deepEqual(capacityWarnings(createConfig(), untuned), []);
});
