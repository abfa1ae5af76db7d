import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const KUBECTL = `${ROOT}node_modules/.cache/kubectl/kubectl`;

/** An object of Kubernetes, read one place at a time. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly [field: string]: unknown;
}

interface Model {
  validate(): void;
}

/** What `kubectl apply -k` of this folder would send. */
export function rendered(folder: string): KubeObject[] {
  assert.ok(existsSync(KUBECTL), `${KUBECTL} is missing: scripts/test.sh fetches it`);
  return parse(execFileSync(KUBECTL, ["kustomize", join(ROOT, folder)], { encoding: "utf8" }));
}

/** The same for a kustomization of the test's own, in a folder beside the others. */
export function renderedWith(kustomization: string): KubeObject[] {
  const folder = mkdtempSync(`${ROOT}k8s/.test-`);
  try {
    writeFileSync(join(folder, "kustomization.yaml"), kustomization);
    return parse(execFileSync(KUBECTL, ["kustomize", folder], { encoding: "utf8" }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function objectsIn(file: string): KubeObject[] {
  return parse(readFileSync(join(ROOT, file), "utf8"));
}

function parse(text: string): KubeObject[] {
  return parseAllDocuments(text).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as KubeObject;
  });
}

const PACKAGES: Readonly<Record<string, string>> = {
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator",
};

/** Checks an object against the schema of its kind. Rejects with an Error that says what is wrong where. */
export async function check(object: KubeObject): Promise<void> {
  const { apiVersion, kind, metadata } = object;
  const file = `${PACKAGES[apiVersion] ?? "kubernetes-models"}/${apiVersion}`;
  const models: Readonly<Record<string, new (data: unknown) => Model>> = await import(file);
  const Model = models[kind];
  assert.ok(Model !== undefined, `${file} has the kind ${kind}`);
  try {
    new Model(object).validate();
  } catch (cause) {
    throw new Error(`${kind} ${metadata.name}: ${cause instanceof Error ? cause.message : cause}`);
  }
}

/** The value at a path such as "spec.template.spec"; undefined where there is none. */
export function at(object: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (value, name) => (typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined),
      object,
    );
}

export function listAt(object: unknown, path: string): unknown[] {
  const value = at(object, path);
  return Array.isArray(value) ? value : [];
}

/** Every value of this field, however deep. */
export function everyField(object: unknown, name: string): unknown[] {
  if (typeof object !== "object" || object === null) return [];
  return Object.entries(object).flatMap(([key, value]) => [
    ...(key === name ? [value] : []),
    ...everyField(value, name),
  ]);
}
