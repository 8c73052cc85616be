import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { expect } from "chai";
import { loadAll } from "js-yaml";
import { DomainError } from "../../core/errors.ts";
import { readOperatorConfig } from "../../operator/config.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";

const DEPLOY = join(import.meta.dirname, "../../deploy");

interface Variable {
  readonly name: string;
  readonly value?: string;
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: { template: { spec: { containers: { env: Variable[] }[] } } };
}

describe("The component deploy/cluster-wide", () => {
  let cluster: ClusterHandle;
  let overlay: string;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    overlay = mkdtempSync(join(tmpdir(), "entrepot-overlay-"));
  });
  after(() => rmSync(overlay, { recursive: true, force: true }));

  async function operatorEnv(components: readonly string[], patches: readonly object[] = []): Promise<Variable[]> {
    const at = (name: string) => relative(overlay, join(DEPLOY, name));
    const kustomization = { resources: [at("base")], components: components.map(at), patches };
    writeFileSync(join(overlay, "kustomization.yaml"), JSON.stringify(kustomization)); // JSON is YAML
    const manifests = loadAll(await cluster.kubectl(["kustomize", overlay])) as Manifest[];
    const operator = manifests.find(({ kind, metadata }) => kind === "Deployment" && metadata.name === "operator");
    return operator?.spec.template.spec.containers[0]?.env ?? [];
  }
  const scopeOf = (env: readonly Variable[]) =>
    readOperatorConfig({ GATEWAY_IMAGE: "x", ...Object.fromEntries(env.map(({ name, value }) => [name, value])) })
      .enforcement;

  it("turns enforcement on for all namespaces, and leaves the rest of the operator alone", async () => {
    const plain = await operatorEnv([]);
    const wide = await operatorEnv(["cluster-wide"]);
    expect(scopeOf(plain)).to.deep.equal({ kind: "opt-in", excluded: [] });
    expect(scopeOf(wide)).to.deep.equal({ kind: "cluster", excluded: [] });
    expect(wide).to.include.deep.members(plain);
    expect(plain).to.not.deep.equal([]);
  });

  it("lets an overlay name the exclusions", async () => {
    const env = [{ name: "EXCLUDED_NAMESPACES", value: "monitoring,istio-system" }];
    const patch = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "operator" },
      spec: { template: { spec: { containers: [{ name: "operator", env }] } } },
    };
    const wide = await operatorEnv(
      ["cluster-wide"],
      [{ target: { kind: "Deployment", name: "operator" }, patch: JSON.stringify(patch) }],
    );
    expect(scopeOf(wide)).to.deep.equal({ kind: "cluster", excluded: ["monitoring", "istio-system"] });
  });

  for (const env of [{ ENFORCEMENT: "everywhere" }, { EXCLUDED_NAMESPACES: "Team A" }]) {
    it(`does not start with ${JSON.stringify(env)}: nobody is told a scope that is not meant`, () => {
      expect(() => readOperatorConfig({ GATEWAY_IMAGE: "x", ...env }))
        .to.throw(DomainError, /^operator configuration: ENFORCEMENT, EXCLUDED_NAMESPACES: "/)
        .with.property("code", "CONFIG_INVALID");
    });
  }
});
