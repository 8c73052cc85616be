import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { DEFAULT_AUDIENCE, OWN_AUDIENCE } from "../../core/gateway/policy.ts";
import { accessSecretName, TLS_CERT_FILE } from "../../core/gatewayaccess/names.ts";
import { type Digest, parseReference } from "../../core/image/reference.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { type LookupPorts, lookupPorts, lookupRule } from "./cache-lookups-harness.ts";
import { AccessStage } from "./gateway-access-harness.ts";
import { Cleanup, Distribution } from "./gateway-harness.ts";

const HOST = "private.local:5000";
const SYSTEM = "cosign-system";
const TLS = { selfSigned: {} };

describe("The webhook at a gateway that asks for credentials, over TLS, with a real API server", () => {
  const cleanup = new Cleanup();
  const directory = mkdtempSync(join(tmpdir(), "entrepot-lookups-"));
  let stage: AccessStage;
  let certificate: string;
  let digest: Digest;

  before(async function () {
    this.timeout(0); // the first run on a machine builds the registry and the cluster
    cleanup.add(() => rmSync(directory, { recursive: true, force: true }));
    const upstream = await Distribution.start(cleanup, { auth: true });
    digest = (await upstream.pushImage("acme/app", "v1", Buffer.from("private"))).digest as Digest;
    const proxy = await Distribution.start(cleanup, { upstream });
    stage = new AccessStage(cleanup, {
      spec: { tls: TLS },
      upstreams: [{ host: HOST, credentials: { secretRef: { name: "upstream" } } }],
      origins: { [HOST]: proxy.origin },
      env: { REGISTRY_TLS: "true" },
    });
    await stage.open();
    await stage.cluster.kubectl(["create", "namespace", SYSTEM]).catch(() => undefined); // another test may have made it
    await stage.rule("app", `${HOST}/acme/app`, "app");
    certificate = (await stage.render()).files[TLS_CERT_FILE] ?? "";
    await stage.start({ scheme: "https" });
  });
  after(() => cleanup.run());

  function portsAs(token: string, trusted = certificate): LookupPorts {
    const tokenFile = join(directory, "token");
    writeFileSync(tokenFile, token);
    const rule = lookupRule(`${HOST}/acme/app`, "app", stage.registry);
    const data = { [TLS_CERT_FILE]: Buffer.from(trusted).toString("base64") };
    return lookupPorts(cleanup, [rule], {
      registry: stage.registry,
      signatures: "cache",
      gateway: new URL(stage.origin).host,
      tls: TLS,
      tokenFile,
      secrets: { [accessSecretName(stage.registry)]: { data } },
    });
  }
  const tag = parseReference(`${HOST}/acme/app:v1`);
  const resolve = (by: LookupPorts): Promise<string> =>
    by.resolve(tag, ANONYMOUS, AbortSignal.timeout(20_000)).catch(String);

  it("is let in by its own token, which clients need not name, and so is the operator", async () => {
    for (const account of ["webhook", "operator"])
      expect(await resolve(portsAs(await stage.token(SYSTEM, account, OWN_AUDIENCE))), account).to.equal(digest);
    const image = { reference: parseReference(`${HOST}/acme/app@${digest}`), digest };
    const by = portsAs(await stage.token(SYSTEM, "webhook", OWN_AUDIENCE));
    expect(await by.configFiles(image, ANONYMOUS, AbortSignal.timeout(20_000))).to.include("linux/amd64");
    expect(by.direct).to.deep.equal([]);
  });

  it("and nobody else is: other accounts with that audience, its account elsewhere, or with another audience", async () => {
    for (const [namespace, account, audience] of [
      [SYSTEM, "stranger", OWN_AUDIENCE],
      [stage.namespace, "webhook", OWN_AUDIENCE],
      [SYSTEM, "webhook", DEFAULT_AUDIENCE],
      [SYSTEM, "webhook", "https://kubernetes.default.svc"],
    ] as const) {
      const token = await stage.token(namespace, account, audience);
      const answer = await resolve(portsAs(token));
      expect(answer, `${namespace}/${account} for ${audience}`)
        .to.match(/HTTP 40[13]/)
        .and.not.include(token);
    }
    expect(stage.output).to.not.include("eyJ"); // a token begins so
  });

  it("shows its token to no gateway whose certificate is another than the one that it was given", async () => {
    const token = await stage.token(SYSTEM, "webhook", OWN_AUDIENCE);
    const reviews = stage.output.length;
    expect(await resolve(portsAs(token, ""))).to.include("and its certificate");
    expect(stage.output.slice(reviews)).to.not.include(`system:serviceaccount:${SYSTEM}:webhook`);
  });
});
