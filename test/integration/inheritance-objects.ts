/** An object of the API as far as these tests look at it. */
export interface Item {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[];
  };
  readonly spec?: { readonly containers?: readonly { readonly image: string }[] };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

export type Kind = "Pod" | "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob";

const GROUPS: Readonly<Record<Kind, string>> = {
  Pod: "v1",
  Deployment: "apps/v1",
  ReplicaSet: "apps/v1",
  StatefulSet: "apps/v1",
  DaemonSet: "apps/v1",
  Job: "batch/v1",
  CronJob: "batch/v1",
};

/** The name of a kind in paths. */
export type Plural = `${Lowercase<Kind>}s` | "controllerrevisions";

/** Where the API server has the objects of a kind, in a namespace. */
export function pathOf(plural: Plural, namespace: string): string {
  const isMeant = (kind: string) => `${kind.toLowerCase()}s` === plural;
  const version = Object.entries(GROUPS).find(([kind]) => isMeant(kind))?.[1] ?? "apps/v1";
  return `/${version === "v1" ? "api" : "apis"}/${version}/namespaces/${namespace}/${plural}`;
}

/** The label of the Node that DaemonSets' Pods are made for. */
export const NODE_LABEL = "entrepot.dev/inheritance";

function specOf(kind: Kind, name: string, image: string, replicas: number): object {
  const labels = { app: name };
  const podSpec = { containers: [{ name: "app", image }], terminationGracePeriodSeconds: 0 };
  const template = { metadata: { labels }, spec: podSpec };
  const selected = { selector: { matchLabels: labels }, template };
  const finite = { ...template, spec: { ...podSpec, restartPolicy: "Never" } };
  const job = { parallelism: replicas, completions: replicas, template: finite };
  switch (kind) {
    case "Pod":
      return podSpec;
    case "Deployment": // nothing gets ready without a node: a rolling update would wait for ever
      return { replicas, strategy: { type: "Recreate" }, ...selected };
    case "ReplicaSet":
      return { replicas, ...selected };
    case "StatefulSet":
      return { replicas, serviceName: name, podManagementPolicy: "Parallel", ...selected };
    case "DaemonSet":
      return {
        ...selected,
        template: {
          ...template,
          spec: { ...podSpec, nodeSelector: { [NODE_LABEL]: "yes" }, tolerations: [{ operator: "Exists" }] },
        },
      };
    case "Job":
      return job;
    case "CronJob":
      return { schedule: "0 0 * * *", jobTemplate: { metadata: { labels }, spec: job } };
  }
}

/** A workload of one container whose Pods carry the label `app: <name>`. */
export function workload(kind: Kind, name: string, image: string, replicas = 1, metadata: object = {}): object {
  return {
    apiVersion: GROUPS[kind],
    kind,
    metadata: { name, labels: { app: name }, ...metadata },
    spec: specOf(kind, name, image, replicas),
  };
}

/** `metadata` that names `owner` as the controller. */
export function ownedBy(kind: Kind, { name, uid }: { readonly name: string; readonly uid: string }): object {
  return { ownerReferences: [{ apiVersion: GROUPS[kind], kind, name, uid, controller: true }] };
}

/** Nodes that exist in the API alone: nothing is ever scheduled to them, DaemonSets make Pods for them. */
export function nodes(count: number): object {
  return {
    apiVersion: "v1",
    kind: "List",
    items: Array.from({ length: count }, (_, index) => ({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: `inheritance-${index}`, labels: { [NODE_LABEL]: "yes" } },
      spec: { unschedulable: true },
    })),
  };
}

/** The images of Pods, each once. */
export function imagesOf(pods: readonly Item[]): readonly string[] {
  return [...new Set(pods.flatMap(({ spec }) => spec?.containers?.map(({ image }) => image) ?? []))];
}
