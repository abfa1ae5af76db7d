import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { HttpReply } from "./http-types.js";
import { loadPages, type Pages } from "./static-files.js";

async function folder(t: TestContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "pages-"));
  t.after(() => rm(parent, { recursive: true }));
  const path = join(parent, "web");
  await mkdir(join(path, "assets"), { recursive: true });
  await writeFile(join(parent, "secret.json"), "{}");
  await writeFile(join(path, "index.html"), "<!doctype html>");
  await writeFile(join(path, "assets", "app.js"), "export {};");
  await writeFile(join(path, "app.js.map"), "{}");
  await writeFile(join(path, "app.d.ts"), "export {};");
  await symlink(join(parent, "secret.json"), join(path, "link.json"));
  return path;
}

function get(
  pages: Pages,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): HttpReply | undefined {
  return pages({
    method,
    path,
    query: "",
    headers: new Map(Object.entries(headers)),
    body: new Uint8Array(),
  });
}

test("files are served by path with type, tag and policy; the root is index.html", async (t) => {
  const pages = await loadPages(await folder(t));
  const root = get(pages, "/");
  assert.equal(Buffer.from(root?.body ?? "").toString(), "<!doctype html>");
  assert.equal(root?.headers["content-type"], "text/html; charset=utf-8");
  assert.match(root?.headers["content-security-policy"] ?? "", /default-src 'none'.*script-src 'self'/);
  assert.deepEqual(get(pages, "/index.html"), root);
  assert.equal(get(pages, "/assets/app.js")?.headers["content-type"], "text/javascript; charset=utf-8");
});

test("nothing else is served, however the path is written", async (t) => {
  const pages = await loadPages(await folder(t));
  for (const path of [
    "/../secret.json",
    "/assets/../../secret.json",
    "/%2e%2e/secret.json",
    "/..%2fsecret.json",
    "//secret.json",
    "/link.json",
    "/app.js.map",
    "/app.d.ts",
    "/assets",
    "/assets/",
    "/toString",
    "",
  ])
    assert.equal(get(pages, path), undefined, path);
});

test("a known tag is answered 304, and only GET is allowed", async (t) => {
  const pages = await loadPages(await folder(t));
  const tag = get(pages, "/")?.headers.etag ?? "";
  assert.equal(get(pages, "/", { "if-none-match": tag })?.status, 304);
  assert.equal(get(pages, "/", { "if-none-match": `"other", W/${tag}` })?.status, 304);
  assert.equal(get(pages, "/", { "if-none-match": '"other"' })?.status, 200);
  const refused = get(pages, "/", { accept: "application/msgpack" }, "POST");
  assert.deepEqual([refused?.status, refused?.headers["content-type"]], [405, "application/msgpack"]);
});

test("a page that is not built is an error that says so", async (t) => {
  const path = await folder(t);
  await rm(join(path, "index.html"));
  await assert.rejects(loadPages(path), /no index\.html: build the page first/);
});
