// An annotation `entrepot.dev/cache-ttl` that means nothing is told to who writes it, and stops nobody.
import { expect } from "chai";
import { readConfig } from "../../core/admission/config.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { validatePolicyObject } from "../../webhooks/policies.ts";
import { PEM, request } from "../support/admission.ts";

const SPEC = { images: [{ glob: "ghcr.io/**" }], authorities: [{ name: "k", key: { data: PEM } }] };

async function warnings(annotations: Record<string, string>): Promise<readonly string[]> {
  const object = {
    apiVersion: "policy.sigstore.dev/v1alpha1",
    kind: "ClusterImagePolicy",
    metadata: { name: "p", annotations },
    spec: SPEC,
  };
  const asked = request(object, { group: "policy.sigstore.dev", kind: "ClusterImagePolicy" });
  const response = await validatePolicyObject(asked, readConfig({}), {
    systemNamespace: "cosign-system",
    engine: { check: async () => undefined },
    configMaps: () => undefined,
    signal: AbortSignal.timeout(5_000),
  });
  expect(response.allowed).to.equal(true);
  return response.warnings ?? [];
}

describe("the annotation cache-ttl of a policy", () => {
  it("is a warning when it cannot be read", async () => {
    const [warning, ...more] = await warnings({ [ANNOTATION.cacheTtl]: "forever" });
    expect(more).to.deep.equal([]);
    expect(warning).to.equal(
      'metadata.annotations[entrepot.dev/cache-ttl]: "forever" is no duration between 1s and 30d, nor 0 (never cached); dev.entrepot.cache-ttl of config-policy-controller is used',
    );
  });

  it("is none when it can, or is not there", async () => {
    expect(await warnings({ [ANNOTATION.cacheTtl]: "1h" })).to.deep.equal([]);
    expect(await warnings({})).to.deep.equal([]);
  });
});
