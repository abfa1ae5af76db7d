import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CONFIG_ENTRIES } from "../server/config-table.js";
import { ENGINE_NAMES, GATEWAY_NAMES, METRIC_HELP, type MetricName } from "../supervisor/metric-names.js";

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
}

const root = new URL("../../", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, root), "utf8");
const manifest: {
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
} = JSON.parse(read("package.json"));
const lock: { readonly packages: Record<string, Locked> } = JSON.parse(read("package-lock.json"));

/** Cells of the rows between two markers of the README. */
function rows(marker: string): string[][] {
  const [, table = ""] =
    new RegExp(`<!-- ${marker} -->\n(.*?)<!-- /${marker} -->`, "s").exec(read("README.md")) ?? [];
  const lines = table.trim().split("\n").slice(2);
  assert.ok(lines.length > 0, marker);
  return lines.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const quoted = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text);

test("every package of the lockfile has a digest that npm checks, and comes from the registry and no place of its own", () => {
  const packages = Object.entries(lock.packages).filter(([path]) => path !== "");
  assert.ok(packages.length > 50);
  for (const [path, { resolved, integrity = "", link }] of packages) {
    assert.equal(link, undefined, path);
    // Left out, so that a mirror of the registry will do (.npmrc); a git or file address would stand here.
    assert.equal(resolved, undefined, path);
    assert.match(integrity, /^sha512-[A-Za-z0-9+/]{86}==$/, path);
  }
});

test("versions are exact, and those of the lockfile", () => {
  for (const [name, wanted] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    const [, version] = /^(?:npm:[a-z-]+@)?(\d+\.\d+\.\d+)$/.exec(wanted) ?? [];
    assert.ok(version !== undefined, `${name}: ${wanted}`);
    assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name);
  }
});

test("the README gives a reason for every runtime dependency", () => {
  const named = rows("dependencies table").map(([name = "", why = ""]) => {
    assert.ok(why.length > 10, name);
    return quoted(name)[0] ?? "";
  });
  assert.deepEqual(named.toSorted(), Object.keys(manifest.dependencies).toSorted());
});

test("the README's limits are the configuration's, with its defaults, and the counters exist", () => {
  const names: MetricName[] = [...Object.values(ENGINE_NAMES), ...Object.values(GATEWAY_NAMES)];
  const labels = new Set(names.map(({ labels: { limit } }) => limit));
  const listed = rows("limits table").map(([name = "", standard, counter = ""]) => {
    const [key = ""] = quoted(name);
    const entry = CONFIG_ENTRIES.find((each) => each.key === key);
    assert.equal(standard, entry?.defaultText, key);
    assert.ok(quoted(counter).length > 0 || counter.startsWith("not counted: "), `${key} has no counter`);
    for (const label of quoted(counter))
      assert.ok(labels.has(label) || label in METRIC_HELP, `${key}: ${label}`);
    return key;
  });
  const rates = CONFIG_ENTRIES.map(({ key }) => key).filter((key) =>
    /^limits\..*Per(?:Second|Address|Key|Connection)/.test(key),
  );
  for (const key of rates) assert.ok(listed.includes(key), `${key} is not in the table`);
});
