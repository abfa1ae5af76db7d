import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

/** What a process has used so far. */
export interface CpuTime {
  /** All threads, to the nanosecond where the kernel keeps schedstat, else as {@link CpuTime.userMicros} plus system. */
  readonly micros: number;
  /** From /proc/<pid>/stat: in steps of 10 ms. */
  readonly userMicros: number;
  readonly systemMicros: number;
}

/** USER_HZ, which is 100 on every Linux that Node runs on. */
const MICROS_PER_TICK = 10_000;

/** CPU time of a live process. Short-lived threads that ended are not in it; Node's own live as long as the process. */
export function cpuTime(pid: number): CpuTime {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The command's name in parentheses may hold spaces, so fields are counted after the last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const userMicros = Number(fields[11]) * MICROS_PER_TICK;
  const systemMicros = Number(fields[12]) * MICROS_PER_TICK;
  return { micros: schedulerMicros(pid) ?? userMicros + systemMicros, userMicros, systemMicros };
}

export function cpuSince(pid: number, before: CpuTime): CpuTime {
  const now = cpuTime(pid);
  return {
    micros: now.micros - before.micros,
    userMicros: now.userMicros - before.userMicros,
    systemMicros: now.systemMicros - before.systemMicros,
  };
}

/** How much of one core it is, 1 being all of it; undefined where it was not seen. */
export function coreShare(cpu: CpuTime | undefined, seconds: number): number | undefined {
  return cpu === undefined ? undefined : cpu.micros / 1_000_000 / seconds;
}

/**
 * For how long a process's main thread ran or was ready to and waited for a core, since it started; NaN on a kernel without
 * schedstat. A share near 1 of a time: it had more to do than it got done.
 */
export function wantedMicros(pid: number): number {
  try {
    const [ran, waited] = readFileSync(`/proc/${pid}/schedstat`, "latin1").split(" ");
    return (Number(ran) + Number(waited)) / 1_000;
  } catch {
    return Number.NaN;
  }
}

/** Begins now; the function that it returns says how many cores were busy since, of all processes and the kernel. */
export function hostBusy(): () => number {
  const before = hostTimes();
  return () => {
    const now = hostTimes();
    return ((now.busy - before.busy) / (now.all - before.all)) * cpus().length;
  };
}

function hostTimes(): { readonly busy: number; readonly all: number } {
  let [busy, all] = [0, 0];
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq;
    all += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { busy, all };
}

/** Resident memory in bytes, from VmRSS. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  if (line === null) throw new Error(`process ${pid} has no VmRSS`);
  return Number(line[1]) * 1_024;
}

function schedulerMicros(pid: number): number | undefined {
  try {
    let nanos = 0;
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      nanos += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ")[0]);
    }
    return nanos / 1_000;
  } catch {
    return undefined; // a kernel without schedstat: the caller has the coarser reading
  }
}
