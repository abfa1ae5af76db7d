import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
const DAYS = ["-days", "2"];

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A root, an authority below it, and servers' certificates below that: files in a folder, made by Debian's openssl. */
export class Authority {
  /** The root's certificate, which clients trust. */
  readonly root: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.root = this.#path("root.pem");
    const usage = [
      "-addext",
      "basicConstraints=critical,CA:TRUE",
      "-addext",
      "keyUsage=critical,keyCertSign",
    ];
    run([
      "req",
      "-x509",
      ...KEY,
      "-keyout",
      this.#path("root.key"),
      "-out",
      this.root,
      "-subj",
      "/CN=test root",
      ...DAYS,
      ...usage,
    ]);
    this.#sign(
      "middle",
      "root",
      "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign",
    );
  }

  /** A certificate for localhost and 127.0.0.1, with the authority's behind it in the same file. */
  issue(name: string): Pair {
    this.#sign(name, "middle", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth");
    const cert = this.#path(`${name}-chain.pem`);
    writeFileSync(
      cert,
      readFileSync(this.#path(`${name}.pem`), "utf8") + readFileSync(this.#path("middle.pem"), "utf8"),
    );
    return { cert, key: this.#path(`${name}.key`) };
  }

  #sign(name: string, by: string, extensions: string): void {
    const request = this.#path(`${name}.csr`);
    const extra = this.#path(`${name}.ext`);
    writeFileSync(extra, extensions);
    run(["req", ...KEY, "-keyout", this.#path(`${name}.key`), "-out", request, "-subj", `/CN=${name}`]);
    const signer = ["-CA", this.#path(`${by}.pem`), "-CAkey", this.#path(`${by}.key`), "-CAcreateserial"];
    run([
      "x509",
      "-req",
      "-in",
      request,
      ...signer,
      "-out",
      this.#path(`${name}.pem`),
      ...DAYS,
      "-extfile",
      extra,
    ]);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

function run(args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "ignore"] });
}
