import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "./host.js";
import {
  parseDisks,
  parseInterfaces,
  parseLoad,
  parseMeminfo,
  parsePressure,
  parseStat,
  parseTcp,
} from "./proc.js";

const STAT = `cpu  5261 10 3588 278004 422 5 89 10 0 0
cpu0 1995 0 1494 140095 36 0 21 3 0 0
cpu1 3266 10 2093 137908 385 5 67 7 0 0
intr 296128 0 0 0
ctxt 668301
btime 1700000000
processes 9056
procs_running 2
procs_blocked 1
softirq 1 2 3
`;

const NET = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 23276230    1241    0    0    0     0          0         0 23276230    1241    0    0    0     0       0          0
  eth0:393317925    9980    1    2    0     0          0         0   586307    5987    3    4    0     0       0          0
`;

const DISKS = `   7       0 loop0 1 1 1 1 1 1 1 1 0 1 1 0 0 0 0 0 0
 254       0 vda 46559 12894 4235882 25859 20170 14560 3276520 8410 0 6676 34869 7777 44 261312 496 2892 102
 254       1 vda1 46559 12894 4235882 25859 20170 14560 3276520 8410 0 6676 34869
 259       0 nvme0n1 10 0 20 0 5 0 40 0 0 7 0
 259       1 nvme0n1p1 10 0 20 0 5 0 40 0 0 7 0
 253       0 zram0 0 0 0 0 0 0 0 0 0 0 0
`;

const SNMP = `Ip: Forwarding DefaultTTL
Ip: 2 64
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs
Tcp: 1 200 120000 -1 157 61 0 11 6 11040 7042 3 0
`;

test("/proc/stat: ticks by kind, and the cores apart", () => {
  const stat = parseStat(STAT);
  assert.deepEqual(stat.all, { user: 5_271, system: 3_682, iowait: 422, steal: 10, idle: 278_004 });
  assert.equal(stat.cores.length, 2);
  assert.equal(stat.switches, 668_301);
  assert.equal(stat.forks, 9_056);
  assert.equal(stat.running, 2);
  assert.equal(stat.blocked, 1);
  assert.throws(() => parseStat("intr 1\n"), /no line cpu/);
});

test("an old kernel's short cpu line counts what is missing as 0", () => {
  assert.deepEqual(parseStat("cpu 1 2 3 4\n").all, { user: 3, system: 3, iowait: 0, steal: 0, idle: 4 });
});

test("/proc/meminfo is in bytes", () => {
  const memory = parseMeminfo(
    "MemTotal:       24684092 kB\nMemAvailable:   24424360 kB\nHugePages_Total:       0\n",
  );
  assert.equal(memory.get("MemTotal"), 24_684_092 * 1_024);
  assert.equal(memory.get("HugePages_Total"), 0);
});

test("/proc/loadavg", () => {
  assert.deepEqual(parseLoad("0.02 0.08 1.04 1/92 9044\n"), [0.02, 0.08, 1.04]);
});

test("/proc/net/dev, also where a number touches the colon", () => {
  const [lo, eth0] = parseInterfaces(NET);
  assert.equal(lo?.name, "lo");
  assert.equal(lo?.txBytes, 23_276_230);
  assert.deepEqual(eth0, {
    name: "eth0",
    rxBytes: 393_317_925,
    rxPackets: 9_980,
    txBytes: 586_307,
    txPackets: 5_987,
    faults: 10,
  });
});

test("/proc/net/snmp by name", () => {
  assert.deepEqual(parseTcp(SNMP), { established: 6, sentSegments: 7_042, retransmits: 3 });
});

test("/proc/diskstats: whole disks only", () => {
  const disks = parseDisks(DISKS);
  assert.deepEqual(
    disks.map((disk) => disk.name),
    ["vda", "nvme0n1"],
  );
  assert.deepEqual(disks[0], {
    name: "vda",
    reads: 46_559,
    readBytes: 4_235_882 * 512,
    writes: 20_170,
    writtenBytes: 3_276_520 * 512,
    busyMs: 6_676,
  });
});

test("/proc/pressure", () => {
  const text =
    "some avg10=0.00 avg60=0.07 avg300=0.51 total=11947216\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
  assert.equal(parsePressure(text), 11_947_216);
  assert.equal(parsePressure(""), 0);
});

/** A /proc whose counters grow by what one second brings. */
function fakeProc(second: number): Map<string, string> {
  const busy = second * 50;
  const cpu = (name: string, share: number): string =>
    `${name} ${busy * share} 0 ${busy} ${1_000 + 100 * second} 0 0 0 0 0 0`;
  return new Map([
    ["/proc/stat", `${cpu("cpu", 1)}\n${cpu("cpu0", 1)}\nctxt ${second * 700}\nprocesses ${second * 3}\n`],
    ["/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\nCached: 100 kB\nBuffers: 1 kB\n"],
    ["/proc/loadavg", "1.5 1 0.5 1/92 9044\n"],
    [
      "/proc/net/dev",
      `lo: ${second * 5} 0 0 0 0 0 0 0 ${second * 5} 0 0 0 0 0 0 0\neth0: ${second * 1000} ${second} 0 0 0 0 0 0 ${second * 10} 0 0 0 0 0 0 0\n`,
    ],
    ["/proc/diskstats", `8 0 sda ${second * 2} 0 ${second * 8} 0 0 0 0 0 0 ${second * 250} 0\n`],
    ["/proc/net/snmp", SNMP],
  ]);
}

test("rates are a second's, the first sample gives none, and a missing /proc/pressure leaves its room out", () => {
  const state = { files: fakeProc(0) };
  const host = new Host("box", (path) => state.files.get(path));
  assert.deepEqual(host.sample(0), []);
  state.files = fakeProc(1);
  const messages = new Map(host.sample(1_000).map((message) => [message.room, message]));
  assert.deepEqual([...messages.keys()], ["host.cpu", "host.memory", "host.network", "host.disk"]);
  assert.ok([...messages.values()].every((message) => message.key === "box"));
  assert.deepEqual(messages.get("host.cpu")?.data, {
    busy: 0.5,
    user: 0.25,
    system: 0.25,
    iowait: 0,
    steal: 0,
    cores: [0.5],
    load: [1.5, 1, 0.5],
    running: 0,
    blocked: 0,
    switches: 700,
    forks: 3,
  });
  assert.deepEqual(messages.get("host.network")?.data, {
    rx: 1_000,
    tx: 10,
    rxPackets: 1,
    txPackets: 0,
    loopback: 5,
    faults: 0,
    connections: 6,
    segments: 0,
    retransmits: 0,
  });
  assert.deepEqual(messages.get("host.disk")?.data, {
    read: 4_096,
    written: 0,
    reads: 2,
    writes: 0,
    busy: 0.25,
  });
});

test("a counter that falls is no negative rate", () => {
  const state = { files: fakeProc(5) };
  const host = new Host("box", (path) => state.files.get(path));
  host.sample(0);
  state.files = fakeProc(4);
  for (const { data } of host.sample(1_000)) {
    for (const [name, value] of Object.entries(Object(data))) {
      if (typeof value === "number" && name !== "switches" && name !== "forks") {
        assert.ok(value >= 0, `${name} is ${value}`);
      }
    }
  }
});

test("the last ten samples are the window", () => {
  const state = { files: fakeProc(0) };
  const host = new Host("box", (path) => state.files.get(path));
  for (let tick = 0; tick <= 30; tick += 1) {
    // Busy in the second second only; a sample every 100 ms.
    state.files = fakeProc(Math.min(1, Math.max(0, tick - 10) / 10));
    const [cpu] = host.sample(tick * 100);
    const busy = cpu === undefined ? 0 : Number(Reflect.get(Object(cpu.data), "busy"));
    if (tick === 10 || tick === 30) assert.equal(busy, 0);
    if (tick === 20) assert.ok(busy > 0.4);
  }
});
