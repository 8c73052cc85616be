import { expect } from "chai";
import { defaultClusterImagePolicy, defaultTrustRoot, withoutNulls } from "../../core/policy/defaults.ts";

describe("policy defaults", () => {
  it("sets the mode, the names of authorities and the public Fulcio", () => {
    const spec = {
      images: [{ glob: "**" }],
      authorities: [{ keyless: { identities: [] } }, { name: "mine", key: { data: "k" } }, { keyless: {} }],
    };
    const before = structuredClone(spec);
    expect(defaultClusterImagePolicy({ spec })).to.deep.equal({
      images: [{ glob: "**" }],
      mode: "enforce",
      authorities: [
        { name: "authority-0", keyless: { identities: [], url: "https://fulcio.sigstore.dev" } },
        { name: "mine", key: { data: "k" } },
        { name: "authority-2", keyless: { url: "https://fulcio.sigstore.dev" } },
      ],
    });
    expect(spec).to.deep.equal(before);
  });

  it("leaves alone what is set", () => {
    const spec = {
      mode: "warn",
      authorities: [
        { name: "a", keyless: { url: "" } },
        { name: "b", keyless: { "ca-cert": {} } },
        { name: "c", keyless: {}, key: {} },
      ],
    };
    expect(defaultClusterImagePolicy({ spec })).to.deep.equal(spec);
  });

  it("changes nothing the second time", () => {
    const once = defaultClusterImagePolicy({ spec: { authorities: [{ keyless: {} }] } });
    expect(defaultClusterImagePolicy({ spec: once })).to.deep.equal(once);
  });

  it("takes no spec for an empty one", () => {
    expect(defaultClusterImagePolicy({})).to.deep.equal({ mode: "enforce" });
    expect(defaultTrustRoot({})).to.deep.equal({});
  });

  it("drops null fields at any depth and keeps everything else", () => {
    const value = { a: null, b: [{ c: null, d: 0, e: "", f: false }, "x", []], g: {} };
    expect(withoutNulls<unknown>(value)).to.deep.equal({ b: [{ d: 0, e: "", f: false }, "x", []], g: {} });
  });

  it("says where a TUF repository keeps its trusted root", () => {
    const { remote, repository } = defaultTrustRoot({
      spec: { remote: { mirror: "m", targets: "t" }, repository: { trustedRootTarget: "r" } },
    });
    expect(remote).to.deep.equal({ mirror: "m", targets: "t", trustedRootTarget: "trusted_root.json" });
    expect(repository).to.deep.equal({ targets: "targets", trustedRootTarget: "r" });
  });
});
