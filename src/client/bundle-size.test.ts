import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const GZIPPED_BYTES_MAX = 12_000;

test("the client is at most 12 kB gzipped, and needs nothing but itself", async (t) => {
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
