import type { ApiServer } from "../test/support/api-server.ts";

/** The controller that a Pod names. */
export interface Owner {
  readonly name: string;
  readonly uid: string;
}

const RESOURCES = { requests: { cpu: "100m", memory: "64Mi" }, limits: { memory: "128Mi" } };

/** The Pod template of everything that is measured. */
function template(image: string): object {
  return {
    metadata: { labels: { app: "bench", "app.kubernetes.io/part-of": "bench" } },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "app", image, ports: [{ containerPort: 8080 }], resources: RESOURCES }],
    },
  };
}

/** A Pod as a ReplicaSet makes it, or a bare one. The API server finds it a name, so that one body serves for any number. */
export function pod(image: string, owner?: Owner): object {
  const reference = { apiVersion: "apps/v1", kind: "ReplicaSet", controller: true, blockOwnerDeletion: true };
  return {
    apiVersion: "v1",
    kind: "Pod",
    ...template(image),
    metadata: {
      generateName: "bench-",
      labels: { app: "bench", "app.kubernetes.io/part-of": "bench" },
      ...(owner !== undefined && { ownerReferences: [{ ...reference, ...owner }] }),
    },
  };
}

/** A Deployment or ReplicaSet of the same Pods. */
export function workload(kind: "Deployment" | "ReplicaSet", name: string, image: string, replicas: number): object {
  const selector = { matchLabels: { app: "bench" } };
  return { apiVersion: "apps/v1", kind, metadata: { name }, spec: { replicas, selector, template: template(image) } };
}

/** Creates a ReplicaSet without Pods, verified (and sealed, by who does that) as any workload is; gives what its Pods name. */
export async function makeOwner(api: ApiServer, namespace: string, name: string, image: string): Promise<Owner> {
  const path = `/apis/apps/v1/namespaces/${namespace}/replicasets`;
  const made = await api.must({ method: "POST", path, body: workload("ReplicaSet", name, image, 0) });
  const { metadata } = made as { readonly metadata: Owner };
  return { name: metadata.name, uid: metadata.uid };
}
