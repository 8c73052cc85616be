import { expect } from "chai";
import { formatErrors } from "../../core/policy/fielderror.ts";
import { clusterImagePolicyErrors } from "../../core/policy/validate.ts";
import { writtenDefaults } from "../../core/policy/written-defaults.ts";
import type { Authority, ClusterImagePolicySpec, EvaluatedPolicy, MatchResource } from "../../crds/types.ts";

import { PEM } from "../support/admission.ts";
import { cpuMs } from "../support/cpu-time.ts";
import { selfSigned } from "../support/self-signed.ts";

const OPTIONS = { systemNamespace: "cosign-system", failOnEmptyAuthorities: true };
const IMAGES = [{ glob: "**" }];
const IDENTITIES = [{ issuer: "i", subject: "s" }];

const found = (spec: ClusterImagePolicySpec) => {
  const errors = clusterImagePolicyErrors(spec, OPTIONS);
  return { errors: formatErrors(errors, "error"), warnings: formatErrors(errors, "warning") };
};
const nothing = { errors: undefined, warnings: undefined };
const authority = (one: Authority) => found({ images: IMAGES, authorities: [one] });
const judged = (policy: EvaluatedPolicy) => found({ images: IMAGES, authorities: [{ key: { data: PEM } }], policy });

describe("policy validation beyond policy-controller's", () => {
  describe("signatureFormat", () => {
    for (const signatureFormat of ["", "legacy", "bundle"]) {
      it(`takes ${JSON.stringify(signatureFormat)}`, () => {
        expect(authority({ key: { data: PEM }, signatureFormat })).to.deep.equal(nothing);
      });
    }

    it("warns of what means nothing, and refuses nothing that was taken before", () => {
      expect(authority({ key: { data: PEM }, signatureFormat: "Bundle" })).to.deep.equal({
        errors: undefined,
        warnings:
          "invalid value: Bundle: spec.authorities[0].signatureFormat\nunknown format: say bundle to insist on bundles; both formats are looked for now",
      });
    });
  });

  describe("keyless.ca-cert", () => {
    const { cert } = selfSigned();
    const ca = (data: string) => authority({ keyless: { "ca-cert": { data }, identities: IDENTITIES } });

    for (const [name, data] of [
      ["a certificate", cert],
      ["a chain, with comments", `root:\n${cert}\nintermediate:\n${cert}`],
      ["public keys", PEM],
    ] as const) {
      it(`takes ${name}`, () => expect(ca(data)).to.deep.equal(nothing));
    }

    for (const [name, data] of [
      ["a broken certificate", cert.replace("MII", "MIX")],
      ["a certificate without an end", cert.replace("-----END CERTIFICATE-----", "")],
      ["a certificate and a broken one", `${cert}${cert.replace("MII", "MIX")}`],
      ["a certificate and a key", `${cert}${PEM}`],
      ["a key and a certificate", `${PEM}${cert}`],
      ["too many", cert.repeat(33)],
      ["no PEM", "certificate"],
    ] as const) {
      it(`refuses ${name}`, () => {
        expect(ca(data).errors).to.equal(`invalid value: ${data}: spec.authorities[0].keyless.ca-cert.data`);
      });
    }

    it("alone takes certificates: a key is a key", () => {
      expect(authority({ key: { data: cert } }).errors).to.equal(
        `invalid value: ${cert}: spec.authorities[0].key.data`,
      );
    });

    it("is not slowed down by beginnings without an end", () => {
      const evil = () => ca("-----BEGIN CERTIFICATE-----".repeat(50_000)).errors;
      expect(evil()).to.be.a("string");
      expect(cpuMs(evil)).to.be.lessThan(500);
    });
  });

  describe("policies", () => {
    it("may be CEL", () => expect(judged({ type: "cel", data: "true" })).to.deep.equal(nothing));

    for (const type of ["CEL", "cue ", "", "lua"]) {
      it(`of type ${JSON.stringify(type)} are refused with the words that are known`, () => {
        const says = `invalid value: ${type}: spec.type\nonly [cue,rego] are supported at the moment`;
        expect(judged({ type, data: "x" }).errors).to.equal(says);
      });
    }

    it("at a URL with a sum that nothing has are warned of", () => {
      const remote = (sha256sum: string) => judged({ type: "cue", remote: { url: "https://x", sha256sum } });
      expect(remote("0a".repeat(32))).to.deep.equal(nothing);
      for (const sum of ["0A".repeat(32), "0a".repeat(31), `sha256:${"0a".repeat(32)}`]) {
        const { errors, warnings } = remote(sum);
        expect(errors).to.equal(undefined);
        expect(warnings).to.match(new RegExp(`^invalid value: ${sum}: spec.remote.sha256sum\nthis is not a SHA-256`));
      }
    });
  });

  it("takes every match that has a meaning", () => {
    const match: MatchResource[] = [{}, { group: "apps" }, { version: "v1" }, { resource: "pods" }];
    expect(found({ images: IMAGES, authorities: [{ key: { data: PEM } }], match })).to.deep.equal(nothing);
  });
});

describe("defaults that are written", () => {
  it("are the mode, and nothing in a list", () => {
    const spec = { images: [{ glob: "**" }], authorities: [{ keyless: { identities: [] } }, { key: {} }] };
    const mode = [{ op: "add", path: "/spec/mode", value: "enforce" }];
    expect(writtenDefaults("ClusterImagePolicy", { spec })).to.deep.equal(mode);
    expect(writtenDefaults("ClusterImagePolicy", { spec: { ...spec, mode: "" } })).to.deep.equal(mode);
    expect(writtenDefaults("ClusterImagePolicy", { spec: { ...spec, mode: "warn" } })).to.deep.equal([]);
    expect(writtenDefaults("ClusterImagePolicy", { spec: { mode: "garbage" } })).to.deep.equal([]);
  });

  it("are where a TrustRoot's repository has its targets", () => {
    const root = { op: "add", path: "/spec/remote/trustedRootTarget", value: "trusted_root.json" };
    const targets = { op: "add", path: "/spec/remote/targets", value: "targets" };
    const of = (spec: object) => writtenDefaults("TrustRoot", { spec });
    expect(of({ remote: { mirror: "https://x" } })).to.have.deep.members([root, targets]);
    expect(of({ remote: { targets: "t", trustedRootTarget: "" } })).to.deep.equal([root]);
    expect(of({ repository: {} }).map(({ path }) => path)).to.have.members([
      "/spec/repository/targets",
      "/spec/repository/trustedRootTarget",
    ]);
    expect(of({ sigstoreKeys: {} })).to.deep.equal([]);
  });

  it("are none in what is no spec", () => {
    for (const object of [{}, { spec: null }, { spec: [] }, { spec: "x" }]) {
      expect(writtenDefaults("ClusterImagePolicy", object)).to.deep.equal([]);
      expect(writtenDefaults("TrustRoot", object)).to.deep.equal([]);
    }
    expect(writtenDefaults("CacheRule", { spec: {} })).to.deep.equal([]);
  });
});
