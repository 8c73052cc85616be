// What Argo CD thinks of our kinds with examples/argocd/health.yaml: its own Lua, over status as the operator writes it.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { load } from "js-yaml";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  CLUSTER_IMAGE_POLICIES,
  CONDITION,
  REASON,
  TRUST_ROOTS,
} from "../../crds/index.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { argoCdObstacle } from "../support/argocd.ts";

const FILE = join(import.meta.dirname, "../../examples/argocd/health.yaml");
const ALL = [CACHE_RULES, CACHE_REGISTRIES, CLUSTER_IMAGE_POLICIES, TRUST_ROOTS];
type Kind = (typeof ALL)[number]["kind"];
const GENERATION = 3;

const condition = (type: string, status: string, reason: string, observedGeneration = GENERATION) => ({
  type,
  status,
  reason,
  observedGeneration,
  message: `said of ${reason}`,
});

const groupOf = (kind: Kind) => ALL.find((one) => one.kind === kind)?.group;

const object = (kind: Kind, conditions?: readonly object[], spec: object = {}) => ({
  apiVersion: `${groupOf(kind)}/v1alpha1`,
  kind,
  metadata: { name: "it", generation: GENERATION },
  spec,
  ...(conditions && { status: { observedGeneration: GENERATION, conditions } }),
});

interface Health {
  readonly status: string;
  readonly message?: string;
}

describe("The health of our kinds in Argo CD", function () {
  this.timeout(30_000);
  let binary: string;

  before(async function () {
    this.timeout(0);
    const settings = settingsFrom(process.env);
    const obstacle = await argoCdObstacle({ settings });
    if (obstacle !== undefined) {
      console.error(`      skipped: the health of our kinds in Argo CD: ${obstacle}`);
      this.skip();
    }
    binary = await ensureTool(settings, "argocd");
  });

  /** Argo CD's judgement of each, in order; null of a kind that it has no script for. */
  async function judge(...objects: readonly object[]): Promise<readonly (Health | null)[]> {
    const child = spawn(binary, ["health", FILE], { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.end(objects.map((one) => JSON.stringify(one)).join("\n"));
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    if (err !== "") throw new Error(err);
    return out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Health | null);
  }

  const statuses = async (...objects: readonly object[]) => (await judge(...objects)).map((one) => one?.status);

  const isReady = (status: string, reason: string, generation?: number) => [
    condition(CONDITION.Ready, status, reason, generation),
  ];

  it("is told by the example for every kind that we have, and for no other", async () => {
    const { data } = load(readFileSync(FILE, "utf8")) as { readonly data: Readonly<Record<string, string>> };
    const keys = ALL.map(({ group, kind }) => `resource.customizations.health.${group}_${kind}`);
    expect(Object.keys(data)).to.have.members(keys);
    const foreign = { apiVersion: "example.com/v1", kind: "CacheRule", metadata: { name: "it" } };
    expect(await judge(foreign)).to.deep.equal([null]);
  });

  for (const { kind } of ALL)
    it(`${kind}: follows Ready, of this generation alone`, async () => {
      const judged = await judge(
        object(kind, isReady("True", REASON.Ready)),
        object(kind, isReady("False", REASON.InvalidSpec)),
        object(kind, isReady("True", REASON.Ready, GENERATION - 1)),
        object(kind, isReady("False", REASON.InvalidSpec, GENERATION - 1)),
        object(kind, []),
        object(kind),
      );
      const unseen = { status: "Progressing", message: "Entrepot's operator has not looked at this generation yet" };
      expect(judged).to.deep.equal([
        { status: "Healthy", message: "said of Ready" },
        { status: "Degraded", message: "said of InvalidSpec" },
        unseen,
        unseen,
        unseen,
        unseen,
      ]);
    });

  it("CacheRule: suspended is Suspended; one that is not accepted is Degraded, with the reason", async () => {
    const refused = condition(CONDITION.Accepted, "False", REASON.Conflict);
    const stale = condition(CONDITION.Accepted, "False", REASON.Conflict, GENERATION - 1);
    const waiting = condition(CONDITION.Ready, "False", REASON.Progressing);
    const judged = await judge(
      object("CacheRule", isReady("False", REASON.Suspended), { suspend: true }),
      object("CacheRule", isReady("True", REASON.Ready), { suspend: false }),
      object("CacheRule", [refused, waiting]),
      object("CacheRule", [stale, waiting]),
    );
    expect(judged).to.deep.equal([
      { status: "Suspended", message: "spec.suspend is true" },
      { status: "Healthy", message: "said of Ready" },
      { status: "Degraded", message: "said of Conflict" },
      { status: "Progressing", message: "said of Progressing" },
    ]);
  });

  it("what passes by itself is Progressing, and what serves on from what it has is Healthy", async () => {
    const passing = [
      ["CacheRule", REASON.Creating],
      ["CacheRule", REASON.Updating],
      ["CacheRule", REASON.GatewayNotReady],
      ["CacheRule", REASON.BackendNotReady],
      ["CacheRegistry", REASON.Throttled],
      ["ClusterImagePolicy", REASON.WaitingForWebhooks],
      ["TrustRoot", REASON.UpdatingConfigMap],
    ] as const;
    const objects = passing.map(([kind, reason]) => object(kind, isReady("False", reason)));
    expect(new Set(await statuses(...objects))).to.deep.equal(new Set(["Progressing"]));
    const lasting = [
      object("CacheRule", isReady("True", REASON.ServingFromCache)),
      object("ClusterImagePolicy", isReady("True", REASON.LastGood)),
    ];
    expect(await statuses(...lasting)).to.deep.equal(["Healthy", "Healthy"]);
    const broken = [
      object("CacheRule", isReady("False", REASON.UpstreamUnreachable)),
      object("CacheRegistry", isReady("False", REASON.SignInFailed)),
      object("ClusterImagePolicy", isReady("False", REASON.CompileFailed)),
      object("TrustRoot", isReady("False", REASON.InliningKeysFailed)),
    ];
    expect(new Set(await statuses(...broken))).to.deep.equal(new Set(["Degraded"]));
  });
});
