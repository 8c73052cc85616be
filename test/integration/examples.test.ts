import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { loadAll } from "js-yaml";
import { validateClusterImagePolicy } from "../../core/policy/validate.ts";
import { validateTrustRoot } from "../../core/policy/validate-trustroot.ts";
import type { IClusterImagePolicy, ITrustRoot } from "../../crds/index.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";
import { install } from "../support/install.ts";

const PROJECT = join(import.meta.dirname, "../..");
const EXAMPLES = join(PROJECT, "examples");
const FILES = readdirSync(EXAMPLES).filter((name) => name.endsWith(".yaml"));

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

const objects = (file: string): readonly Manifest[] =>
  loadAll(readFileSync(join(EXAMPLES, file), "utf8")) as Manifest[];

describe("Every example", () => {
  let cluster: ClusterHandle;

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    await install(cluster, "crds");
    const { code, stderr } = await cluster.run([cluster.program("kubectl"), "create", "namespace", "cosign-system"]);
    if (code !== 0) expect(stderr).to.include("AlreadyExists"); // the installation brings it
  });

  it("is listed in the README", () => {
    const readme = readFileSync(join(EXAMPLES, "README.md"), "utf8");
    expect(FILES.filter((file) => !readme.includes(`\`${file}\``))).to.deep.equal([]);
  });

  for (const file of FILES) {
    // A dry run goes the whole way but for the writing, so that examples change nothing in a cluster that is in use.
    it(`${file} is taken by the API server, every field of it`, async function () {
      this.timeout(120_000);
      const path = join(EXAMPLES, file);
      const applied = await cluster.kubectl(["apply", "--dry-run=server", "--validate=strict", "-f", path]);
      expect(applied.trim().split("\n")).to.have.length(objects(file).length);
    });
  }

  const judged = FILES.flatMap((file) => objects(file).map((object) => ({ file, object }))).filter(
    ({ object }) => object.kind === "ClusterImagePolicy" || object.kind === "TrustRoot",
  );
  for (const { file, object } of judged) {
    it(`${file}: ${object.kind} ${object.metadata.name} is taken by the policy webhook, without a warning`, () => {
      const options = { systemNamespace: "cosign-system", failOnEmptyAuthorities: true };
      const said =
        object.kind === "TrustRoot"
          ? validateTrustRoot(object as unknown as ITrustRoot)
          : validateClusterImagePolicy(object as IClusterImagePolicy, options);
      expect(said).to.deep.equal({ errors: undefined, warnings: [] });
    });
  }
});
