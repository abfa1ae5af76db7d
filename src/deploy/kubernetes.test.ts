import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DRAIN_GRACE_MS } from "../server/gateway-exit.js";
import {
  at,
  check,
  everyField,
  type KubeObject,
  listAt,
  objectsIn,
  ROOT,
  rendered,
  renderedWith,
} from "./kubernetes.testkit.js";

type Labels = Readonly<Record<string, string>>;

const dev = rendered("k8s/dev");
const prod = rendered("k8s/prod");
const tuned = renderedWith("resources: [../prod]\ncomponents: [../sysctls]\n");
const examples = ["ingress-nginx", "gateway-api", "secret"].flatMap((name) =>
  objectsIn(`k8s/examples/${name}.yaml`),
);
const overlays = { dev, prod, tuned };

const podOf = (object: KubeObject): unknown => at(object, "spec.template");
const pods = (objects: readonly KubeObject[]): KubeObject[] =>
  objects.filter((object) => podOf(object) !== undefined);
const one = (objects: readonly KubeObject[], kind: string, name: string): KubeObject => {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(found !== undefined, `${kind} ${name}`);
  return found;
};
const containersOf = (object: KubeObject): unknown[] => listAt(podOf(object), "spec.containers");

test("every object holds the schema of its kind", async () => {
  for (const objects of [...Object.values(overlays), examples])
    for (const object of objects) await check(object);
  await assert.rejects(
    check({ ...one(prod, "Deployment", "fanwire"), spec: { replicas: "three" } }),
    /Deployment fanwire/,
  );
});

test("every selector finds the pods that it is meant for, and every reference something that is there", () => {
  for (const objects of Object.values(overlays)) {
    const labels = pods(objects).map((object) => at(podOf(object), "metadata.labels") as Labels);
    const finds = (selector: unknown): boolean =>
      labels.some((pod) => Object.entries(selector as Labels).every(([key, value]) => pod[key] === value));
    const selectors = objects.flatMap((object) => [
      ...(object.kind === "Service" ? [at(object, "spec.selector")] : []),
      ...(object.kind === "PodDisruptionBudget" ? [at(object, "spec.selector.matchLabels")] : []),
      ...(object.kind === "NetworkPolicy" ? [at(object, "spec.podSelector.matchLabels")] : []),
      ...(podOf(object) === undefined || object.kind === "Job"
        ? []
        : [at(object, "spec.selector.matchLabels")]),
    ]);
    assert.ok(selectors.length >= 3);
    for (const selector of selectors) assert.ok(finds(selector), JSON.stringify(selector));
    const made = objects.filter(({ kind }) => kind === "ConfigMap").map(({ metadata }) => metadata.name);
    const given = ["nats-accounts", ...examples.map(({ metadata }) => metadata.name)];
    for (const object of pods(objects)) {
      const names = [...everyField(object, "configMap"), ...everyField(object, "secretKeyRef")].map((ref) =>
        at(ref, "name"),
      );
      for (const name of names)
        assert.ok([...made, ...given].includes(String(name)), `${object.metadata.name} wants ${name}`);
    }
  }
});

test("network policies let fanwire reach NATS and DNS, and clients and monitoring reach fanwire", () => {
  const policy = one(prod, "NetworkPolicy", "fanwire");
  const to = listAt(policy, "spec.egress").flatMap((rule) => listAt(rule, "to"));
  assert.deepEqual(
    to.map((peer) => at(peer, "podSelector.matchLabels")),
    [{ "k8s-app": "kube-dns" }, { "app.kubernetes.io/name": "nats" }],
  );
  assert.deepEqual(at(one(prod, "StatefulSet", "nats"), "spec.template.metadata.labels"), {
    "app.kubernetes.io/name": "nats",
  });
  const from = listAt(one(prod, "NetworkPolicy", "nats"), "spec.ingress.0.from").map((peer) =>
    at(peer, "podSelector.matchLabels"),
  );
  const clients = [one(prod, "Deployment", "fanwire"), one(prod, "Job", "fanwire-provision")];
  for (const client of clients) {
    const labels = at(podOf(client), "metadata.labels") as Labels;
    assert.ok(
      from.some((peer) => Object.entries(peer as Labels).every(([key, value]) => labels[key] === value)),
      client.metadata.name,
    );
  }
});

test("a pod has more time to end than its drain takes, and leaves the Service before that", () => {
  for (const objects of Object.values(overlays)) {
    const deployment = one(objects, "Deployment", "fanwire");
    const [container] = containersOf(deployment);
    const drain = listAt(container, "env").find((env) => at(env, "name") === "FANWIRE_DRAIN_SECONDS");
    const [command, seconds] = listAt(container, "lifecycle.preStop.exec.command");
    assert.equal(command, "sleep");
    const needed = Number(seconds) + Number(at(drain, "value")) + DRAIN_GRACE_MS / 1_000;
    const given = Number(at(podOf(deployment), "spec.terminationGracePeriodSeconds"));
    assert.ok(given >= needed + 10, `${given} s for ${needed} s`);
    const probe = at(container, "readinessProbe");
    assert.equal(at(probe, "httpGet.path"), "/readyz");
    assert.ok(Number(at(probe, "periodSeconds")) * Number(at(probe, "failureThreshold")) <= Number(seconds));
  }
});

test("no container has rights or a disk that it does not need, and each says what it needs", () => {
  for (const object of [...pods(dev), ...pods(prod)]) {
    assert.equal(at(podOf(object), "spec.securityContext.runAsNonRoot"), true);
    assert.equal(at(podOf(object), "spec.automountServiceAccountToken"), false);
    for (const container of containersOf(object)) {
      const where = `${object.metadata.name} ${at(container, "name")}`;
      assert.equal(at(container, "securityContext.readOnlyRootFilesystem"), true, where);
      assert.equal(at(container, "securityContext.allowPrivilegeEscalation"), false, where);
      assert.deepEqual(at(container, "securityContext.capabilities.drop"), ["ALL"], where);
      for (const path of ["requests.cpu", "requests.memory", "limits.memory"])
        assert.notEqual(at(container, `resources.${path}`), undefined, `${where} ${path}`);
    }
  }
  assert.equal(
    at(
      listAt(podOf(one(tuned, "Deployment", "fanwire")), "spec.initContainers")[0],
      "securityContext.privileged",
    ),
    true,
  );
});

/** The environment of a container, secrets as the templates have them. */
function environmentOf(container: unknown): Record<string, string> {
  return Object.fromEntries(
    listAt(container, "env").map((env) => {
      const secret = at(env, "valueFrom.secretKeyRef");
      const template = examples.find(
        ({ kind, metadata }) => kind === "Secret" && metadata.name === at(secret, "name"),
      );
      const value = at(env, "value") ?? at(template, `stringData.${at(secret, "key")}`) ?? "pod-0";
      return [String(at(env, "name")), String(value)];
    }),
  );
}

test("fanwire takes the environment and the file that its pods get", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-k8s-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const objects of [dev, prod]) {
    const deployment = one(objects, "Deployment", "fanwire");
    const config = objects.find(
      ({ kind, metadata }) => kind === "ConfigMap" && metadata.name.startsWith("fanwire-config"),
    );
    const file = join(folder, "fanwire.config.json");
    writeFileSync(file, String(Reflect.get(at(config, "data") as object, "fanwire.config.json")));
    for (const object of [deployment, ...objects.filter(({ kind }) => kind === "Job")]) {
      const [container] = containersOf(object);
      const env = { ...environmentOf(container), PATH: process.env.PATH ?? "" };
      const args = [join(ROOT, "dist/cli/main.js"), "config", "--config", file];
      const told = execFileSync(process.execPath, args, { env, encoding: "utf8" });
      const isNats = objects === prod;
      assert.match(told, isNats ? /nats:\/\/nats:4222/ : /"memory"/);
    }
  }
});

test("nats-server takes the configuration that its pods get, with the accounts beside it", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-k8s-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const config = prod.find(
    ({ kind, metadata }) => kind === "ConfigMap" && metadata.name.startsWith("nats-config"),
  );
  writeFileSync(join(folder, "nats.conf"), String(Reflect.get(at(config, "data") as object, "nats.conf")));
  mkdirSync(join(folder, "accounts"));
  writeFileSync(
    join(folder, "accounts/nats-accounts.conf"),
    readFileSync(join(ROOT, "scripts/nats-accounts.conf")),
  );
  const [container] = containersOf(one(prod, "StatefulSet", "nats"));
  const server = process.env.FANWIRE_NATS_SERVER ?? "/usr/sbin/nats-server";
  const run = (): void => {
    execFileSync(server, ["-t", "-c", join(folder, "nats.conf")], {
      env: environmentOf(container),
      stdio: "pipe",
    });
  };
  run();
  writeFileSync(join(folder, "nats.conf"), "jetstream { no_such_thing: 1 }");
  assert.throws(run);
});
