// Makes the page of src/web into dist/page: index.html, page.js, page.css, favicon.svg; the client into single files for a
// page without a build, dist/cdn/fanwire.js (global `fanwire`) and fanwire.mjs; and lays the programs of peers that
// the bench measures beside the compiled benches, so that `fanwire bench` has them too. Part of `npm run build`.
import { copyFile, cp, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const from = `${root}src/web/`;
const to = `${root}dist/page/`;

await mkdir(to, { recursive: true });
await build({
  entryPoints: { page: `${from}main.ts` },
  outdir: to,
  bundle: true,
  format: "esm",
  target: ["chrome111", "firefox113", "safari16.4"],
  minify: true,
  logLevel: "warning",
  legalComments: "none",
});
await build({
  entryPoints: { page: `${from}page.css` },
  outdir: to,
  bundle: true,
  target: ["chrome111", "firefox113", "safari16.4"],
  minify: true,
  logLevel: "warning",
});
for (const [format, file] of [
  ["iife", "fanwire.js"],
  ["esm", "fanwire.mjs"],
]) {
  await build({
    entryPoints: [`${root}src/client/index.ts`],
    outfile: `${root}dist/cdn/${file}`,
    bundle: true,
    format,
    ...(format === "iife" ? { globalName: "fanwire" } : {}),
    platform: "browser",
    target: ["chrome111", "firefox113", "safari16.4"],
    minify: true,
    logLevel: "warning",
  });
}
for (const file of ["index.html", "favicon.svg"]) await copyFile(from + file, to + file);

await cp(`${root}bench/peers/servers`, `${root}dist/bench/peers/servers`, { recursive: true });
await cp(`${root}bench/chat`, `${root}dist/bench/chat`, {
  recursive: true,
  filter: (file) => !file.endsWith(".ts"),
});
await copyFile(`${root}bench/peers/package.json`, `${root}dist/bench/peers/package.json`);
