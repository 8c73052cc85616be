import { expect } from "chai";
import { load } from "js-yaml";
import { desiredObjects } from "../../core/cacheregistry/desired.ts";
import { changes } from "../../core/cacheregistry/diff.ts";
import { backendName, gatewayName } from "../../core/cacheregistry/names.ts";
import type {
  InClusterSpec,
  InClusterStorage,
  Manifest,
  StorageCredentials,
  Upstream,
} from "../../core/cacheregistry/types.ts";

const REGISTRY = { name: "main", uid: "11111111-2222-3333-4444-555555555555" };
const INSTALLATION = {
  namespace: "cosign-system",
  gatewayImage: "entrepot:dev",
  gatewayServiceAccount: "entrepot-gateway",
  distributionImage: "docker.io/library/registry:3.1.2",
  logLevel: "info",
};
const QUAY: Upstream = { host: "quay.io", plainHTTP: false };
const NAME = backendName("main", QUAY.host);
const b64 = (text: string) => Buffer.from(text).toString("base64");
const KEY = JSON.stringify({ type: "service_account", client_email: "a@b.example", private_key: "PRIVATE-PART" });

const S3: InClusterStorage = { s3: { bucket: "cache", region: "eu-central-1" } };
const AZURE: InClusterStorage = { azure: { accountName: "acct", container: "cache" } };
const GCS: InClusterStorage = { gcs: { bucket: "cache" } };
const named = { secretRef: { name: "store" } };

function objects(storage: InClusterStorage, credentials?: StorageCredentials, proxy?: InClusterSpec["proxy"]) {
  const spec: InClusterSpec = { pullHost: "localhost:30500", storage, ...(proxy && { proxy }) };
  return desiredObjects(REGISTRY, spec, [QUAY], INSTALLATION, credentials && { storageCredentials: credentials });
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into plain JSON
function find(manifests: readonly Manifest[], kind: string): any {
  const found = manifests.find((object) => object.kind === kind && object.metadata.name === NAME);
  if (found === undefined) throw new Error(`no ${kind} ${NAME}`);
  return found;
}

function configOf(manifests: readonly Manifest[]) {
  const text = Buffer.from(find(manifests, "Secret").data["config.yml"], "base64").toString("utf8");
  return load(text) as { readonly storage: Record<string, unknown>; readonly health: object; readonly http: object };
}

describe("the proxies' storage", () => {
  const cases: readonly {
    name: string;
    storage: InClusterStorage;
    credentials?: StorageCredentials;
    driver: object;
  }[] = [
    {
      name: "S3 with the Pod's identity",
      storage: S3,
      driver: { s3: { region: "eu-central-1", bucket: "cache", rootdirectory: `${NAME}/open` } },
    },
    {
      name: "a service of S3's protocol with a key",
      storage: {
        s3: {
          bucket: "cache",
          region: "us-east-1",
          endpoint: "http://minio.example.com:9000/",
          forcePathStyle: true,
          rootDirectory: "caches/prod",
          ...named,
        },
      },
      credentials: { kind: "s3", accessKeyId: "AKIA", secretAccessKey: "s3cr3t" },
      driver: {
        s3: {
          region: "us-east-1",
          bucket: "cache",
          regionendpoint: "http://minio.example.com:9000",
          secure: false,
          forcepathstyle: true,
          rootdirectory: `caches/prod/${NAME}/open`,
          accesskey: "AKIA",
          secretkey: "s3cr3t",
        },
      },
    },
    {
      name: "Azure with the Pod's identity",
      storage: { azure: { accountName: "acct", container: "cache", realm: "core.chinacloudapi.cn" } },
      driver: {
        azure: {
          accountname: "acct",
          container: "cache",
          realm: "core.chinacloudapi.cn",
          rootdirectory: `${NAME}/open`,
          credentials: { type: "default_credentials" },
        },
      },
    },
    {
      name: "Azure with a key",
      storage: { azure: { accountName: "acct", container: "cache", ...named } },
      credentials: { kind: "azure", accountKey: "a2V5a2V5" },
      driver: {
        azure: {
          accountname: "acct",
          container: "cache",
          rootdirectory: `${NAME}/open`,
          credentials: { type: "shared_key" },
          accountkey: "a2V5a2V5",
        },
      },
    },
    {
      name: "Google with the Pod's identity",
      storage: { gcs: { bucket: "cache", rootDirectory: "x" } },
      driver: { gcs: { bucket: "cache", rootdirectory: `x/${NAME}/open` } },
    },
    {
      name: "Google with a key",
      storage: { gcs: { bucket: "cache", ...named } },
      credentials: { kind: "gcs", keyJson: KEY },
      driver: {
        gcs: { bucket: "cache", rootdirectory: `${NAME}/open`, keyfile: "/etc/distribution-storage/storage-key.json" },
      },
    },
  ];
  for (const { name, storage, credentials, driver } of cases) {
    it(`is rendered for ${name}`, () => {
      const { delete: deletion, redirect, cache, ...rendered } = configOf(objects(storage, credentials)).storage;
      expect(rendered).to.deep.equal(driver);
      expect({ deletion, redirect, cache }).to.deep.equal({
        deletion: { enabled: true },
        redirect: { disable: true },
        cache: { blobdescriptor: "inmemory" },
      });
    });
  }

  it("is a folder of its own for each upstream and each registry", () => {
    const spec: InClusterSpec = { pullHost: "localhost:30500", storage: S3 };
    const roots = ["one", "two"].flatMap((registry) =>
      desiredObjects({ name: registry, uid: "u" }, spec, [QUAY, { host: "ghcr.io", plainHTTP: false }], INSTALLATION)
        .filter(({ kind }) => kind === "Secret")
        .map(
          (secret) =>
            /rootdirectory: "?([^"\n]+)/.exec(
              atob((secret["data"] as Record<string, string>)["config.yml"] ?? ""),
            )?.[1],
        ),
    );
    expect(new Set(roots)).to.have.lengthOf(4);
  });

  it("has its key in the Secret alone, mounted for the proxy", () => {
    const manifests = objects({ gcs: { bucket: "cache", ...named } }, { kind: "gcs", keyJson: KEY });
    const { volumes, containers } = find(manifests, "Deployment").spec.template.spec;
    expect(volumes.map(({ name }: { name: string }) => name)).to.deep.equal(["config", "storage-key"]);
    expect(containers[0].volumeMounts).to.deep.include({
      name: "storage-key",
      mountPath: "/etc/distribution-storage",
      readOnly: true,
    });
    const others = JSON.stringify(manifests.filter(({ kind }) => kind !== "Secret"));
    expect(others).to.not.contain("PRIVATE-PART").and.not.contain(b64(KEY));
  });

  it("rolls the Pods when its key changes", () => {
    const storage: InClusterStorage = { gcs: { bucket: "cache", ...named } };
    const [one, two] = ["a", "b"].map(
      (part) => find(objects(storage, { kind: "gcs", keyJson: KEY + part }), "Deployment").spec.template,
    );
    expect(one).to.not.deep.equal(two);
  });

  it("never falls back to the node's identity where a Secret is named", () => {
    expect(() => objects({ s3: { bucket: "cache", region: "eu-central-1", ...named } })).to.throw(/was not read/);
  });

  it("needs no volume and no Recreate in a service", () => {
    for (const storage of [S3, AZURE, GCS]) {
      const manifests = objects(storage);
      const { strategy, template } = find(manifests, "Deployment").spec;
      expect(strategy.type).to.equal("RollingUpdate");
      expect(JSON.stringify(template)).to.not.contain("/var/lib/registry");
      expect(manifests.some(({ kind }) => kind === "PersistentVolumeClaim")).to.equal(false);
    }
  });

  it("asks Azure's webhook for an identity only where no key is given", () => {
    const labels = (storage: InClusterStorage, credentials?: StorageCredentials) =>
      find(objects(storage, credentials), "Deployment").spec.template.metadata.labels["azure.workload.identity/use"];
    expect(labels(AZURE)).to.equal("true");
    expect(
      labels({ azure: { accountName: "acct", container: "c", ...named } }, { kind: "azure", accountKey: "a2V5" }),
    ).to.equal(undefined);
    expect(labels(S3)).to.equal(undefined);
  });
});

describe("the proxies' size", () => {
  it("is several Pods with a budget, spread, without a descriptor cache that another Pod's expiry would make wrong", () => {
    const manifests = objects(S3, undefined, { replicas: 3 });
    const { replicas, template } = find(manifests, "Deployment").spec;
    expect(replicas).to.equal(3);
    expect(template.spec.topologySpreadConstraints).to.have.lengthOf(1);
    expect(find(manifests, "PodDisruptionBudget").spec).to.deep.include({ maxUnavailable: 1 });
    expect(configOf(manifests).storage).to.not.have.property("cache");
  });

  it("is one Pod by default, which no budget keeps on a drained node", () => {
    const manifests = objects(S3);
    expect(find(manifests, "Deployment").spec.replicas).to.equal(1);
    expect(
      manifests.filter(({ kind }) => kind === "PodDisruptionBudget").map(({ metadata }) => metadata.name),
    ).to.deep.equal([gatewayName("main")]);
  });

  it("is what spec says, whole, else what suits the storage", () => {
    const container = (storage: InClusterStorage, proxy?: InClusterSpec["proxy"]) =>
      find(objects(storage, undefined, proxy), "Deployment").spec.template.spec.containers[0].resources;
    expect(container(S3).limits).to.deep.equal({ memory: "1Gi" });
    expect(container({ emptyDir: {} }).limits).to.deep.equal({ memory: "512Mi" });
    const requests = { cpu: "2", memory: "2Gi" };
    expect(container(S3, { resources: { requests } })).to.deep.equal({ requests });
    expect(container(S3, { resources: { requests, limits: {} } })).to.deep.equal({ requests }); // as the API server has it
  });

  it("runs as the ServiceAccount that spec names, without an API token", () => {
    const { spec } = find(objects(S3, undefined, { serviceAccountName: "s3-reader" }), "Deployment").spec.template;
    expect(spec).to.include({ serviceAccountName: "s3-reader", automountServiceAccountToken: false });
    expect(find(objects(S3), "Deployment").spec.template.spec).to.not.have.property("serviceAccountName");
  });

  it("is at rest once applied", () => {
    const manifests = objects(S3, undefined, { replicas: 2, resources: { limits: { memory: "1024Mi" } } });
    const live = manifests.map((object) => ({ ...object, metadata: { ...object.metadata, uid: "u" } }));
    expect(changes(manifests, live)).to.deep.equal({ apply: [], remove: [] });
  });
});
