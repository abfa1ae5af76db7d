// Makes the pages of src/web, the demo's into dist/page and the operators' into dist/ops-page: index.html, a script, a style sheet,
// favicon.svg; the client into single files for a page without a build, dist/cdn/fanwire.js (global `fanwire`) and
// fanwire.mjs; and lays the programs of peers that
// the bench measures beside the compiled benches, so that `fanwire bench` has them too. Part of `npm run build`.
import { copyFile, cp, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const from = `${root}src/web/`;

await makePage({ folder: "page", html: "index.html", js: { page: "main.ts" }, css: { page: "page.css" } });
await makePage({ folder: "ops-page", html: "ops.html", js: { ops: "ops-main.ts" }, css: { ops: "ops.css" } });

async function makePage({ folder, html, js, css }) {
  const to = `${root}dist/${folder}/`;
  await mkdir(to, { recursive: true });
  const settings = {
    outdir: to,
    bundle: true,
    target: ["chrome111", "firefox113", "safari16.4"],
    minify: true,
    logLevel: "warning",
    legalComments: "none",
  };
  const files = (entries) =>
    Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, from + file]));
  await build({ ...settings, entryPoints: files(js), format: "esm" });
  await build({ ...settings, entryPoints: files(css) });
  await copyFile(from + html, `${to}index.html`);
  await copyFile(`${from}favicon.svg`, `${to}favicon.svg`);
}

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

await cp(`${root}bench/peers/servers`, `${root}dist/bench/peers/servers`, { recursive: true });
await cp(`${root}bench/chat`, `${root}dist/bench/chat`, {
  recursive: true,
  filter: (file) => !file.endsWith(".ts"),
});
await copyFile(`${root}bench/peers/package.json`, `${root}dist/bench/peers/package.json`);
