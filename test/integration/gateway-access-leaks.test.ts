import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { expect } from "chai";
import { PRIVATE_HEADER } from "../../core/gatewayaccess/names.ts";
import { basic } from "./gateway-access-harness.ts";
import { acceptedRule, Cleanup, digestOf, GatewayProcess, OCI_MANIFEST } from "./gateway-harness.ts";

const SECRET = "upstream-password-1";
const MANIFEST = Buffer.from("{}");
/** What a proxy that is broken or taken over could try to hand out. */
const LEAKING = {
  [PRIVATE_HEADER]: "true",
  authorization: basic("upstream", SECRET)["authorization"] ?? "",
  "www-authenticate": `Bearer realm="https://auth.upstream.example/token?password=${SECRET}",service="x"`,
  location: `https://upstream:${SECRET}@upstream.example/v2/`,
  "set-cookie": `token=${SECRET}`,
  "proxy-authenticate": `Basic realm="${SECRET}"`,
  "x-upstream-token": SECRET,
  link: `<https://upstream:${SECRET}@upstream.example/v2/acme/app/tags/list?n=1&last=a>; rel="next"`,
};

describe("Credentials on their way through the gateway (a FAKE backend that leaks)", () => {
  const cleanup = new Cleanup();
  const seen: IncomingHttpHeaders[] = [];
  let status = 200;
  let gateway: GatewayProcess;

  before(async function () {
    this.timeout(0);
    const backend = createServer((req, res) => {
      seen.push(req.headers);
      const isList = req.url?.includes("tags/list") === true;
      const body = isList ? '{"name":"acme/app","tags":["a"]}' : MANIFEST.toString();
      const type = isList ? "application/json" : OCI_MANIFEST;
      const digest = { "docker-content-digest": digestOf(MANIFEST), "content-type": type };
      res.writeHead(status, { ...LEAKING, ...(status === 200 ? digest : {}) });
      res.end(status === 200 ? body : `{"errors":[{"code":"DENIED","message":"${SECRET}"}]}`);
    }).listen(0, "127.0.0.1");
    cleanup.add(() => backend.close());
    await once(backend, "listening");
    const address = backend.address();
    const origin = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
    const spec = { inCluster: { anonymous: true } };
    gateway = await GatewayProcess.start(cleanup, {
      registry: "main",
      origins: { "registry.local:5000": origin },
      spec,
    });
    await gateway.setRules([acceptedRule("app", "registry.local:5000/acme/app", "app")]);
  });
  after(() => cleanup.run());

  for (const code of [200, 301, 302, 307, 308, 401, 403, 404, 429, 500]) {
    it(`stay where they belong when the backend answers ${code}`, async () => {
      status = code;
      seen.length = 0;
      for (const path of [
        "manifests/v1",
        `blobs/${digestOf(MANIFEST)}`,
        "tags/list",
        `referrers/${digestOf(MANIFEST)}`,
      ]) {
        for (const method of ["GET", "HEAD"]) {
          const shown = {
            ...basic("client", "clients-password"),
            cookie: "session=1",
            "proxy-authorization": "Basic eA==",
          };
          const answer = await gateway.get(`/v2/app/${path}`, { method, headers: shown });
          const text = JSON.stringify([...answer.headers]) + answer.body.toString();
          expect(text, `${method} ${path}`).to.not.include(SECRET).and.not.include("upstream.example");
          for (const name of ["www-authenticate", "location", "set-cookie", PRIVATE_HEADER])
            expect(answer.headers.has(name), name).to.equal(false);
        }
      }
      expect(seen, "control: it was asked").to.have.length(8);
      for (const headers of seen)
        for (const name of ["authorization", "cookie", "proxy-authorization"])
          expect(headers).to.not.have.property(name);
      expect(JSON.stringify(gateway.logged("request")))
        .to.not.include(SECRET)
        .and.not.include("clients-password");
    });
  }
});
