import { expect } from "chai";
import { decideRealm } from "../../core/registry/realm.ts";
import { decideRedirect } from "../../core/registry/redirect.ts";

type Row = readonly [registry: string, realm: string, want: "credentials" | "anonymous" | "refused"];

function realm(registry: string, url: string, plainHttp = false): string {
  const decision = decideRealm({ registry, plainHttp }, url);
  return decision.kind === "refuse" ? "refused" : decision.credentials ? "credentials" : "anonymous";
}

describe("the token service that a registry names", () => {
  const rows: readonly Row[] = [
    ["index.docker.io", "https://auth.docker.io/token", "credentials"],
    ["ghcr.io", "https://ghcr.io/token", "credentials"],
    ["registry.gitlab.com", "https://gitlab.com/jwt/auth", "credentials"],
    ["registry.example.com:5000", "https://auth.example.com/t", "credentials"],
    ["example.com", "https://auth.example.com/t", "credentials"],
    ["registry.example.co.uk", "https://auth.example.co.uk/t", "credentials"],
    ["registry.shop.svc:5000", "https://auth.shop.svc/t", "credentials"],
    ["example.co.uk", "https://evil.co.uk/t", "anonymous"],
    ["example.com", "https://evil.com/t", "anonymous"],
    ["registry.example.com", "https://evilexample.com/t", "anonymous"],
    ["registry.example.com", "https://example.com.evil.net/t", "anonymous"],
    ["192.168.1.2:5000", "https://192.168.1.3/t", "anonymous"],
    ["ghcr.io", "https://auth.docker.io/token", "anonymous"],
    ["registry.example.com", "http://registry.example.com/t", "refused"],
    ["registry.example.com", "https://user:password@registry.example.com/t", "refused"],
    ["registry.example.com", "/token", "refused"],
    ["registry.example.com", "file:///etc/passwd", "refused"],
    ["registry.example.com", "javascript:0", "refused"],
  ];
  for (const [registry, url, want] of rows) {
    it(`${registry} names ${url}: ${want}`, () => expect(realm(registry, url)).to.equal(want));
  }

  it("of a plain HTTP registry may be plain HTTP on the same host name only", () => {
    expect(realm("localhost:5000", "http://localhost:5001/token", true)).to.equal("credentials");
    expect(realm("localhost:5000", "http://169.254.169.254/latest/meta-data", true)).to.equal("refused");
    expect(realm("localhost:5000", "https://auth.example.com/token", true)).to.equal("anonymous");
  });
});

describe("a redirect", () => {
  const from = new URL("https://registry.example.com/v2/a/blobs/sha256:0");
  const decide = (
    subject: "metadata" | "blob",
    location: string | undefined,
    base = from,
    registry = "registry.example.com",
  ): string => {
    const decision = decideRedirect(registry, subject, base, location);
    return decision.kind === "refuse" ? "refused" : `${decision.sameOrigin ? "same" : "other"} ${decision.url.host}`;
  };

  it("of a blob may lead to another host over https, without our credentials", () => {
    expect(decide("blob", "https://cdn.example.net/x?sig=1")).to.equal("other cdn.example.net");
    expect(decide("blob", "http://cdn.example.net/x")).to.equal("refused");
    expect(decide("blob", "https://u:p@cdn.example.net/x")).to.equal("refused");
    expect(decide("blob", "https://registry.example.com:444/x")).to.equal("other registry.example.com:444");
  });

  it("of a manifest may not", () => {
    expect(decide("metadata", "https://cdn.example.net/x")).to.equal("refused");
    expect(decide("metadata", "/v2/b/manifests/c")).to.equal("same registry.example.com");
    expect(decide("metadata", "http://registry.example.com/x")).to.equal("refused");
  });

  it("of a manifest may at registry.k8s.io, to Artifact Registry and nowhere else", () => {
    const k8s = new URL("https://registry.k8s.io/v2/pause/manifests/3.10");
    const to = (location: string) => decide("metadata", location, k8s, "registry.k8s.io");
    expect(to("https://us-west2-docker.pkg.dev/v2/k8s-artifacts-prod/images/pause/manifests/3.10")).to.equal(
      "other us-west2-docker.pkg.dev",
    );
    expect(to("https://evil.dev/us-west2-docker.pkg.dev")).to.equal("refused");
    expect(to("http://us-west2-docker.pkg.dev/v2/")).to.equal("refused");
  });

  it("of a registry without TLS never leaves it", () => {
    const plain = new URL("http://localhost:5000/v2/a/blobs/sha256:0");
    expect(decide("blob", "http://localhost:5001/x", plain, "localhost:5000")).to.equal("refused");
    expect(decide("blob", "https://cdn.example.net/x", plain, "localhost:5000")).to.equal("refused");
    expect(decide("blob", "/elsewhere", plain, "localhost:5000")).to.equal("same localhost:5000");
  });

  it("must say where to", () => {
    expect(decide("blob", undefined)).to.equal("refused");
    expect(decide("blob", "https://")).to.equal("refused");
  });
});
