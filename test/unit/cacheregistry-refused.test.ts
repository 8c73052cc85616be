import { expect } from "chai";
import { KubeError, type KubeErrorCode } from "../../adapters/kube/errors.ts";
import type { KubeClient, KubeObject, Resource } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { manifestKey } from "../../core/cacheregistry/desired.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import { PasswordHashes } from "../../core/gatewayaccess/passwords.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { provision } from "../../operator/incluster/provision.ts";
import type { ExaminedUpstream } from "../../operator/incluster/upstreams.ts";
import { FakeClock } from "../support/fake-clock.ts";

const REGISTRY = {
  apiVersion: "entrepot.dev/v1alpha1",
  kind: "CacheRegistry",
  metadata: { name: "main", uid: "11111111-2222-3333-4444-555555555555" },
  spec: { inCluster: { pullHost: "localhost:30500", storage: { persistentVolumeClaim: { size: "1Gi" } } } },
} as CacheRegistryObject;
const INSTALLATION = {
  namespace: "cosign-system",
  gatewayImage: "entrepot:dev",
  gatewayServiceAccount: "entrepot-gateway",
  distributionImage: "docker.io/library/registry:3.1.2",
  logLevel: "info",
};
const HOSTS = ["a.example.com", "b.example.com", "c.example.com"] as const;
const [A, B, C] = HOSTS.map((host) => backendName("main", host)) as [string, string, string];
const GATEWAY = gatewayName("main");

const reachable = (host: string): ExaminedUpstream => ({
  kind: "upstream",
  upstream: { host, plainHTTP: false },
  health: { kind: "reachable", credentials: "untried" },
});

/** A namespace whose API server refuses some objects, by `Kind/name`. */
class Refusing {
  readonly #live = new Map<string, KubeObject>();
  /** What was written since the last look. */
  writes: string[] = [];
  refuses: Readonly<Record<string, KubeErrorCode>> = {};

  readonly client = {
    apply: async (_resource: Resource, object: KubeObject) => {
      const key = manifestKey(object);
      const code = this.refuses[key];
      if (code !== undefined) throw new KubeError(code, `apply ${key}: exceeded quota`);
      this.writes.push(key);
      this.#live.set(key, { ...object, metadata: { ...object.metadata, uid: key } });
      return object;
    },
    delete: async ({ kind }: Resource, name: string) => {
      this.writes.push(`-${kind}/${name}`);
      this.#live.delete(`${kind}/${name}`);
    },
  } as unknown as Pick<KubeClient, "apply" | "delete">;

  async provision(hosts: readonly string[] = HOSTS, spec: object = {}): Promise<readonly string[]> {
    this.writes = [];
    const inCluster = { ...REGISTRY.spec.inCluster, ...spec };
    const registry = { ...REGISTRY, spec: { inCluster } } as CacheRegistryObject;
    const dependencies = {
      client: this.client,
      installation: INSTALLATION,
      managed: () => [...this.#live.values()],
      secrets: { get: () => undefined },
      hashes: new PasswordHashes(),
      clock: new FakeClock(),
      log: silentLog,
    };
    await provision(registry, hosts.map(reachable), dependencies, AbortSignal.timeout(10_000));
    return this.writes;
  }

  /** The message of what `provision` throws. */
  async refusal(...wanted: Parameters<Refusing["provision"]>): Promise<string> {
    return await this.provision(...wanted).then(
      () => "nothing was thrown",
      (thrown: unknown) => String((thrown as Error).message),
    );
  }

  /** As the version before left it: one claim for everything, by the name of the proxy. */
  becomeOld(): void {
    for (const [key, object] of [...this.#live]) {
      if (object.kind !== "PersistentVolumeClaim") continue;
      const name = object.metadata.name.replace(/-open$/, "");
      this.#live.delete(key);
      this.#live.set(`${object.kind}/${name}`, { ...object, metadata: { ...object.metadata, name } });
    }
    for (const object of this.#live.values()) {
      if (object.metadata.annotations === undefined) continue;
      this.#live.set(manifestKey(object), {
        ...object,
        metadata: {
          ...object.metadata,
          annotations: { ...object.metadata.annotations, "entrepot.dev/applied": "old" },
        },
      });
    }
  }
}

describe("objects of an in-cluster registry that the API server refuses", () => {
  let at: Refusing;
  beforeEach(() => {
    at = new Refusing();
  });
  const of = (name: string) => at.writes.filter((write) => write.includes(`/${name}`));

  for (const code of ["FORBIDDEN", "INVALID"] as const) {
    it(`hold up their own proxy alone where a claim is ${code}`, async () => {
      at.refuses = { [`PersistentVolumeClaim/${A}-open`]: code };
      expect(await at.refusal()).to.equal(`apply PersistentVolumeClaim/${A}-open: exceeded quota`);
      expect(of(A), "a Deployment would name a claim that is missing").to.deep.equal([]);
      expect(of(B)).to.include.members([`PersistentVolumeClaim/${B}-open`, `Deployment/${B}`]);
      expect(of(C)).to.include(`Deployment/${C}`);
      expect(of(GATEWAY)).to.include.members([`Deployment/${GATEWAY}`, `NetworkPolicy/${GATEWAY}`]);
    });
  }

  it("are told by the first", async () => {
    at.refuses = { [`PersistentVolumeClaim/${B}-open`]: "FORBIDDEN", [`Secret/${C}`]: "INVALID" };
    expect(await at.refusal()).to.contain(`${B}-open`);
    expect(of(A)).to.include(`Deployment/${A}`);
    expect([...of(B), ...of(C)].filter((write) => write.startsWith("Deployment/"))).to.deep.equal([]);
    expect(of(GATEWAY)).to.include(`Deployment/${GATEWAY}`);
  });

  it("leave a proxy with the claim that it has, and the others move on, one claim of room after the other", async () => {
    await at.provision();
    at.becomeOld();
    at.refuses = { [`PersistentVolumeClaim/${B}-open`]: "FORBIDDEN", [`PersistentVolumeClaim/${C}-open`]: "FORBIDDEN" };
    expect(await at.refusal()).to.contain(`${B}-open`);
    expect(of(A)).to.include.members([`Deployment/${A}`, `-PersistentVolumeClaim/${A}`]);
    expect([...of(B), ...of(C)]).to.deep.equal([]);
    expect(of(GATEWAY)).to.include.members([`Deployment/${GATEWAY}`, `NetworkPolicy/${GATEWAY}`]);

    at.refuses = {}; // the claim that went made room
    await at.provision();
    expect(of(B)).to.include.members([`Deployment/${B}`, `-PersistentVolumeClaim/${B}`]);
    expect(of(A)).to.deep.equal([]);
    expect(await at.provision(), "at rest").to.deep.equal([]);
  });

  it("do not keep what no upstream uses any more", async () => {
    await at.provision();
    at.refuses = { [`PersistentVolumeClaim/${A}-open`]: "FORBIDDEN" };
    const larger = { storage: { persistentVolumeClaim: { size: "2Gi" } } };
    expect(await at.refusal([HOSTS[0], HOSTS[1]], larger)).to.contain("exceeded quota");
    expect(of(C)).to.include.members([`-Deployment/${C}`, `-PersistentVolumeClaim/${C}-open`]);
  });

  it("are no obstacle where a claim that is there can't grow: its proxy rolls with the size it has", async () => {
    await at.provision();
    at.refuses = { [`PersistentVolumeClaim/${A}-open`]: "FORBIDDEN" };
    const change = { storage: { persistentVolumeClaim: { size: "2Gi" } }, image: "registry:new" };
    expect(await at.refusal(HOSTS, change)).to.contain("exceeded quota");
    expect(of(A)).to.deep.equal([`Deployment/${A}`]);
  });

  it("leave the Pods alone where a Secret that is there can't be changed: they would run with what is not theirs", async () => {
    await at.provision();
    at.refuses = { [`Secret/${A}`]: "FORBIDDEN" };
    expect(await at.refusal(HOSTS, { ttl: "1h", image: "registry:new" })).to.contain(`Secret/${A}`);
    expect(of(A)).to.deep.equal([]);
    expect(of(B)).to.deep.equal([`Secret/${B}`, `Deployment/${B}`]);
  });

  it("end it at once where it is the gateway's, with nothing removed", async () => {
    await at.provision();
    at.refuses = { [`Service/${GATEWAY}`]: "INVALID" };
    const change = { service: { type: "NodePort", nodePort: 30500 }, image: "registry:new" };
    expect(await at.refusal([HOSTS[0]], change)).to.contain(`Service/${GATEWAY}`);
    expect(at.writes).to.deep.equal([`Deployment/${A}`]);
  });

  it("are not confused with an API server that does not answer: that ends it at once", async () => {
    at.refuses = { [`PersistentVolumeClaim/${A}-open`]: "TIMEOUT" };
    expect(await at.refusal()).to.contain(`${A}-open`);
    expect(of(GATEWAY)).to.deep.equal([]);
  });
});
