import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { expect } from "chai";
import { accessSecretName, authoritySecretName, CA_FILE, TLS_CERT_FILE } from "../../core/gatewayaccess/names.ts";
import { gatewayServerNames, ownCertificates } from "../../core/gatewayaccess/tls.ts";
import { parseReference } from "../../core/image/reference.ts";
import type { PullSecret } from "../../core/registry/docker-config.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { RegistryDoors } from "../../operator/refresh/doors.ts";
import { selfSigned } from "../support/self-signed.ts";
import { type LookupSituation, lookupPorts, lookupRule, PULL_HOST } from "./cache-lookups-harness.ts";
import { Cleanup } from "./gateway-harness.ts";
import { inClusterRegistry } from "./refresh-harness.ts";

const DAY_MS = 86_400_000;
const DIGEST = `sha256:${"d".repeat(64)}`;
const within = (): AbortSignal => AbortSignal.timeout(20_000);

function secretOf(files: Readonly<Record<string, string>>): PullSecret {
  return {
    data: Object.fromEntries(Object.entries(files).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
  };
}

describe("Whose certificates lookups trust", () => {
  const cleanup = new Cleanup();
  afterEach(() => cleanup.run());

  /** A registry in which every tag has the same digest. */
  async function serve(identity: { readonly cert: string; readonly key: string }): Promise<number> {
    const server = createServer(identity, (_request, response) => {
      response.writeHead(200, { "docker-content-digest": DIGEST }).end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanup.add(() => {
      server.close();
      server.closeAllConnections();
    });
    return (server.address() as AddressInfo).port;
  }

  const resolve = async (situation: LookupSituation): Promise<string> => {
    const by = lookupPorts(cleanup, [lookupRule("up.example/*", "hub/*")], { signatures: "cache", ...situation });
    return await by.resolve(parseReference("up.example/app:v1"), ANONYMOUS, within()).catch(String);
  };

  it("of a gateway with its own authority: that one's, so that no lookup fails until the kubelet has brought a new certificate", async () => {
    const names = gatewayServerNames("main", PULL_HOST, "cosign-system");
    const first = ownCertificates({}, names, new Date(Date.now() - 70 * DAY_MS));
    const second = ownCertificates(first.files, names, new Date());
    expect(second.pair.certificate, "control: it was renewed").to.not.equal(first.pair.certificate);
    const gateway = `127.0.0.1:${await serve({ cert: first.pair.certificate, key: first.pair.key })}`;
    const access = { [accessSecretName("main")]: secretOf({ [TLS_CERT_FILE]: second.pair.certificate }) };
    const own = { gateway, tls: { selfSigned: {} } };
    const authority = { [authoritySecretName("main")]: secretOf(second.files) };
    expect(await resolve({ ...own, secrets: { ...access, ...authority } })).to.equal(DIGEST);
    expect(await resolve({ ...own, secrets: access }), "control").to.include("its certificate");
    const stranger = ownCertificates({}, names, new Date());
    const other = { [authoritySecretName("main")]: secretOf(stranger.files) };
    expect(await resolve({ ...own, secrets: { ...access, ...other } }), "control").to.include("its certificate");
  });

  it("of a gateway whose certificate is given: that of the Secret, and of the authority beside it there", async () => {
    const names = gatewayServerNames("main", PULL_HOST, "cosign-system");
    const first = ownCertificates({}, names, new Date(Date.now() - 70 * DAY_MS));
    const second = ownCertificates(first.files, names, new Date());
    const gateway = `127.0.0.1:${await serve({ cert: first.pair.certificate, key: first.pair.key })}`;
    const given = { gateway, tls: { secretRef: { name: "given" } } };
    const access = { [accessSecretName("main")]: secretOf({ [TLS_CERT_FILE]: second.pair.certificate }) };
    const beside = { given: secretOf({ [CA_FILE]: second.authorities }) };
    expect(await resolve({ ...given, secrets: { ...access, ...beside } })).to.equal(DIGEST);
    expect(await resolve({ ...given, secrets: access }), "control").to.include("its certificate");
  });

  describe("of a Harbor", () => {
    const identity = selfSigned();
    let host: string;
    beforeEach(async () => {
      host = `localhost:${await serve(identity)}`;
    });
    const harbor = () =>
      ({
        harbor: {
          url: `https://${host}`,
          auth: { secretRef: { name: "harbor" } },
          caBundleRef: { name: "harbor-ca", key: "ca.crt" },
        },
      }) as NonNullable<LookupSituation["product"]>;
    const rules = () => [lookupRule("up.example/*", "hub/*", "main", host)];
    it("those in the ConfigMap of its caBundleRef, as they are at the moment", async () => {
      const bundles: Record<string, string> = { "ca.crt": identity.cert };
      const by = lookupPorts(cleanup, rules(), {
        signatures: "cache",
        product: harbor(),
        configMaps: { "harbor-ca": bundles },
      });
      const again = () => by.resolve(parseReference("up.example/app:v1"), ANONYMOUS, within()).catch(String);
      for (const [pem, expected] of [
        [selfSigned().cert, "its certificate"],
        [identity.cert, DIGEST],
        [
          "",
          'ConfigMap "harbor-ca" (spec.harbor.caBundleRef of CacheRegistry "main") in namespace cosign-system has no certificate',
        ],
        [`${selfSigned().cert}\n${identity.cert}`, DIGEST],
      ] as const) {
        bundles["ca.crt"] = pem;
        expect(await again()).to.include(expected);
      }
    });

    it("no others without it, and none where the ConfigMap is not there", async () => {
      const missing = lookupPorts(cleanup, rules(), { signatures: "cache", product: harbor() });
      const found = missing.resolve(parseReference("up.example/app:v1"), ANONYMOUS, within());
      expect(await found.catch(String)).to.include("does not exist; put the certificates to trust for Harbor there");
      const product = harbor();
      const configMaps = { "harbor-ca": { "ca.crt": identity.cert } };
      const by = lookupPorts(cleanup, rules(), { signatures: "cache", product, configMaps });
      const again = () => by.resolve(parseReference("up.example/app:v1"), ANONYMOUS, within()).catch(String);
      expect(await again()).to.equal(DIGEST);
      Object.assign(product.harbor ?? {}, { caBundleRef: undefined });
      expect(await again()).to.not.equal(DIGEST);
    });
  });

  it("of a Harbor no longer than its CacheRegistry is there", async () => {
    const identity = selfSigned();
    const host = `localhost:${await serve(identity)}`;
    const bundle = { name: "harbor-ca", key: "ca.crt" };
    const harbor = { url: `https://${host}`, auth: { secretRef: { name: "harbor" } }, caBundleRef: bundle };
    let isGone = false;
    const by = lookupPorts(cleanup, [lookupRule("up.example/*", "hub/*", "main", host)], {
      signatures: "cache",
      product: { harbor } as NonNullable<LookupSituation["product"]>,
      configMaps: { "harbor-ca": { "ca.crt": identity.cert } },
      isGone: () => isGone,
    });
    const ask = (name: string) => by.resolve(parseReference(name), ANONYMOUS, within()).catch(String);
    expect(await ask("up.example/app:v1")).to.equal(DIGEST);
    expect(await ask(`${host}/other/app:v1`), "control: by its own name too").to.equal(DIGEST);
    isGone = true;
    expect(await ask(`${host}/other/app:v1`)).to.include("its certificate");
  });

  it("of an upstream with a caBundle: those in it, in place of the public ones", async () => {
    const identity = selfSigned();
    const host = `localhost:${await serve(identity)}`;
    const publicOnes = getCACertificates("default");
    cleanup.add(() => setDefaultCACertificates(publicOnes));
    setDefaultCACertificates([...publicOnes, identity.cert]);
    const registry = { ...inClusterRegistry(), spec: { zot: {} } } as unknown as ReturnType<typeof inClusterRegistry>;
    const asked = async (caBundle?: string): Promise<string> => {
      const doors = new RegistryDoors({
        namespace: "cosign-system",
        secrets: { get: () => undefined },
        pullHost: () => "zot.example",
        gateway: () => Promise.reject(new Error("there is no gateway")),
        upstreamOf: () => ({ kind: "upstream", upstream: { host, plainHTTP: false, ...(caBundle && { caBundle }) } }),
      });
      cleanup.add(() => doors.close());
      const door = doors.upstream(registry, host);
      const found = door?.puller.resolve(door.source("team/app"), "v1", within());
      return await Promise.resolve(found).then((digest) => digest ?? "nothing", String);
    };
    expect(await asked(), "control: its authority is public here").to.equal(DIGEST);
    expect(await asked(identity.cert)).to.equal(DIGEST);
    expect(await asked(selfSigned().cert)).to.include("its certificate");
  });
});
