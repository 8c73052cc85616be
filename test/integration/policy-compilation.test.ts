// What the real engine says of policies that do not compile, as the webhook tells it.
import { expect } from "chai";
import { type ClosablePolicyEngine, createPolicyEngine } from "../../adapters/policy/engine.ts";
import { readConfig } from "../../core/admission/config.ts";
import { validatePolicyObject } from "../../webhooks/policies.ts";
import type { ReviewResponse } from "../../webhooks/review.ts";
import { request } from "../support/admission.ts";
import { enginePath } from "../support/policy-engine.ts";

describe("compiling policies at admission", function () {
  this.timeout(120_000);
  let engine: ClosablePolicyEngine;
  before(async function () {
    this.timeout(0);
    engine = createPolicyEngine({ path: await enginePath() });
    await engine.warm();
  });
  after(() => engine?.close());

  async function validate(policy: object, by: Pick<ClosablePolicyEngine, "check"> = engine): Promise<ReviewResponse> {
    const spec = { images: [{ glob: "**" }], authorities: [{ static: { action: "pass" } }], policy };
    const snapshot = { config: readConfig(undefined).config };
    const signal = AbortSignal.timeout(9_000);
    const dependencies = { systemNamespace: "cosign-system", configMaps: () => undefined, engine: by, signal };
    return await validatePolicyObject(request({ spec }, { kind: "ClusterImagePolicy" }), snapshot, dependencies);
  }

  for (const [type, data, message] of [
    ["cue", "a: {", "failed to compile the cue policy with error: expected '}', found 'EOF'"],
    ["cue", "a: 1\na: 2", "failed to compile the cue policy with error: a: conflicting values 2 and 1"],
    ["rego", "package sigstore\nisCompliant {", "sigstore.rego:2: rego_parse_error: unexpected eof token"],
    ["rego", "package sigstore\nisCompliant { http.send({}) }", "rego_type_error: undefined function http.send"],
    ["cel", "nosuch == 1", "undeclared reference to 'nosuch'"],
    ["cel", "1 + 1", "a policy gives a bool (true: compliant) or a string (empty: compliant)"],
  ] as const) {
    it(`refuses ${type}: ${JSON.stringify(data)}`, async () => {
      const { allowed, status } = await validate({ type, data });
      expect(allowed).to.equal(false);
      expect(status?.code).to.equal(400);
      expect(status?.message).to.match(
        new RegExp(`^validation failed: invalid ${type} policy: spec\\.policy\\.data\\n`),
      );
      expect(status?.message).to.include(message);
    });
  }

  for (const [type, data] of [
    ["cue", 'import "list"\nauthorityMatches: key: signatures: list.MinItems(1)'],
    ["rego", "package sigstore\ndefault isCompliant = false\nisCompliant { count(input.authorityMatches) > 0 }"],
    ["cel", "has(authorityMatches.key)"],
  ] as const) {
    it(`takes ${type} that compiles, without a word`, async () => {
      expect(await validate({ type, data })).to.deep.equal({ uid: "r", allowed: true });
    });
  }

  it("takes what the engine does not judge, with a warning: it may be accepted, it will not pass", async () => {
    const { allowed, warnings } = await validate({ type: "cue", data: `a: "${"x".repeat(1 << 20)}"` });
    expect(allowed).to.equal(true);
    expect(warnings?.join("\n")).to.match(/^the cue policy could not be compiled now: spec\.policy\.data\n.*1048576/);
  });

  it("waits for an engine that does not answer no longer than the user can", async () => {
    const silent = {
      check: (_: unknown, signal: AbortSignal) =>
        new Promise<never>((_resolve, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
        ),
    };
    const started = performance.now();
    const { allowed, warnings } = await validate({ type: "cue", data: "a: 1" }, silent);
    expect(allowed).to.equal(true);
    expect(warnings?.join("\n")).to.include("no answer within 6000 ms");
    expect(performance.now() - started).to.be.lessThan(30_000);
  });
});
