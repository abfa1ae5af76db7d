import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

/** A certificate and its key, as files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Makes certificates by openssl, in a directory that is gone when the test is over. */
export class CertificateMaker {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async create(t: TestContext): Promise<CertificateMaker> {
    const dir = await mkdtemp(join(tmpdir(), "fanwire-tls-test-"));
    t.after(() => rm(dir, { recursive: true, force: true }));
    return new CertificateMaker(dir);
  }

  /** One that signs others. */
  authority(name: string): Promise<Certificate> {
    return this.#make(name, ["-addext", "basicConstraints=critical,CA:TRUE"]);
  }

  /** For servers on 127.0.0.1 or clients, signed by an authority. `days` may be negative: then it has expired. */
  signed(name: string, by: Certificate, host = "IP:127.0.0.1"): Promise<Certificate> {
    return this.#make(name, ["-CA", by.cert, "-CAkey", by.key, "-addext", `subjectAltName=${host}`]);
  }

  async file(name: string, text: string): Promise<string> {
    const path = join(this.dir, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  }

  async #make(name: string, more: readonly string[]): Promise<Certificate> {
    const made = { cert: join(this.dir, `${name}.pem`), key: join(this.dir, `${name}.key`) };
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", made.key];
    const args = ["req", "-x509", ...key, "-out", made.cert, "-days", "2", "-subj", `/CN=${name}`, ...more];
    await promisify(execFile)("openssl", args);
    return made;
  }
}
