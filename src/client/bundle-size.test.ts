import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const GZIPPED_BYTES_MAX = 13_000;

test("the client is at most 13 kB gzipped, and needs nothing but itself", async (t) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL("index.js", import.meta.url))],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: "esm",
    // A browser has no Node modules: an import of one would fail here.
    platform: "browser",
  });
  const [file] = outputFiles;
  assert.ok(file !== undefined);
  const gzipped = gzipSync(file.contents, { level: 9 }).length;
  t.diagnostic(`${file.contents.length} bytes minified, ${gzipped} gzipped`);
  assert.ok(gzipped <= GZIPPED_BYTES_MAX, `${gzipped} bytes gzipped`);
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
