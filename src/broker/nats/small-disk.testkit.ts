import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system in memory that is as small as wanted. */
export class SmallDisk {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Undefined where that is not allowed. */
  static async mount(mebibytes: number): Promise<SmallDisk | undefined> {
    const path = await mkdtemp(join(tmpdir(), "fanwire-nats-disk-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "tmpfs", path], { stdio: "ignore" });
    } catch {
      await rm(path, { recursive: true });
      return undefined;
    }
    return new SmallDisk(path);
  }

  get freeBytes(): number {
    const [, free = ""] = execFileSync("df", ["--output=avail", "-B1", this.path], {
      encoding: "utf8",
    }).split("\n");
    return Number(free);
  }

  async unmount(): Promise<void> {
    execFileSync("umount", ["-l", this.path]);
    await rm(this.path, { recursive: true });
  }

  grow(mebibytes: number): void {
    execFileSync("mount", ["-o", `remount,size=${mebibytes}m`, this.path]);
  }
}
