// One of the two systems, prepared and asked in the same way as the other.
import type { ClusterImagePolicySpec } from "../../../crds/index.ts";
import type { ApiAnswer, ApiRequest, ApiServer } from "../api-server.ts";
import { eventually } from "../kube.ts";
import { imagesIn } from "./answers.ts";
import { type Kind, pod, type Row, type Workload } from "./model.ts";

export const SYSTEM = "cosign-system";
const READY_MS = 30_000;
const POLICIES = "/apis/policy.sigstore.dev/v1alpha1/clusterimagepolicies";
const PLURAL: Readonly<Record<Kind, string>> = {
  Pod: "api/v1/pods",
  Deployment: "apis/apps/v1/deployments",
  ReplicaSet: "apis/apps/v1/replicasets",
  StatefulSet: "apis/apps/v1/statefulsets",
  DaemonSet: "apis/apps/v1/daemonsets",
  Job: "apis/batch/v1/jobs",
  CronJob: "apis/batch/v1/cronjobs",
};

/** What one system made of a row. */
export interface Answer {
  readonly admitted: boolean;
  readonly status: number;
  readonly message: string;
  readonly warnings: readonly string[];
  /** Of the object as it would be stored; none if it was refused. */
  readonly images: readonly string[];
}

/** Path of a workload's collection in a namespace. */
function collection(kind: Kind, namespace: string): string {
  const parts = PLURAL[kind].split("/");
  const plural = parts.pop() ?? "";
  return `/${parts.join("/")}/namespaces/${namespace}/${plural}`;
}

export class Side {
  readonly api: ApiServer;
  readonly name: string;

  constructor(name: string, api: ApiServer) {
    this.name = name;
    this.api = api;
  }

  /** Creates or replaces an object by server-side apply. */
  async apply(path: string, object: object): Promise<void> {
    const query = "?fieldManager=differential&force=true";
    const request = { method: "PATCH", path: `${path}${query}`, contentType: "application/apply-patch+yaml" } as const;
    await this.api.must({ ...request, body: object });
  }

  /** Puts Secrets or ConfigMaps into the system namespace. */
  async putData(
    kind: "Secret" | "ConfigMap",
    entries: Readonly<Record<string, Readonly<Record<string, string>>>>,
    namespace = SYSTEM,
    type?: string,
  ): Promise<void> {
    const plural = kind === "Secret" ? "secrets" : "configmaps";
    for (const [name, data] of Object.entries(entries)) {
      const content = kind === "Secret" ? { stringData: data, ...(type && { type }) } : { data };
      await this.apply(`/api/v1/namespaces/${namespace}/${plural}/${name}`, {
        apiVersion: "v1",
        kind,
        metadata: { name },
        ...content,
      });
    }
  }

  /** The whole `data` of config-policy-controller from now on. */
  async configure(data: Readonly<Record<string, string>>): Promise<void> {
    const path = `/api/v1/namespaces/${SYSTEM}/configmaps/config-policy-controller`;
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "config-policy-controller" }, data };
    const { status } = await this.api.send({ method: "PUT", path, body });
    if (status === 404) await this.api.must({ method: "POST", path: path.replace(/\/[^/]+$/, ""), body });
  }

  /** Creates a policy; gives the answer, whatever it is. */
  createPolicy(name: string, spec: ClusterImagePolicySpec): Promise<ApiAnswer> {
    const body = { apiVersion: "policy.sigstore.dev/v1alpha1", kind: "ClusterImagePolicy", metadata: { name }, spec };
    return this.api.send({ method: "POST", path: POLICIES, body });
  }

  async deletePolicies(names: readonly string[]): Promise<void> {
    for (const name of names) await this.api.send({ method: "DELETE", path: `${POLICIES}/${name}` });
  }

  /** The names among these of the policies that do not become Ready within so many milliseconds. */
  async unready(names: readonly string[], ms = READY_MS): Promise<readonly string[]> {
    let missing = names;
    const allReady = async () => {
      const { items } = (await this.api.must({ method: "GET", path: POLICIES })) as {
        readonly items: readonly Policy[];
      };
      const ready = new Set(items.filter(isReady).map(({ metadata }) => metadata.name));
      missing = missing.filter((name) => !ready.has(name));
      return missing.length === 0;
    };
    await eventually("policies that are Ready", allReady, ms).catch(() => undefined);
    return missing;
  }

  /** What a policy's conditions say. */
  async conditionOf(name: string): Promise<string> {
    const { status } = (await this.api.must({ method: "GET", path: `${POLICIES}/${name}` })) as Policy;
    return JSON.stringify(status?.conditions ?? []);
  }

  /**
   * Waits until the system has taken in what was written before: a policy of its own, written last, is in force (policy-controller reads all
   * policies from one ConfigMap; ours watches them in one stream), and so is `config`.
   */
  async barrier(namespace: string, marker: string, config?: Readonly<Record<string, string>>): Promise<void> {
    const image = `barrier.invalid/${marker}@sha256:${"0".repeat(64)}`;
    const spec = { images: [{ glob: `barrier.invalid/${marker}**` }], authorities: [{ static: { action: "fail" } }] };
    const { status, message } = await this.createPolicy(marker, spec);
    if (status >= 300) throw new Error(`${this.name}: ${message}`);
    const path = collection("Pod", namespace);
    const body = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: marker },
      spec: { containers: [{ name: "c", image }] },
    };
    await eventually(`${this.name}: policy ${marker} in force`, async () => {
      const answer = await this.api.send({ method: "POST", path, body, dryRun: true });
      return answer.message.includes(`failed policy: ${marker}`);
    });
    if (config !== undefined)
      await eventually(`${this.name}: ${JSON.stringify(config)}`, () => this.#obeys(namespace, config));
  }

  /** Whether the two settings that policy-controller has are as `config` says. */
  async #obeys(namespace: string, config: Readonly<Record<string, string>>): Promise<boolean> {
    const image = `unmatched.invalid/image@sha256:${"0".repeat(64)}`;
    const { admitted, warnings } = await this.ask(namespace, pod(image), "unmatched");
    const unmatched = !admitted ? "deny" : warnings.length > 0 ? "warn" : "allow";
    const wanted = config["no-match-policy"] ?? "deny";
    const body = {
      apiVersion: "policy.sigstore.dev/v1alpha1",
      kind: "ClusterImagePolicy",
      metadata: { name: "empty" },
    };
    const spec = { images: [{ glob: "unmatched.invalid/**" }], authorities: [] };
    const { status } = await this.api.send({ method: "POST", path: POLICIES, body: { ...body, spec }, dryRun: true });
    return (
      unmatched === (["allow", "warn"].includes(wanted) ? wanted : "deny") &&
      status < 300 === (config["fail-on-empty-authorities"] === "false")
    );
  }

  /** A namespace that does not take part yet, with its ServiceAccount. */
  async createNamespace(name: string): Promise<void> {
    const body = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    await this.api.must({ method: "POST", path: "/api/v1/namespaces", body });
    const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
    await eventually("a ServiceAccount", async () => (await this.api.send({ method: "GET", path })).status === 200);
  }

  async include(namespace: string): Promise<void> {
    const body = { metadata: { labels: { "policy.sigstore.dev/include": "true" } } };
    await this.api.must({ method: "PATCH", path: `/api/v1/namespaces/${namespace}`, body });
  }

  /** Stores an object for real. */
  async prepare(namespace: string, object: Workload, name: string): Promise<void> {
    const body = { ...object, metadata: { ...object.metadata, name } };
    await this.api.must({ method: "POST", path: collection(object.kind, namespace), body });
  }

  /** Asks for what a row asks for, and changes nothing; a new object unless told otherwise. */
  async ask(
    namespace: string,
    object: Workload,
    name: string,
    row: Pick<Row, "before" | "subresource"> = {},
  ): Promise<Answer> {
    const request = requestOf(namespace, row, object, name);
    const { status, message, warnings, body } = await this.api.send({ ...request, dryRun: true });
    const admitted = status < 300;
    return { admitted, status, message, warnings, images: admitted ? imagesIn(body) : [] };
  }
}

function requestOf(
  namespace: string,
  row: Pick<Row, "before" | "subresource">,
  object: Workload,
  name: string,
): ApiRequest {
  const path = collection(object.kind, namespace);
  const body = { ...object, metadata: { ...object.metadata, name } };
  if (row.before === undefined) return { method: "POST", path, body };
  const subresource = row.subresource === undefined ? "" : `/${row.subresource}`;
  const contentType = "application/strategic-merge-patch+json";
  return { method: "PATCH", path: `${path}/${name}${subresource}`, contentType, body };
}

interface Policy {
  readonly metadata: { readonly name: string; readonly generation: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly { type: string; status: string }[];
  };
}

function isReady({ metadata, status }: Policy): boolean {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  return ready?.status === "True" && status?.observedGeneration === metadata.generation;
}
