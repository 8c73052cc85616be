import type { ClusterHandle } from "./cluster.ts";
import { FakeHttps } from "./fake-https.ts";

const GROUP = "external.metrics.k8s.io";
const SERVICE = { name: "external-metrics", namespace: "default" };
const API_SERVICE = `v1beta1.${GROUP}`;

const RESOURCES = {
  kind: "APIResourceList",
  apiVersion: "v1",
  groupVersion: `${GROUP}/v1beta1`,
  resources: [{ name: "load", singularName: "", namespaced: true, kind: "ExternalMetricValueList", verbs: ["get"] }],
};

/** The external metrics API of a cluster, behind its aggregator: one metric, `load`, which says what the test says. */
export class ExternalMetrics {
  load = 1;
  readonly #cluster: ClusterHandle;
  readonly #server = new FakeHttps();

  private constructor(cluster: ClusterHandle) {
    this.#cluster = cluster;
    this.#server.answer = ({ path }) => ({
      headers: { "content-type": "application/json" },
      body: JSON.stringify(path.includes("/namespaces/") ? this.#values() : RESOURCES),
    });
  }

  /** Serves and registers it. The API server follows a Service of type ExternalName by itself. */
  static async start(cluster: ClusterHandle): Promise<ExternalMetrics> {
    const metrics = new ExternalMetrics(cluster);
    await metrics.#server.start();
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: SERVICE,
      spec: { type: "ExternalName", externalName: "localhost" },
    };
    const registration = {
      apiVersion: "apiregistration.k8s.io/v1",
      kind: "APIService",
      metadata: { name: API_SERVICE },
      spec: {
        group: GROUP,
        version: "v1beta1",
        service: { ...SERVICE, port: metrics.#server.port },
        insecureSkipTLSVerify: true,
        groupPriorityMinimum: 100,
        versionPriority: 100,
      },
    };
    const items = [service, registration];
    try {
      await cluster.kubectl(["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
      await cluster.kubectl(["wait", "--for=condition=Available", `apiservice/${API_SERVICE}`, "--timeout=90s"]);
    } catch (thrown) {
      await metrics.stop();
      throw thrown;
    }
    return metrics;
  }

  /** Takes it out of the cluster: an API that does not answer keeps namespaces from being deleted. */
  async stop(): Promise<void> {
    await this.#cluster.kubectl(["delete", "apiservice", API_SERVICE, "--ignore-not-found"]);
    await this.#cluster.kubectl(["-n", SERVICE.namespace, "delete", "service", SERVICE.name, "--ignore-not-found"]);
    await this.#server.stop();
  }

  #values(): object {
    const value = {
      metricName: "load",
      metricLabels: {},
      timestamp: new Date().toISOString(),
      value: String(this.load),
    };
    return { kind: "ExternalMetricValueList", apiVersion: `${GROUP}/v1beta1`, metadata: {}, items: [value] };
  }
}
