// What a differential test is made of: scenarios, each with policies of its own, and rows, each one request that both systems get.
import type { ClusterImagePolicySpec } from "../../../crds/types.ts";
import type { DifferenceName } from "./differences.ts";
import type { ImageKind, Keys } from "./images.ts";

/** An image of a scenario, in each way of naming it. */
export interface PlacedImage {
  /** `host/repository`. */
  readonly name: string;
  /** `host/repository:v1`. */
  readonly tagged: string;
  /** `host/repository@sha256:…`. */
  readonly pinned: string;
  /** `host/repository:v1@sha256:…`. */
  readonly both: string;
  readonly digest: string;
}

/** Where a scenario is played: its images are alone in their repositories, so that no scenario's policies match another's. */
export interface Place {
  /** `host/scenario`. */
  readonly prefix: string;
  /** A glob that matches every image of the scenario. */
  readonly glob: string;
  readonly keys: Keys;
  image(kind: ImageKind): PlacedImage;
  /** The same image in a registry that asks for a user: Secret "guarded-registry" of the workload's namespace has it. */
  guarded(kind: ImageKind): PlacedImage;
}

export type Kind = "Pod" | "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob";

export interface Workload {
  readonly apiVersion: string;
  readonly kind: Kind;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: object;
}

/** What a system answers: admitted, refused with a text that contains this, or admitted with warnings that contain this. */
export type Outcome = "admitted" | { readonly refused: string } | { readonly warned: string };

/** The answers are not alike, on purpose. */
export interface Difference {
  readonly because: DifferenceName;
  readonly ours: Outcome;
}

export interface Row {
  readonly name: string;
  /** Asked for with a dry run. Without `before` it is created. */
  readonly ask: (at: Place) => Workload;
  /** Exists already, from the time before the namespace was verified; `ask` is then what changes of it, as a strategic merge patch. */
  readonly before?: (at: Place) => Workload;
  readonly subresource?: string;
  /** In a namespace that does not take part. */
  readonly exempt?: boolean;
  readonly theirs: Outcome;
  readonly differs?: Difference;
}

export interface Scenario {
  /** A DNS label. */
  readonly name: string;
  /** `data` of config-policy-controller; scenarios with the same are played together. */
  readonly config?: Readonly<Record<string, string>>;
  /** Apart from the others, where its policies match more than its own images. */
  readonly alone?: true;
  readonly images: readonly ImageKind[];
  /** Those of the registry that asks for a user. */
  readonly guarded?: readonly ImageKind[];
  /** By name; the scenario's own name stands before it. */
  readonly policies: (at: Place) => Readonly<Record<string, ClusterImagePolicySpec>>;
  /** Secrets and ConfigMaps of the system namespace: name → data. */
  readonly secrets?: (at: Place) => Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly configMaps?: (at: Place) => Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Policies that do not become Ready are no surprise. */
  readonly unready?: boolean;
  readonly rows: readonly Row[];
}

const TEMPLATED: Readonly<Record<Exclude<Kind, "Pod" | "CronJob">, string>> = {
  Deployment: "apps/v1",
  ReplicaSet: "apps/v1",
  StatefulSet: "apps/v1",
  DaemonSet: "apps/v1",
  Job: "batch/v1",
};

export interface Extra {
  readonly labels?: Readonly<Record<string, string>>;
  /** Beside the containers. */
  readonly podSpec?: object;
  /** Beside the template. */
  readonly spec?: object;
}

/** A workload whose containers run these images. */
export function workload(kind: Kind, images: string | readonly string[], extra: Extra = {}): Workload {
  const metadata = { name: "x", ...(extra.labels && { labels: extra.labels }) };
  const containers = [images].flat().map((image, index) => ({ name: `c${index}`, image }));
  const spec = { automountServiceAccountToken: false, containers, ...extra.podSpec };
  if (kind === "Pod") return { apiVersion: "v1", kind, metadata, spec: { ...spec, ...extra.spec } };
  const app = { app: "x" };
  const labelled = { metadata: { labels: app } };
  if (kind === "CronJob") {
    const template = { ...labelled, spec: { restartPolicy: "Never", ...spec } };
    const job = { schedule: "0 0 1 1 *", suspend: true, jobTemplate: { spec: { template } } };
    return { apiVersion: "batch/v1", kind, metadata, spec: { ...job, ...extra.spec } };
  }
  const template = { ...labelled, spec: { ...(kind === "Job" && { restartPolicy: "Never" }), ...spec } };
  const more = kind === "Job" ? { suspend: true } : { selector: { matchLabels: app } };
  const service = kind === "StatefulSet" && { serviceName: "x" };
  return { apiVersion: TEMPLATED[kind], kind, metadata, spec: { ...more, ...service, template, ...extra.spec } };
}

/** A Pod with one container, or several. */
export const pod = (images: string | readonly string[], extra?: Extra): Workload => workload("Pod", images, extra);
