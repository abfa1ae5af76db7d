import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const GZIPPED_BYTES_MAX = 13_400;
const LATER_BYTES_MAX = 5_000;

test("the client is at most 13.4 kB gzipped, and needs nothing but itself", async (t) => {
  // What only clients without a WebSocket need is loaded by them.
  const { outputFiles, metafile } = await build({
    splitting: true,
    outdir: "out",
    entryPoints: [fileURLToPath(new URL("index.js", import.meta.url))],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: "esm",
    // A browser has no Node modules: an import of one would fail here.
    platform: "browser",
  });
  const outputs = new Map(Object.entries(metafile.outputs));
  const [entry = ""] = [...outputs].find(([, { entryPoint }]) => entryPoint?.endsWith("index.js")) ?? [];
  const atOnce = new Set([entry]);
  for (const path of atOnce)
    for (const { path: imported, kind } of outputs.get(path)?.imports ?? [])
      if (kind === "import-statement") atOnce.add(imported);
  const bytesOf = (isWanted: (path: string) => boolean): number =>
    outputFiles
      .filter(({ path }) => isWanted(relative(process.cwd(), path)))
      .reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0);
  const gzipped = bytesOf((path) => atOnce.has(path));
  const later = bytesOf((path) => !atOnce.has(path));
  t.diagnostic(`${gzipped} bytes gzipped, and ${later} where there is no WebSocket`);
  assert.ok(gzipped > 5_000 && gzipped <= GZIPPED_BYTES_MAX, `${gzipped} bytes gzipped`);
  assert.ok(later > 1_000 && later <= LATER_BYTES_MAX, `${later} bytes gzipped`);
  const foreign = Object.keys(metafile.inputs).filter((path) => path.includes("node_modules"));
  assert.deepEqual(foreign, []);
});

test("a page without a build takes the client from a single file, as a script or a module", async () => {
  const file = (name: string): string => fileURLToPath(new URL(`../cdn/${name}`, import.meta.url));
  const window = createContext({ WebSocket: class {}, URL, TextEncoder, TextDecoder, performance });
  runInContext(readFileSync(file("fanwire.js"), "utf8"), window);
  const made = runInContext(
    'new fanwire.Client("ws://127.0.0.1:1/ws", { autoConnect: false }).state.kind',
    window,
  );
  assert.equal(made, "idle");
  const module: unknown = await import(file("fanwire.mjs"));
  assert.deepEqual(Object.keys(module ?? {}).sort(), Object.keys(await import("./index.js")).sort());
});
