// Workloads of every kind, and what people, controllers and attackers may change in them.
import { WORKLOAD_KINDS } from "../../core/admission/workload.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { APP, SIGNED } from "../support/scripted-admission.ts";
import { type Kind, workload } from "./inheritance-objects.ts";

// biome-ignore lint/suspicious/noExplicitAny: objects are plain JSON here, and deliberately broken
export type Loose = any;

export const KINDS: readonly Kind[] = ["Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"];
/** What the API server has stored: as written; with our annotation; with it, and a deletion that a finalizer holds up. */
export const STATES = ["plain", "sealed", "leaving"] as const;
export type State = (typeof STATES)[number];
export const HOLD = "test.entrepot.dev/hold";

/** One change: which of `EDITS`, and with which value. */
export interface Edit {
  readonly what: string;
  readonly value: string;
}

export const nameOf = (kind: Kind, state: State) => `${kind.toLowerCase()}-${state}`;

/** The path of an object, of a kind of the table, in a namespace. */
export function pathOf(namespace: string, kind: Kind, name: string, subresource = ""): string {
  const row = WORKLOAD_KINDS.find((one) => one.kind === kind);
  if (row === undefined) throw new Error(`${kind} is no workload kind`);
  const base = row.group === "" ? "/api/v1" : `/apis/${row.group}/${row.versions[0]}`;
  return `${base}/namespaces/${namespace}/${row.plural}${name === "" ? "" : `/${name}`}${subresource}`;
}

/** A workload that starts nothing. */
export function idle(kind: Kind, state: State, annotation: string): Loose {
  const name = nameOf(kind, state);
  const object = workload(kind, name, APP, kind === "Job" ? 1 : 0) as Loose;
  if (kind === "Job" || kind === "CronJob") object.spec.suspend = true;
  if (kind === "Pod") object.spec.containers[0].resources = { requests: { cpu: "1m" } }; // a resize keeps the class of service
  object.metadata.finalizers = [HOLD];
  if (state !== "plain") object.metadata.annotations = { [CACHE_ANNOTATION]: annotation, note: "a" };
  return object;
}

/** What stands at `path`, made if there is nothing. */
function within(object: Loose, path: readonly string[]): Loose {
  return path.reduce((at: Loose, key) => {
    at[key] ??= {};
    return at[key];
  }, object);
}

const podSpecPath = (object: Loose) => WORKLOAD_KINDS.find(({ kind }) => kind === object.kind)?.podSpec ?? [];
const podSpec = (object: Loose): Loose => within(object, podSpecPath(object));
/** The pod template; a Pod is its own. */
const template = (object: Loose): Loose => within(object, podSpecPath(object).slice(0, -1));
const annotations = (object: Loose): Loose => within(object, ["metadata", "annotations"]);
const container = (object: Loose): Loose => podSpec(object).containers[0];

type Change = (object: Loose, value: string, otherSeal: string) => unknown;

/** Changes about which no policy has anything to say, unless it reads metadata. */
export const HARMLESS: Readonly<Record<string, Change>> = {
  label: (object, value) => Object.assign(within(object, ["metadata", "labels"]), { tier: value }),
  annotation: (object, value) => Object.assign(annotations(object), { note: `${value}!` }),
  finalizers: (object, value) =>
    Object.assign(object.metadata, { finalizers: value === "a" ? [] : [HOLD, "test.entrepot.dev/b"] }),
  owner: (object, value) => {
    const reference = { apiVersion: "apps/v1", kind: "Deployment", name: value, uid: value, controller: true };
    object.metadata.ownerReferences = [reference];
  },
};

/** Changes that nobody judges, whatever policies read. */
export const BOOKKEEPING: Readonly<Record<string, Change>> = {
  managedFields: (object) => Object.assign(object.metadata, { managedFields: [] }),
  status: (object, value) => Object.assign(within(object, ["status"]), { observedGeneration: value.length }),
  nothing: () => undefined,
};

/** Changes of spec outside the pod template, of those kinds that have such. */
export const BESIDE_TEMPLATE: Readonly<Partial<Record<Kind, object>>> = {
  Deployment: { replicas: 7 },
  ReplicaSet: { replicas: 7 },
  StatefulSet: { replicas: 7 },
  DaemonSet: { minReadySeconds: 7 },
  Job: { parallelism: 7 },
  CronJob: { schedule: "7 * * * *" },
};

/** Every change that the property test knows; some make objects that the API server refuses in the end. */
export const EDITS: Readonly<Record<string, Change>> = {
  ...HARMLESS,
  ...BOOKKEEPING,
  scale: (object) => Object.assign(object.spec, BESIDE_TEMPLATE[object.kind as Kind]),
  paused: (object) => Object.assign(object.spec, { paused: true }),
  dropMetadata: (object) => {
    const { name, namespace } = object.metadata;
    object.metadata = { name, namespace };
  },
  dropLabels: (object) => delete object.metadata.labels,
  nullAnnotations: (object) => Object.assign(object.metadata, { annotations: null }),
  delete: (object) => Object.assign(object.metadata, { deletionTimestamp: "2026-01-01T00:00:00Z" }),
  undelete: (object) => delete object.metadata.deletionTimestamp,
  dropSeal: (object) => delete annotations(object)[CACHE_ANNOTATION],
  forgeSeal: (object, value) => Object.assign(annotations(object), { [CACHE_ANNOTATION]: `forged: ${value}` }),
  otherSeal: (object, _value, otherSeal) => Object.assign(annotations(object), { [CACHE_ANNOTATION]: otherSeal }),
  image: (object, value) =>
    Object.assign(container(object), { image: value === "a" ? `${APP}@${SIGNED}` : "quay.io/other/app:v2" }),
  emptyImage: (object) => Object.assign(container(object), { image: "" }),
  initContainer: (object) =>
    Object.assign(podSpec(object), { initContainers: [{ name: "init", image: "ghcr.io/team/init:v1" }] }),
  imageVolume: (object) =>
    Object.assign(podSpec(object), { volumes: [{ name: "i", image: { reference: "ghcr.io/team/data:v1" } }] }),
  environment: (object, value) => Object.assign(container(object), { env: [{ name: "A", value }] }),
  resources: (object) => Object.assign(container(object), { resources: { requests: { cpu: "2m" } } }),
  restart: (object, value) => Object.assign(annotations(template(object)), { restartedAt: value }),
  templateLabel: (object, value) => Object.assign(within(template(object), ["metadata", "labels"]), { v: value }),
  toleration: (object) => Object.assign(podSpec(object), { tolerations: [{ operator: "Exists" }] }),
  deadline: (object) => Object.assign(podSpec(object), { activeDeadlineSeconds: 60 }),
  nullContainers: (object) => Object.assign(podSpec(object), { containers: null }),
  nullTemplate: (object) =>
    Object.assign(object, object.kind === "Pod" ? { spec: null } : { spec: { template: null } }),
  nullSpec: (object) => Object.assign(object, { spec: null }),
};

/** `object` with these changes made; one that no longer applies (the spec is gone) is passed over. */
export function edited(object: Loose, edits: readonly Edit[], otherSeal: string): Loose {
  const copy = structuredClone(object);
  for (const { what, value } of edits) {
    try {
      EDITS[what]?.(copy, value, otherSeal);
    } catch (thrown) {
      if (!(thrown instanceof TypeError)) throw thrown;
    }
  }
  return copy;
}
