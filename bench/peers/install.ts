import { execFile } from "node:child_process";
import {
  accessSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

/** bench/peers as it lies beside the compiled benches: the servers' programs and what they need. */
export const PEERS_FOLDER = fileURLToPath(new URL("./", import.meta.url));

/** What a peer needs besides the project. */
export type Need =
  /** Nothing. */
  | { readonly kind: "none" }
  /** Packages of bench/peers/package.json, at the versions there. */
  | { readonly kind: "npm"; readonly packages: readonly string[] }
  /** Debian packages, unpacked into a folder; with nothing to do where `program` is installed. */
  | {
      readonly kind: "debian";
      readonly packages: readonly string[];
      readonly program?: string;
      /** A path that is compiled into one of the files, and another of the same length to stand there. */
      readonly repath?: { readonly file: string; readonly from: string; readonly to: string };
    }
  /** A C program of servers/. */
  | { readonly kind: "cc"; readonly source: string };

const STEP_MS = 180_000;

/** Where peers are installed: `--cache`, else the user's cache folder. */
export function cacheFolder(given: string): string {
  return given === ""
    ? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "fanwire", "peers")
    : given;
}

/**
 * Installs what a peer needs into a folder of its own, unless it is there. Returns that folder.
 * @throws Error with what the package manager said.
 */
export async function install(name: string, need: Need, cache: string): Promise<string> {
  if (need.kind === "none") return PEERS_FOLDER;
  if (need.kind === "debian" && need.program !== undefined && isThere(need.program)) return "/";
  const folder = join(cache, `${name}-${fingerprint(need)}`);
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  try {
    if (need.kind === "npm") await installNpm(need.packages, unfinished);
    else if (need.kind === "debian") await unpackDebian(need, unfinished);
    else await compile(need.source, unfinished);
    renameSync(unfinished, folder);
  } catch (cause) {
    throw new Error(`could not be installed: ${shortly(cause)}`);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

interface PeersPackage {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly overrides: Readonly<Record<string, string>>;
}

function peersPackage(): PeersPackage {
  return JSON.parse(readFileSync(join(PEERS_FOLDER, "package.json"), "utf8")) as PeersPackage;
}

async function installNpm(packages: readonly string[], folder: string): Promise<void> {
  const { dependencies, overrides } = peersPackage();
  const unpinned = packages.find((name) => dependencies[name] === undefined);
  if (unpinned !== undefined) throw new Error(`${unpinned} is not in bench/peers/package.json`);
  const chosen = Object.fromEntries(packages.map((name) => [name, dependencies[name]]));
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "fanwire-peer", private: true, dependencies: chosen, overrides }),
  );
  // No script of theirs runs; --legacy-peer-deps: optional peers of peers are of no use here.
  const args = [
    "install",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    "--legacy-peer-deps",
    "--loglevel=error",
  ];
  await run("npm", args, { cwd: folder, timeout: STEP_MS });
}

async function unpackDebian(
  { packages, repath }: Extract<Need, { kind: "debian" }>,
  folder: string,
): Promise<void> {
  const downloads = join(folder, "deb");
  mkdirSync(downloads);
  const download = (): Promise<unknown> =>
    run("apt-get", ["download", "-qq", ...packages], { cwd: downloads, timeout: STEP_MS });
  try {
    await download();
  } catch {
    // Lists that are old or missing: only root may renew them.
    await run("apt-get", ["update", "-qq"], { timeout: STEP_MS });
    await download();
  }
  const { stdout } = await run("find", [downloads, "-name", "*.deb"]);
  for (const file of stdout.trim().split("\n")) await run("dpkg", ["-x", file, folder], { timeout: STEP_MS });
  rmSync(downloads, { recursive: true });
  if (repath !== undefined) {
    const file = join(folder, repath.file);
    const text = readFileSync(file, "latin1").replaceAll(repath.from, repath.to);
    writeFileSync(file, text, "latin1");
  }
}

async function compile(source: string, folder: string): Promise<void> {
  const compiler = ["/usr/bin/cc", "/usr/bin/gcc", "/usr/bin/clang"].find(isThere);
  if (compiler === undefined) throw new Error("no C compiler (apt-get install gcc libc6-dev)");
  cpSync(join(PEERS_FOLDER, "servers", source), join(folder, source));
  const program = join(folder, source.replace(/\.c$/, ""));
  await run(compiler, ["-O2", "-o", program, join(folder, source)], { timeout: STEP_MS });
}

/** Changes with what is to be installed, so that an old folder is not taken for the new one. */
function fingerprint(need: Need): string {
  const what =
    need.kind === "npm"
      ? JSON.stringify(need.packages.map((name) => [name, peersPackage().dependencies[name]]))
      : need.kind === "cc"
        ? readFileSync(join(PEERS_FOLDER, "servers", need.source), "utf8")
        : JSON.stringify(need);
  let hash = 5_381;
  for (const char of what) hash = (hash * 33 + char.charCodeAt(0)) >>> 0;
  return hash.toString(36);
}

function isThere(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

function shortly(cause: unknown): string {
  const text =
    (cause as { stderr?: string }).stderr || (cause instanceof Error ? cause.message : String(cause));
  return text
    .trim()
    .split("\n")
    .filter((line) => !line.startsWith("npm warn"))
    .slice(0, 3)
    .join(" ")
    .slice(0, 300);
}
