import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import { CACHE_RULES, type CacheRuleObject } from "../../crds/index.ts";
import { isRolledOut } from "../../operator/incluster/rollout.ts";
import type { DeploymentObject, EndpointSliceObject } from "../../operator/resources.ts";
import type { ClusterHandle } from "../support/cluster.ts";
import { eventually } from "../support/kube.ts";

/**
 * FAKE, in the place of a kubelet: says of Pods that no node runs that they are Running and Ready. What counts Pods (ReplicaSets,
 * Deployments) is real. EndpointSlices are fake too, since the real ones leave out Pods that are on no node: they lead to `address`.
 */
export class FakeKubelet {
  readonly #cluster: ClusterHandle;
  readonly #client: KubeClient;
  readonly #namespace: string;
  readonly #address: string;
  readonly #seen = new Set<string>();

  constructor(cluster: ClusterHandle, client: KubeClient, namespace: string, address: string) {
    this.#cluster = cluster;
    this.#client = client;
    this.#namespace = namespace;
    this.#address = address;
  }

  /** Marks the Pods that carry these labels now, and those that come meanwhile, until their Deployment is rolled out. */
  async run(labelSelector: string, deployment: string): Promise<void> {
    await eventually(`${deployment} is available`, async () => {
      const { items } = await this.#client.list<KubeObject>(Resources.pods, {
        namespace: this.#namespace,
        labelSelector,
      });
      for (const { metadata } of items) {
        if (metadata.deletionTimestamp !== undefined || this.#seen.has(metadata.name)) continue;
        if (await this.#mark(metadata.name)) this.#seen.add(metadata.name);
      }
      const live = await this.#client.get<DeploymentObject>(Resources.deployments, deployment, {
        namespace: this.#namespace,
      });
      return isRolledOut(live); // a Pod of the revision before may be available already
    });
  }

  /** Makes one Pod of the Service an endpoint that takes traffic. */
  async expose(service: string): Promise<void> {
    await this.#client.apply<EndpointSliceObject>(Resources.endpointSlices, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: `fake-${service}`,
        namespace: this.#namespace,
        labels: { "kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "operator-test" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: [this.#address], conditions: { ready: true } }],
      ports: [{ name: "registry", port: 5000 }],
    });
  }

  /** Says whether it could: a Pod that was replaced meanwhile is not there any more. */
  async #mark(pod: string): Promise<boolean> {
    const at = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    const ready = ["ContainersReady", "Ready"].map((type) => ({ type, status: "True", lastTransitionTime: at }));
    const patch = JSON.stringify({ status: { phase: "Running", conditions: ready } });
    const argv = ["-n", this.#namespace, "patch", "pod", pod, "--subresource=status", "--type=merge", "-p", patch];
    const env = { KUBECONFIG: this.#cluster.kubeconfig };
    const { code, stderr } = await this.#cluster.run([this.#cluster.program("kubectl"), ...argv], { env });
    if (code !== 0 && !stderr.includes("NotFound")) throw new Error(stderr);
    return code === 0;
  }
}

/** FAKE, in the place of gateway and webhook replicas: their status pages. */
export class FakePages {
  rules: Record<string, object> = {};
  policies: Record<string, object> = {};
  #server: Server | undefined;

  /** Serves the pages of one registry on `address`; resolves to the port. */
  async start(address: string, registry: string): Promise<number> {
    const server = createServer((request, response) => {
      const pages: Record<string, object> = {
        "/-/rules": { registry, synced: true, rules: this.rules, refused: {} },
        "/-/policies": { policies: this.policies },
      };
      const page = pages[request.url ?? ""];
      response.writeHead(page === undefined ? 404 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(page ?? {}));
    });
    this.#server = server;
    server.listen(0, address);
    await once(server, "listening");
    const bound = server.address();
    return typeof bound === "object" && bound !== null ? bound.port : 0;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }

  /** Serves these rules as they are now, as a gateway would that has just seen them. */
  async serve(client: KubeClient, ...names: readonly string[]): Promise<void> {
    const rules = await Promise.all(names.map((name) => client.get<CacheRuleObject>(CACHE_RULES, name)));
    this.rules = Object.fromEntries(
      rules.map(({ metadata }) => [
        metadata.name,
        { uid: metadata.uid, generation: metadata.generation, backendReady: true },
      ]),
    );
  }
}
