import { expect } from "chai";
import { desiredObjects, manifestKey } from "../../core/cacheregistry/desired.ts";
import { changes, isCovered } from "../../core/cacheregistry/diff.ts";
import { registryLabel } from "../../core/cacheregistry/labels.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { quantity } from "../../core/cacheregistry/quantity.ts";
import type { InClusterSpec, Installation, Manifest, Upstream } from "../../core/cacheregistry/types.ts";

const REGISTRY = { name: "main", uid: "11111111-2222-3333-4444-555555555555" };
const INSTALLATION: Installation = {
  namespace: "cosign-system",
  gatewayImage: "entrepot:dev",
  gatewayServiceAccount: "entrepot-gateway",
  distributionImage: "docker.io/library/registry:3.1.2",
  logLevel: "info",
};
const SPEC: InClusterSpec = {
  pullHost: "localhost:30500",
  service: { type: "NodePort", nodePort: 30500 },
  storage: { persistentVolumeClaim: { size: "10Gi" } },
};
const HUB: Upstream = { host: "index.docker.io", plainHTTP: false };

function find(objects: readonly Manifest[], kind: string, name: string): Manifest {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into plain JSON
function podTemplate(objects: readonly Manifest[], name: string): any {
  // biome-ignore lint/suspicious/noExplicitAny: tests look into plain JSON
  return (find(objects, "Deployment", name) as any)["spec"];
}

function desired(upstreams: readonly Upstream[] = [HUB], spec: InClusterSpec = SPEC): readonly Manifest[] {
  return desiredObjects(REGISTRY, spec, upstreams, INSTALLATION);
}

describe("desired objects", () => {
  const backend = backendName("main", HUB.host);
  const gateway = gatewayName("main");

  it("are a proxy per upstream and one gateway", () => {
    const keys = desired([HUB, { host: "quay.io", plainHTTP: false }]).map(manifestKey);
    const quay = backendName("main", "quay.io");
    const per = (name: string) => [
      `PersistentVolumeClaim/${name}-open`,
      `Secret/${name}`,
      `Service/${name}`,
      `Deployment/${name}`,
    ];
    const front = ["Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"].map((kind) => `${kind}/${gateway}`);
    expect(keys).to.have.members([...per(backend), ...per(quay), ...front]);
  });

  it("are the same whatever the order of the upstreams", () => {
    const quay: Upstream = { host: "quay.io", plainHTTP: false };
    expect(desired([HUB, quay])).to.deep.equal(desired([quay, HUB]));
  });

  it("all live in the system namespace, labelled and owned by the registry", () => {
    for (const { metadata } of desired()) {
      expect(metadata.namespace).to.equal("cosign-system");
      expect(metadata.labels).to.include({
        "app.kubernetes.io/managed-by": "entrepot",
        "entrepot.dev/registry": "main",
      });
      expect(metadata.ownerReferences?.map(({ uid, kind }) => [kind, uid])).to.deep.equal([
        ["CacheRegistry", REGISTRY.uid],
      ]);
    }
  });

  it("pass the restricted Pod Security Standard", () => {
    for (const name of [backend, gateway]) {
      const { spec } = podTemplate(desired(), name).template;
      expect(spec.securityContext).to.include({ runAsNonRoot: true, runAsUser: 65532 });
      expect(spec.securityContext.seccompProfile).to.deep.equal({ type: "RuntimeDefault" });
      for (const container of spec.containers) {
        expect(container.securityContext).to.deep.equal({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        const patience = [container.startupProbe, container.readinessProbe, container.livenessProbe].map(
          ({ timeoutSeconds }: { timeoutSeconds: number }) => timeoutSeconds,
        );
        expect(patience, "a slow second of a node must not take every Pod out of service").to.deep.equal([3, 3, 5]);
      }
    }
  });

  it("give the proxy no API token and no REGISTRY_… variables from Services", () => {
    expect(podTemplate(desired(), backend).template.spec).to.include({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
    });
  });

  it("keep credentials in the Secret alone", () => {
    const secret = "correct-horse-battery";
    const objects = desired([{ ...HUB, credentials: { username: "someone", password: secret } }]);
    const others = objects.filter(({ kind }) => kind !== "Secret");
    expect(JSON.stringify(others)).to.not.contain(secret).and.not.contain(Buffer.from(secret).toString("base64"));
  });

  it("roll the proxy when a credential changes, and only that proxy", () => {
    const quay: Upstream = { host: "quay.io", plainHTTP: false };
    const before = desired([HUB, quay]);
    const after = desired([{ ...HUB, credentials: { username: "u", password: "p2" } }, quay]);
    expect(podTemplate(after, backend).template).to.not.deep.equal(podTemplate(before, backend).template);
    for (const name of [backendName("main", "quay.io"), gateway]) {
      expect(podTemplate(after, name).template).to.deep.equal(podTemplate(before, name).template);
    }
  });

  const strategies = [
    { name: "a claim for one node", storage: { persistentVolumeClaim: { size: "1Gi" } }, type: "Recreate" },
    {
      name: "a shared claim",
      storage: { persistentVolumeClaim: { size: "1Gi", accessModes: ["ReadWriteMany"] } },
      type: "RollingUpdate",
    },
    { name: "the node's disk", storage: { emptyDir: {} }, type: "RollingUpdate" },
  ];
  for (const { name, storage, type } of strategies) {
    it(`with ${name}, replaces Pods by ${type}`, () => {
      const objects = desired([HUB], { ...SPEC, storage });
      expect(podTemplate(objects, backend).strategy.type).to.equal(type);
      expect(objects.some(({ kind }) => kind === "PersistentVolumeClaim")).to.equal("persistentVolumeClaim" in storage);
    });
  }

  it("mount a CA bundle beside the image's own roots", () => {
    const objects = desired([{ ...HUB, caBundle: "PEM" }]);
    const { containers, volumes } = podTemplate(objects, backend).template.spec;
    expect(containers[0].env).to.deep.include({ name: "SSL_CERT_DIR", value: "/etc/distribution-ca" });
    expect(volumes.map(({ name }: { name: string }) => name)).to.deep.equal(["config", "data", "ca"]);
  });

  it("carry what spec says of gateway and image", () => {
    const objects = desired([HUB], { ...SPEC, replicas: 5, image: "mirror.example.com/registry:3" });
    expect(podTemplate(objects, gateway).replicas).to.equal(5);
    expect(podTemplate(desired(), gateway).replicas).to.equal(2);
    expect(podTemplate(objects, backend).template.spec.containers[0].image).to.equal("mirror.example.com/registry:3");
    // biome-ignore lint/suspicious/noExplicitAny: tests look into plain JSON
    const service = find(objects, "Service", gateway) as any;
    expect(service.spec).to.deep.include({ type: "NodePort" });
    expect(service.spec.ports[0].nodePort).to.equal(30500);
  });

  it("start a gateway that waits for a Secret or the API server without being killed for it: alive is enough, ready is for traffic", () => {
    const { startupProbe, readinessProbe, livenessProbe } = podTemplate(desired(), gateway).template.spec.containers[0];
    const paths = [startupProbe, readinessProbe, livenessProbe].map(
      ({ httpGet }: { httpGet: { path: string } }) => httpGet.path,
    );
    expect(paths).to.deep.equal(["/livez", "/readyz", "/livez"]);
  });

  it("let the gateway alone to the proxies' content, and to their debug server, which has pprof too, labelled namespaces alone", () => {
    // biome-ignore lint/suspicious/noExplicitAny: tests look into plain JSON
    const { spec } = find(desired(), "NetworkPolicy", gateway) as any;
    expect(spec.policyTypes).to.deep.equal(["Ingress"]);
    expect(spec.ingress).to.deep.equal([
      {
        from: [{ podSelector: { matchLabels: podTemplate(desired(), gateway).selector.matchLabels } }],
        ports: [{ port: "registry", protocol: "TCP" }],
      },
      {
        from: [{ namespaceSelector: { matchLabels: { "entrepot.dev/monitoring": "true" } } }],
        ports: [{ port: "metrics", protocol: "TCP" }],
      },
    ]);
  });

  it("have labels that a label can hold, whatever the registry is called", () => {
    for (const name of ["a".repeat(253), `${"a".repeat(62)}.b`, "x.y"]) {
      expect(registryLabel(name)).to.match(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/);
    }
  });
});

describe("differences between desired and live", () => {
  const live = (objects: readonly Manifest[]) =>
    objects.map((object) => ({ ...object, metadata: { ...object.metadata, uid: "u" } }));

  it("are none at rest, with what the API server added", () => {
    const objects = desired();
    const served = live(objects).map((object) => ({
      ...object,
      status: { phase: "x" },
      metadata: { ...object.metadata, resourceVersion: "7" },
    }));
    expect(changes(objects, served)).to.deep.equal({ apply: [], remove: [] });
  });

  it("are objects that are missing, changed or wanted by nobody", () => {
    const objects = desired([HUB, { host: "quay.io", plainHTTP: false }]);
    const [first, second, ...rest] = live(objects);
    if (first === undefined || second === undefined) throw new Error("too few objects");
    const changed = { ...second, metadata: { ...second.metadata, labels: {} } };
    const stray = { ...first, metadata: { ...first.metadata, name: "stray" } };
    const result = changes(objects, [changed, ...rest, stray]);
    expect(result.apply.map(manifestKey)).to.deep.equal([manifestKey(first), manifestKey(second)]);
    expect(result.remove.map(manifestKey)).to.deep.equal([`${first.kind}/stray`]);
  });

  it("leave objects that are going away alone", () => {
    const objects = desired();
    const going = live(objects).map((object) => ({
      ...object,
      metadata: { ...object.metadata, labels: {}, deletionTimestamp: "now" },
    }));
    const stray = {
      ...(going[0] as (typeof going)[number]),
      kind: "Service",
      metadata: { name: "stray", deletionTimestamp: "now" },
    };
    expect(changes(objects, [...going, stray])).to.deep.equal({ apply: [], remove: [] });
  });

  it("show a field that is no longer wanted", () => {
    const service = { type: "NodePort", nodePort: 30500 };
    const before = live(desired([HUB], { ...SPEC, service }));
    const { apply } = changes(desired([HUB], { ...SPEC, service: { type: "NodePort" } }), before);
    expect(apply.map(manifestKey)).to.deep.equal([`Service/${gatewayName("main")}`]);
  });

  it("do not see another spelling of a quantity as one", () => {
    expect(isCovered({ storage: "1024Mi" }, { storage: "1Gi" })).to.equal(true);
    expect(isCovered({ cpu: "0.5" }, { cpu: "500m" })).to.equal(true);
    expect(isCovered({ storage: "1024Mi" }, { storage: "2Gi" })).to.equal(false);
    expect(isCovered({ name: "1024Mi" }, { name: "1Gi" })).to.equal(false);
    expect(quantity("1.5Gi")).to.equal(1_610_612_736n * 1_000_000_000n);
    for (const bad of ["", "Gi", "1 Gi", "-1", "1e3", "1.", "1Zi"]) expect(quantity(bad), bad).to.equal(undefined);
  });

  it("see a list that is longer or shorter", () => {
    expect(isCovered([1], [1, 2])).to.equal(false);
    expect(isCovered([1, 2], [1])).to.equal(false);
    expect(isCovered({ a: [] }, {})).to.equal(false);
  });
});
