import { type Fields, fieldsOf } from "../json.ts";

/** The path, in the object, of an object that holds PodSpec, template or metadata; [] is the object itself. */
export type FieldPath = readonly string[];

/** One workload kind: everything the project knows about it. A row more is a kind more (design D12). */
export interface WorkloadKind {
  readonly group: string;
  readonly versions: readonly string[];
  readonly plural: string;
  readonly kind: string;
  readonly podSpec: FieldPath;
  /** Subresources that carry a whole object with a PodSpec, and may bring images. */
  readonly subresources: readonly string[];
  /** Others that carry one and bring no image, whatever is sent. The validating webhook alone is asked, for policies that read the spec. */
  readonly imageless?: readonly string[];
}

const TEMPLATE = ["spec", "template", "spec"] as const;

export const WORKLOAD_KINDS: readonly WorkloadKind[] = [
  {
    group: "",
    versions: ["v1"],
    plural: "pods",
    kind: "Pod",
    podSpec: ["spec"],
    subresources: ["ephemeralcontainers"],
    imageless: ["resize"],
  },
  { group: "apps", versions: ["v1"], plural: "replicasets", kind: "ReplicaSet", podSpec: TEMPLATE, subresources: [] },
  { group: "apps", versions: ["v1"], plural: "deployments", kind: "Deployment", podSpec: TEMPLATE, subresources: [] },
  { group: "apps", versions: ["v1"], plural: "statefulsets", kind: "StatefulSet", podSpec: TEMPLATE, subresources: [] },
  { group: "apps", versions: ["v1"], plural: "daemonsets", kind: "DaemonSet", podSpec: TEMPLATE, subresources: [] },
  { group: "batch", versions: ["v1"], plural: "jobs", kind: "Job", podSpec: TEMPLATE, subresources: [] },
  {
    group: "batch",
    versions: ["v1"],
    plural: "cronjobs",
    kind: "CronJob",
    podSpec: ["spec", "jobTemplate", ...TEMPLATE],
    subresources: [],
  },
];

/** The row of a kind, by its group and kind, or undefined for what is no workload. */
export function workloadKind(group: string, kind: string): WorkloadKind | undefined {
  return WORKLOAD_KINDS.find((row) => row.group === group && row.kind === kind);
}

/** One image field of a PodSpec: where it stands and what it says. */
export interface ImageField {
  /** Path below the PodSpec, e.g. `["containers", 0, "image"]`. */
  readonly path: readonly (string | number)[];
  readonly image: string;
}

const CONTAINER_LISTS = ["initContainers", "containers", "ephemeralContainers"] as const;

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The object at `path` below `object`, or undefined where there is none. */
export function objectAt(object: unknown, path: FieldPath): Fields | undefined {
  return path.reduce<Fields | undefined>((at, key) => fieldsOf(at?.[key]), fieldsOf(object));
}

/** Every image that a PodSpec names: init, ordinary and ephemeral containers, and image volumes, in that order. */
export function imageFields(podSpec: Fields): readonly ImageField[] {
  const containers = CONTAINER_LISTS.flatMap((name) =>
    list(podSpec[name]).flatMap((container, index) => {
      const image = fieldsOf(container)?.["image"];
      return typeof image === "string" && image !== "" ? [{ path: [name, index, "image"], image }] : [];
    }),
  );
  const volumes = list(podSpec["volumes"]).flatMap((volume, index) => {
    const reference = fieldsOf(fieldsOf(volume)?.["image"])?.["reference"];
    return typeof reference === "string" && reference !== ""
      ? [{ path: ["volumes", index, "image", "reference"], image: reference }]
      : [];
  });
  return [...containers, ...volumes];
}
