import { createPrivateKey, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { SignJWT } from "jose";
import { Resources } from "../../adapters/kube/resources.ts";
import { freshNamespace } from "../support/kube.ts";
import { AccessStage, basic } from "./gateway-access-harness.ts";
import { Cleanup, Distribution } from "./gateway-harness.ts";

const HOST = "private.local:5000";
const AUDIENCE = "entrepot-cache";
const PATH = "/v2/app/manifests/v1";

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

describe("ServiceAccount tokens at the gateway, checked by a real API server", () => {
  const cleanup = new Cleanup();
  let stage: AccessStage;
  let allowed: string;
  let other: string;
  let proxy: Distribution;

  before(async function () {
    this.timeout(0);
    const upstream = await Distribution.start(cleanup, { auth: true });
    await upstream.pushImage("acme/app", "v1", randomBytes(1_000));
    proxy = await Distribution.start(cleanup, { upstream });
    stage = new AccessStage(cleanup, {
      upstreams: [{ host: HOST, credentials: { secretRef: { name: "upstream" } } }],
      origins: { [HOST]: proxy.origin },
    });
    await stage.open();
    [allowed, other] = [await freshNamespace(stage.client, "allowed"), await freshNamespace(stage.client, "other")];
    cleanup.add(() => stage.cluster.kubectl(["delete", `namespace/${allowed}`, `namespace/${other}`, "--wait=false"]));
    await stage.patch({ inCluster: { clients: { serviceAccounts: { namespaces: [allowed] } } } });
    await stage.render();
    await stage.rule("app", `${HOST}/acme/app`, "app");
    await stage.start();
    await stage.answers(200, PATH, bearer(await stage.token(allowed, "first", AUDIENCE)));
  });
  after(() => cleanup.run());

  it("let in as a bearer token, and as a password with any user", async () => {
    const token = await stage.token(allowed, "puller", AUDIENCE);
    for (const shown of [bearer(token), basic("", token), basic("anything", token), basic("<token>", token)])
      expect((await stage.get(PATH, shown)).status).to.equal(200);
    expect((await stage.get("/v2/", basic("token", token))).status, "login").to.equal(200);
    expect(stage.output).to.include(`"user":"system:serviceaccount:${allowed}:puller"`).and.not.include(token);
  });

  it("do not for another audience, and the answer says how to make one", async () => {
    const token = await stage.token(allowed, "puller", "https://kubernetes.default.svc");
    for (const shown of [bearer(token), basic("u", token)]) {
      const answer = await stage.get(PATH, shown);
      expect([answer.status, answer.error?.code]).to.deep.equal([401, "UNAUTHORIZED"]);
      expect(answer.error?.message)
        .to.include("another audience")
        .and.include(`kubectl create token NAME --audience=${AUDIENCE}`);
    }
  });

  it("do not from another namespace: 403, which names it", async () => {
    const answer = await stage.get(PATH, bearer(await stage.token(other, "puller", AUDIENCE)));
    expect([answer.status, answer.error?.code]).to.deep.equal([403, "DENIED"]);
    expect(answer.error?.message)
      .to.include(`"${other}"`)
      .and.include("spec.inCluster.clients.serviceAccounts.namespaces");
  });

  it("do not once tampered with", async () => {
    const [head = "", payload = "", signature = ""] = (await stage.token(allowed, "puller", AUDIENCE)).split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
    const changed = Buffer.from(JSON.stringify({ ...claims, jti: "x" })).toString("base64url");
    const none = Buffer.from('{"alg":"none"}').toString("base64url");
    for (const token of [`${head}.${changed}.${signature}`, `${none}.${payload}.${signature}`, `${head}.${payload}.`]) {
      expect((await stage.get(PATH, bearer(token))).status).to.equal(401);
      expect((await stage.get(PATH, basic("u", token))).status).to.equal(401);
    }
  });

  it("do not after they have expired", async function () {
    const keyPath = join(dirname(stage.cluster.kubeconfig), "pki/service-account.key");
    if (!existsSync(keyPath)) {
      console.error("      skipped: an expired token: it needs the key of the cluster's own tokens");
      this.skip();
    }
    const key = createPrivateKey(readFileSync(keyPath, "utf8"));
    const { metadata } = await stage.client.get(Resources.serviceAccounts, "first", { namespace: allowed });
    const now = Math.floor(Date.now() / 1000);
    const forge = async (expires: number): Promise<string> =>
      await new SignJWT({
        "kubernetes.io": { namespace: allowed, serviceaccount: { name: "first", uid: metadata.uid } },
      })
        .setProtectedHeader({ alg: key.asymmetricKeyType === "rsa" ? "RS256" : "ES256" })
        .setIssuer("https://kubernetes.default.svc")
        .setSubject(`system:serviceaccount:${allowed}:first`)
        .setAudience(AUDIENCE)
        .setIssuedAt(now - 7200)
        .setNotBefore(now - 7200)
        .setExpirationTime(expires)
        .sign(key);
    expect((await stage.get(PATH, bearer(await forge(now + 600)))).status, "control: not expired").to.equal(200);
    expect((await stage.get(PATH, bearer(await forge(now - 120)))).status).to.equal(401);
  });

  it("follow spec at once, also where the token is remembered", async () => {
    const shown = bearer(await stage.token(other, "later", AUDIENCE));
    expect((await stage.get(PATH, shown)).status).to.equal(403);
    await stage.patch({ inCluster: { clients: { serviceAccounts: { namespaces: [allowed, other] } } } });
    await stage.answers(200, PATH, shown);
    await stage.patch({ inCluster: { clients: { serviceAccounts: { namespaces: [allowed] } } } });
    await stage.answers(403, PATH, shown);
  });

  it("let nobody in while the API server cannot be asked; who is remembered goes on, what is open stays open", async function () {
    this.timeout(120_000);
    const known = bearer(await stage.token(allowed, "known", AUDIENCE));
    const fresh = bearer(await stage.token(allowed, "fresh", AUDIENCE));
    expect((await stage.get(PATH, known)).status).to.equal(200);
    const asked = proxy.requests.length;
    await stage.cluster.stop("kube-apiserver", "SIGKILL");
    try {
      const answer = await stage.get(PATH, fresh);
      expect([answer.status, answer.error?.code]).to.deep.equal([503, "UNKNOWN"]);
      expect(answer.error?.message).to.include("cannot ask the API server");
      expect(answer.headers.get("retry-after")).to.match(/^[0-9]+$/);
      expect(proxy.requests.length, "nobody was asked").to.equal(asked);
      expect((await stage.get(PATH, known)).status).to.equal(200);
      expect((await stage.get(PATH)).status).to.equal(401);
    } finally {
      await stage.cluster.start("kube-apiserver");
    }
    await stage.answers(200, PATH, fresh);
  });
});
