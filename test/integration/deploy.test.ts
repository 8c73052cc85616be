import { join } from "node:path";
import { expect } from "chai";
import { loadAll } from "js-yaml";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";

const ROOT = join(import.meta.dirname, "../..");
const NAMESPACE = "cosign-system";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  // biome-ignore lint/suspicious/noExplicitAny: tests look into plain YAML
  readonly spec?: any;
}

describe("The installation in deploy/", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let manifests: readonly Manifest[];

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    const rendered = await cluster.kubectl(["kustomize", join(ROOT, "deploy/dev")]);
    manifests = loadAll(rendered) as Manifest[];
  });

  const all = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);

  it("is accepted by the API server, warning-free under the restricted Pod Security Standard", async () => {
    // The namespace first: a dry run of what lies in it needs it.
    await cluster.kubectl([
      "apply",
      "--server-side",
      "--force-conflicts",
      "-f",
      join(ROOT, "deploy/base/namespace.yaml"),
    ]);
    const argv = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", join(ROOT, "deploy/dev")];
    const { code, stderr } = await cluster.run([cluster.program("kubectl"), ...argv], {
      env: { KUBECONFIG: cluster.kubeconfig },
    });
    expect(code, stderr).to.equal(0);
    expect(stderr).to.not.match(/warning/i);
  });

  it("names images by the overlay, for both Deployments", () => {
    const images = all("Deployment").map(({ spec }) => spec.template.spec.containers[0].image);
    expect(images).to.deep.equal(["registry.local:5000/entrepot:dev", "registry.local:5000/entrepot:dev"]);
  });

  it("runs two replicas of each, with probes, limits and nothing that can be written", () => {
    for (const { metadata, spec } of all("Deployment")) {
      const [container] = spec.template.spec.containers;
      expect(spec.replicas, metadata.name).to.equal(2);
      for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe])
        expect(probe.timeoutSeconds, "a slow second of a node must not take every Pod out of service").to.be.at.least(
          3,
        );
      expect(container.readinessProbe.timeoutSeconds).to.be.at.most(container.livenessProbe.timeoutSeconds);
      expect(container.resources.limits.memory).to.be.a("string");
      expect(container.securityContext).to.include({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false });
      expect(spec.template.spec.securityContext).to.include({ runAsNonRoot: true, runAsUser: 65532 });
    }
  });

  it("gives no wildcard and no escalation to anybody", () => {
    for (const { metadata, rules = [] } of [...all("ClusterRole"), ...all("Role")]) {
      for (const rule of rules) {
        for (const value of [...rule.apiGroups, ...rule.resources, ...rule.verbs])
          expect(value, metadata.name).to.not.equal("*");
        for (const verb of ["escalate", "bind", "impersonate", "deletecollection"])
          expect(rule.verbs).to.not.include(verb);
      }
    }
  });

  it("lets nobody list Secrets but in the system namespace, or write them but the operator there", () => {
    const about = (kind: string) =>
      all(kind).flatMap(({ metadata, rules = [] }) =>
        rules
          .filter(({ resources }) => resources.includes("secrets"))
          .map(({ verbs }) => ({ name: metadata.name, verbs })),
      );
    expect(about("ClusterRole")).to.deep.equal([{ name: "entrepot-webhook", verbs: ["get"] }]);
    expect(
      all("Role")
        .filter(({ metadata }) => metadata.namespace !== NAMESPACE)
        .map(({ metadata }) => metadata.name),
    ).to.deep.equal(["entrepot-operator-events"]);
    const writers = about("Role").filter(({ verbs }) => verbs.some((verb) => !["get", "list", "watch"].includes(verb)));
    expect(writers.map(({ name }) => name)).to.deep.equal(["entrepot-operator"]);
  });

  it("keeps the webhooks away from its own namespace and survives a drain", () => {
    const [namespace] = all("Namespace") as unknown as { metadata: { labels: Record<string, string> } }[];
    expect(namespace?.metadata.labels).to.include({
      "policy.sigstore.dev/include": "false",
      "pod-security.kubernetes.io/enforce": "restricted",
    });
    expect(all("PodDisruptionBudget").map(({ metadata, spec }) => [metadata.name, spec.maxUnavailable])).to.deep.equal([
      ["operator", 1],
      ["webhook", 1],
    ]);
    const webhook = all("Deployment").find(({ metadata }) => metadata.name === "webhook");
    expect(webhook?.spec.strategy.rollingUpdate.maxUnavailable).to.equal(0);
    expect(webhook?.spec.template.spec.terminationGracePeriodSeconds).to.be.greaterThan(30);
  });
});
