import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject, Resource } from "../../adapters/kube/types.ts";
import { REASON, type Reason } from "../../crds/index.ts";
import type { Progress } from "./provider.ts";

export type WorkloadKind = "Deployment" | "StatefulSet" | "DaemonSet";

interface KeySelector {
  readonly name?: string;
  readonly key?: string;
}

interface Container {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly valueFrom?: { readonly secretKeyRef?: KeySelector } }[];
  readonly envFrom?: readonly { readonly prefix?: string; readonly secretRef?: { readonly name?: string } }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[];
}

interface Items {
  readonly items?: readonly { readonly key: string; readonly path: string }[];
}

interface Volume {
  readonly name: string;
  readonly secret?: Items & { readonly secretName?: string };
  readonly projected?: { readonly sources?: readonly { readonly secret?: Items & { readonly name?: string } }[] };
}

/** A Deployment, StatefulSet or DaemonSet, as far as it is read here. */
export interface WorkloadObject extends KubeObject {
  readonly spec?: {
    readonly replicas?: number;
    readonly paused?: boolean;
    readonly updateStrategy?: { readonly type?: string; readonly rollingUpdate?: { readonly partition?: number } };
    readonly template?: {
      readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> };
      readonly spec?: { readonly containers?: readonly Container[]; readonly volumes?: readonly Volume[] };
    };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly { readonly type: string; readonly reason?: string }[];
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
    readonly availableReplicas?: number;
    readonly currentRevision?: string;
    readonly updateRevision?: string;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberAvailable?: number;
  };
}

const RESOURCES: Readonly<Record<WorkloadKind, Resource>> = {
  Deployment: Resources.deployments,
  StatefulSet: Resources.statefulSets,
  DaemonSet: Resources.daemonSets,
};

/** The resource of a workload's kind. */
export function workloadResource(kind: WorkloadKind): Resource {
  return RESOURCES[kind];
}

/** What is not as it should be yet, in words after the workload's name; undefined when it has come to rest. */
type Waiting = string | undefined;

function deployment({ spec, status = {} }: WorkloadObject): Waiting {
  const wanted = spec?.replicas ?? 1;
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0, conditions = [] } = status;
  if (spec?.paused === true) return "is paused; resume it with kubectl rollout resume";
  if (conditions.some(({ type, reason }) => type === "Progressing" && reason === "ProgressDeadlineExceeded")) {
    return "exceeded its progress deadline; its Pods say why";
  }
  if (updatedReplicas < wanted) return `has ${updatedReplicas} of ${wanted} new Pods`;
  if (replicas > updatedReplicas) return `has ${replicas - updatedReplicas} old Pods that are going`;
  return availableReplicas < updatedReplicas
    ? `has ${availableReplicas} of ${updatedReplicas} Pods available`
    : undefined;
}

const ON_DELETE = "replaces Pods only when they are deleted (updateStrategy OnDelete): delete its Pods";

function statefulSet({ spec, status = {} }: WorkloadObject): Waiting {
  const wanted = spec?.replicas ?? 1;
  const { updatedReplicas = 0, readyReplicas = 0, currentRevision, updateRevision } = status;
  const isNew = currentRevision === updateRevision || updatedReplicas >= wanted;
  const { type, rollingUpdate } = spec?.updateStrategy ?? {};
  const partition = rollingUpdate?.partition ?? 0;
  if (!isNew && type === "OnDelete") return ON_DELETE;
  if (!isNew && partition > 0)
    return `leaves Pods below ${partition} as they are (updateStrategy partition): set it to 0`;
  if (!isNew) return `has ${updatedReplicas} of ${wanted} new Pods`;
  return readyReplicas < wanted ? `has ${readyReplicas} of ${wanted} Pods ready` : undefined;
}

function daemonSet({ spec, status = {} }: WorkloadObject): Waiting {
  const { desiredNumberScheduled = 0, updatedNumberScheduled = 0, numberAvailable = 0 } = status;
  const isNew = updatedNumberScheduled >= desiredNumberScheduled;
  if (!isNew && spec?.updateStrategy?.type === "OnDelete") return ON_DELETE;
  if (!isNew) return `has ${updatedNumberScheduled} of ${desiredNumberScheduled} new Pods`;
  return numberAvailable < desiredNumberScheduled
    ? `has ${numberAvailable} of ${desiredNumberScheduled} Pods available`
    : undefined;
}

function waiting(workload: WorkloadObject): Waiting {
  const { metadata, status } = workload;
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return "has not seen its last change yet";
  switch (workload.kind) {
    case "StatefulSet":
      return statefulSet(workload);
    case "DaemonSet":
      return daemonSet(workload);
    default:
      return deployment(workload);
  }
}

/** Whether every Pod of a workload is of its present template and ready: the rules of `kubectl rollout status`, for all three kinds. */
export function rolloutOf(workload: WorkloadObject): Progress {
  const why = waiting(workload);
  const { kind, metadata } = workload;
  return why === undefined
    ? { done: true }
    : { done: false, reason: REASON.Updating, message: `${kind} "${metadata.name}" ${why}` };
}

/** Whether a workload that is rolled out has a Pod to answer with: one scaled to nothing has come to rest, too. */
export function availabilityOf({ kind, metadata, status }: WorkloadObject): Progress {
  const ready = kind === "StatefulSet" ? status?.readyReplicas : (status?.availableReplicas ?? status?.numberAvailable);
  const reason: Reason = REASON.BackendNotReady;
  return (ready ?? 0) > 0
    ? { done: true }
    : { done: false, reason, message: `no Pod of ${kind} "${metadata.name}" is ready` };
}

/** The annotations of a workload's Pods. */
export function podAnnotations(workload: WorkloadObject): Readonly<Record<string, string>> {
  return workload.spec?.template?.metadata?.annotations ?? {};
}

function pathIn({ items }: Items, key: string): string | undefined {
  return items === undefined ? key : items.find((item) => item.key === key)?.path;
}

function filesIn(volume: Volume, secret: string, key: string): string | undefined {
  if (volume.secret?.secretName === secret) return pathIn(volume.secret, key);
  const source = volume.projected?.sources?.find((one) => one.secret?.name === secret)?.secret;
  return source === undefined ? undefined : pathIn(source, key);
}

/** Where the containers of a workload find a key of a Secret as a file; undefined where none mounts it. A `subPath` never changes, but the Pods are new by then. */
export function mountedFile(workload: WorkloadObject, secret: string, key: string): string | undefined {
  const { containers = [], volumes = [] } = workload.spec?.template?.spec ?? {};
  for (const volume of volumes) {
    const path = filesIn(volume, secret, key);
    const mount = containers.flatMap(({ volumeMounts }) => volumeMounts ?? []).find(({ name }) => name === volume.name);
    if (path === undefined || mount === undefined) continue;
    if (mount.subPath === undefined) return `${mount.mountPath.replace(/\/+$/, "")}/${path}`;
    if (mount.subPath === path) return mount.mountPath;
  }
  return undefined;
}

/** Whether a container of a workload has a key of a Secret as the environment variable of the same name. */
export function hasVariable(workload: WorkloadObject, secret: string, key: string): boolean {
  const { containers = [] } = workload.spec?.template?.spec ?? {};
  return containers.some(
    ({ env, envFrom }) =>
      env?.some(({ name, valueFrom }) => {
        const from = valueFrom?.secretKeyRef;
        return name === key && from?.name === secret && from.key === key;
      }) === true ||
      envFrom?.some(({ prefix, secretRef }) => secretRef?.name === secret && (prefix ?? "") === "") === true,
  );
}
