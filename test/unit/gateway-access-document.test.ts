import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import type { SecretContent } from "../../core/cacheregistry/credentials.ts";
import { distributionConfig } from "../../core/cacheregistry/distribution.ts";
import { gatewayObjects } from "../../core/cacheregistry/gateway.ts";
import { formatAccessDocument, parseAccessDocument } from "../../core/gatewayaccess/document.ts";
import { ACCESS_FILE, accessSecretName, authoritySecretName, TLS_CERT_FILE } from "../../core/gatewayaccess/names.ts";
import { PasswordHashes, passwordMatches } from "../../core/gatewayaccess/passwords.ts";
import { accessDocument, type GatewayAccess } from "../../core/gatewayaccess/resolve.ts";
import type { GatewaySpec } from "../../core/gatewayaccess/types.ts";

const START = new Date("2030-01-01T00:00:00Z");
const DAY = 86_400_000;
const encode = (text: string): string => Buffer.from(text).toString("base64");
const secret = (name: string, type: string, data: Record<string, string>): SecretContent => ({
  metadata: { name },
  type,
  data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, encode(text)])),
});
const user = (name: string, username: string, password: string): SecretContent =>
  secret(name, "kubernetes.io/basic-auth", { username, password });

function world(spec: Partial<GatewaySpec>, ...secrets: SecretContent[]) {
  const known = new Map(secrets.map((one) => [one.metadata.name, one]));
  const hashes = new PasswordHashes();
  return async (days = 0, change: Partial<GatewaySpec> = {}): Promise<GatewayAccess> => {
    const access = await accessDocument({
      registry: { name: "main", uid: "1234" },
      spec: { pullHost: "cache.example.com:5000", ...spec, ...change },
      namespace: "cosign-system",
      secret: (name) => known.get(name),
      hashes,
      now: new Date(START.getTime() + days * DAY),
    });
    // What the operator writes is there the next time.
    known.set(accessSecretName("main"), secret(accessSecretName("main"), "Opaque", access.files));
    const { authority } = access;
    const name = authoritySecretName("main");
    if (authority !== undefined) known.set(name, secret(name, "Opaque", authority.files));
    return access;
  };
}

describe("the access document", () => {
  const clients = { secretRefs: [{ name: "ci" }, { name: "nodes" }] };

  it("holds hashes of passwords that only the right password fits, and nothing else of them", async () => {
    const { files, problems } = await world(
      { clients },
      user("ci", "ci", "secret-1"),
      user("nodes", "ci", "secret-2"),
    )();
    expect(problems).to.deep.equal([]);
    const text = files[ACCESS_FILE] ?? "";
    expect(text).to.not.include("secret-").and.not.include(encode("secret-1"));
    const [first, second] = parseAccessDocument(text).users;
    if (first === undefined || second === undefined) throw new Error("two users were expected");
    expect(first.salt).to.not.equal(second.salt);
    expect(await passwordMatches(first, "secret-1")).to.equal(true);
    expect(await passwordMatches(first, "secret-2")).to.equal(false);
    expect(await passwordMatches(second, "secret-2")).to.equal(true);
  });

  it("is the same for the same Secrets, in another process too, and another for another password", async () => {
    const text = async (password: string) =>
      (await world({ clients: { secretRefs: [{ name: "ci" }] } }, user("ci", "ci", password))()).files[ACCESS_FILE];
    expect(await text("a")).to.equal(await text("a"));
    expect(await text("a")).to.not.equal(await text("b"));
  });

  it("leaves out a Secret that is missing or unusable, and says so", async () => {
    const dockerconfig = secret("nodes", "kubernetes.io/dockerconfigjson", { ".dockerconfigjson": '{"auths":{}}' });
    const { files, problems } = await world({ clients }, dockerconfig)();
    expect(parseAccessDocument(files[ACCESS_FILE] ?? "").users).to.deep.equal([]);
    expect(problems.map(({ reason }) => reason)).to.deep.equal(["SecretNotFound", "SecretInvalid"]);
    expect(problems[1]?.message).to.include('"nodes"').and.include("kubernetes.io/basic-auth");
  });

  it("is refused whole when anything in it is not as written", () => {
    const good = { secret: "s", username: "u", salt: encode("0123456789abcdef"), hash: encode("0123456789abcdef") };
    const text = formatAccessDocument({ users: [good] });
    expect(parseAccessDocument(text).users).to.deep.equal([good]);
    const broken: unknown[] = [null, [], { version: 2, users: [] }, { version: 1 }, { version: 1, users: [{}] }];
    for (const name of ["secret", "username", "salt", "hash"])
      for (const value of ["", 7, null]) broken.push({ version: 1, users: [{ ...good, [name]: value }] });
    for (const one of broken)
      expect(() => parseAccessDocument(JSON.stringify(one)), JSON.stringify(one)).to.throw(/the access document/);
    fc.assert(
      fc.property(fc.nat(text.length - 2), (at) => {
        const cut = text.slice(0, at);
        expect(() => parseAccessDocument(cut)).to.throw(/the access document/);
      }),
    );
  });
});

describe("the gateway's own certificate", () => {
  const certificate = (access: GatewayAccess) => new X509Certificate(access.files[TLS_CERT_FILE] ?? "");

  it("names the pull host and the Service, is by the published authority, and rests", async () => {
    const make = world({ tls: { selfSigned: {} } });
    const first = await make();
    const authority = new X509Certificate(first.authority?.certificates ?? "");
    expect(certificate(first).checkHost("cache.example.com")).to.equal("cache.example.com");
    expect(certificate(first).checkHost("entrepot-gateway-main.cosign-system.svc")).to.be.a("string");
    expect(certificate(first).verify(authority.publicKey)).to.equal(true);
    expect(first.renewAt?.getTime()).to.be.within(START.getTime() + 59 * DAY, START.getTime() + 60 * DAY);
    expect(await make(30), "at rest").to.deep.equal(first);
    expect(certificate(await make(70)).serialNumber, "renewed").to.not.equal(certificate(first).serialNumber);
  });

  it("is for an address where nodes pull from one", async () => {
    const access = await world({ tls: { selfSigned: {} } })(0, { pullHost: "10.1.2.3:30500" });
    expect(certificate(access).checkIP("10.1.2.3")).to.equal("10.1.2.3");
    expect(certificate(access).checkIP("10.1.2.4")).to.equal(undefined);
  });

  it("is valid, and by an authority that was published for two weeks, on every day of twelve years", async function () {
    this.timeout(20_000);
    const make = world({ tls: { selfSigned: {} } });
    const published = new Map<string, number>();
    for (let day = 0; day < 12 * 365; day += 10) {
      const access = await make(day);
      const now = START.getTime() + day * DAY;
      const serving = certificate(access);
      expect(serving.validToDate.getTime(), `day ${day}`).to.be.greaterThan(now);
      const bundle = (access.authority?.certificates ?? "").split(/(?<=-----END CERTIFICATE-----\n)/).filter(Boolean);
      for (const pem of bundle) if (!published.has(pem)) published.set(pem, day);
      const by = bundle.find((pem) => serving.verify(new X509Certificate(pem).publicKey)) ?? "";
      expect(by, `day ${day}: by a published authority`).to.not.equal("");
      const since = published.get(by) ?? day;
      expect(since === 0 || day - since >= 14, `day ${day}: published since ${since}`).to.equal(true);
    }
    expect(published.size).to.equal(2);
  });

  it("from a Secret stays what it was while the Secret is unusable", async () => {
    const own = await world({ tls: { selfSigned: {} } })();
    const { [TLS_CERT_FILE]: cert = "", "tls.key": key = "" } = own.files;
    const given = secret("web", "kubernetes.io/tls", { "tls.crt": cert, "tls.key": key });
    const tls = { secretRef: { name: "web" } };
    const make = world({ tls }, given);
    expect((await make()).files[TLS_CERT_FILE]).to.equal(cert);
    const missing = await make(0, { tls: { secretRef: { name: "gone" } } });
    expect(missing.files[TLS_CERT_FILE], "kept").to.equal(cert);
    expect(missing.problems[0]?.message).to.include('"gone"').and.include("goes on with the certificate it has");
    const expired = await make(400);
    expect(expired.problems[0]?.message).to.include("expired").and.not.include("PRIVATE KEY");
    const other = await world({ tls: { selfSigned: {} } })();
    const mixed = secret("web", "kubernetes.io/tls", { "tls.crt": cert, "tls.key": other.files["tls.key"] ?? "" });
    const fresh = await world({ tls }, mixed)();
    expect(fresh.problems[0]?.message).to.include("does not fit").and.include("can't serve");
    expect(fresh.files).to.not.have.property(TLS_CERT_FILE);
  });
});

describe("the objects of a gateway", () => {
  const installation = {
    namespace: "cosign-system",
    gatewayImage: "entrepot:dev",
    gatewayServiceAccount: "entrepot-gateway",
    distributionImage: "registry:3",
    logLevel: "info",
  };
  const spec = { pullHost: "cache.example.com", storage: { emptyDir: {} } };
  // biome-ignore lint/suspicious/noExplicitAny: manifests are plain JSON
  const find = (objects: readonly any[], kind: string, name: string) =>
    objects.find((one) => one.kind === kind && one.metadata.name === name);

  it("mount the access Secret and no other, and keep the authority's key where nothing mounts it", async () => {
    const access = await world({ tls: { selfSigned: {} } })();
    const resources = { requests: { cpu: "1" } };
    const objects = gatewayObjects({ name: "main", uid: "1" }, { ...spec, resources }, installation, access);
    const pod = find(objects, "Deployment", "entrepot-gateway-main").spec.template.spec;
    expect(pod.volumes).to.deep.equal([
      { name: "access", secret: { secretName: accessSecretName("main"), defaultMode: 0o440 } },
    ]);
    expect(pod.securityContext.fsGroup).to.equal(65532);
    expect(pod.containers[0].resources).to.deep.equal(resources);
    expect(pod.containers[0].env).to.deep.include({ name: "REGISTRY_TLS", value: "true" });
    expect(Object.keys(find(objects, "Secret", accessSecretName("main")).data)).to.have.members([
      "access.json",
      "upstreams.json",
      "tls.crt",
      "tls.key",
    ]);
    expect(find(objects, "Secret", authoritySecretName("main")).data).to.have.property("ca-key.pem");
    expect(find(objects, "ConfigMap", "main-gateway-ca").data["ca.crt"]).to.match(/^-----BEGIN CERTIFICATE-----/);
    expect(JSON.stringify(find(objects, "ConfigMap", "main-gateway-ca"))).to.not.include("PRIVATE");
  });

  it("have proxies behind them that mark what they read with credentials, and those alone", () => {
    const upstream = { host: "registry.example.com", plainHTTP: false };
    const credentials = { username: "u", password: "p" };
    expect(distributionConfig({ ...upstream, credentials })).to.match(/headers:\n\s+entrepot-private:\n\s+- "true"/);
    expect(distributionConfig(upstream)).to.not.include("entrepot-private");
  });

  it("know of no TLS and no authority where spec says nothing of it", async () => {
    const objects = gatewayObjects({ name: "main", uid: "1" }, spec, installation, await world({})());
    expect(objects.map(({ kind }) => kind)).to.not.include("ConfigMap");
    expect(JSON.stringify(objects)).to.not.include("REGISTRY_TLS");
  });
});
