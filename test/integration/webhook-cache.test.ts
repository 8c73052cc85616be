// The webhook with scripted registry answers (its two ports) and a scripted API server for owners: every path of the cache, counted.
import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import jsonpatch, { type Operation } from "fast-json-patch";
import { Registry } from "prom-client";
import { systemClock } from "../../adapters/clock.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { readConfig } from "../../core/admission/config.ts";
import { type AdmissionRequest, decodeReview } from "../../core/admission/request.ts";
import { newSealKey } from "../../core/cache/keyring.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { Sealer } from "../../core/cache/seal.ts";
import { DomainError } from "../../core/errors.ts";
import type { Digest } from "../../core/image/reference.ts";
import { compilePolicy } from "../../core/policy/compile.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import type { ClusterImagePolicyObject } from "../../crds/types.ts";
import { createAdmission } from "../../webhooks/admission.ts";
import type { Snapshot } from "../../webhooks/case.ts";
import { Memory } from "../../webhooks/memory.ts";
import { WebhookMetrics } from "../../webhooks/metrics.ts";
import type { ReviewResponse } from "../../webhooks/review.ts";

const PEM = generateKeyPairSync("ec", { namedCurve: "P-256" })
  .publicKey.export({ type: "spki", format: "pem" })
  .toString();
const SIGNED = `sha256:${"a".repeat(64)}` as const;
const UNSIGNED = `sha256:${"b".repeat(64)}` as const;
const KEY = newSealKey(new Date());
const APP = "ghcr.io/team/app:v1";

type Json = { metadata: { annotations?: Record<string, string> } & Record<string, unknown> } & Record<string, unknown>;

/** What registries and API server would say, and how often they were asked. */
class Outside {
  tags = new Map<string, Digest>([[APP, SIGNED]]);
  outcome: (digest: Digest) => AuthorityOutcome = (digest) =>
    digest === SIGNED
      ? { kind: "matched", signatures: [{ id: "s1" }] }
      : { kind: "failed", message: "no signatures found" };
  owners = new Map<string, Json>();
  asked = { resolve: 0, verify: 0, owner: 0, secrets: 0 };
}

interface Replica {
  readonly memory: Memory;
  readonly metrics: Registry;
  send(
    operation: "CREATE" | "UPDATE",
    object: Json,
    options?: { oldObject?: Json; dryRun?: boolean },
  ): Promise<{ response: ReviewResponse; object: Json }>;
}

const GROUPS: Readonly<Record<string, string>> = { Pod: "", Deployment: "apps", ReplicaSet: "apps" };

function request(operation: string, object: Json, options: { oldObject?: Json; dryRun?: boolean }): AdmissionRequest {
  const kind = String(object["kind"]);
  const review = {
    uid: "r",
    operation,
    kind: { group: GROUPS[kind], version: "v1", kind },
    resource: { resource: `${kind.toLowerCase()}s` },
    namespace: "team",
    object,
    ...options,
  };
  return decodeReview({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: review });
}

async function replica(
  outside: Outside,
  change: { flag?: string; spec?: object; uid?: string; data?: Record<string, string> } = {},
): Promise<Replica> {
  const policy = {
    apiVersion: "policy.sigstore.dev/v1alpha1",
    kind: "ClusterImagePolicy",
    metadata: { name: "signed", uid: change.uid ?? "p1", generation: 1, resourceVersion: "1", creationTimestamp: "" },
    spec: { images: [{ glob: "ghcr.io/team/**" }], authorities: [{ name: "key", key: { data: PEM } }], ...change.spec },
  } as ClusterImagePolicyObject;
  const { config } = readConfig({ "dev.chainguard.enable-cip-cache": change.flag ?? "true", ...change.data });
  const snapshot: Snapshot = {
    policies: [compilePolicy(policy, () => undefined)],
    config,
    sealer: await Sealer.create({ keys: [KEY] }),
    cluster: "c1",
  };
  const client = {
    get: async () => {
      outside.asked.secrets += 1;
      return { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default" } };
    },
    getMetadata: async (_resource: unknown, name: string) => {
      outside.asked.owner += 1;
      const found = outside.owners.get(name);
      if (found === undefined) throw new DomainError("NOT_FOUND", name);
      return found;
    },
  } as unknown as KubeClient;
  const telemetry = new Registry();
  const memory = new Memory();
  const endpoints = createAdmission({
    client,
    namespace: "cosign-system",
    memory,
    metrics: new WebhookMetrics(telemetry),
    log: silentLog,
    clock: systemClock,
    snapshot: () => snapshot,
    resolve: async (reference, keychain) => {
      keychain.forRepository(reference.registry, reference.repository);
      outside.asked.resolve += 1;
      const digest = outside.tags.get(reference.asWritten);
      if (digest === undefined) throw new DomainError("REGISTRY_UNREACHABLE", "ghcr.io: connection refused");
      return digest;
    },
    verify: async ({ digest }) => {
      outside.asked.verify += 1;
      await new Promise((resolve) => setImmediate(resolve));
      return outside.outcome(digest);
    },
  });
  const ask = async (path: string, asked: AdmissionRequest) => {
    const endpoint = endpoints.get(path);
    if (endpoint === undefined) throw new Error(path);
    return await endpoint.answer(asked, AbortSignal.timeout(5_000));
  };
  return {
    memory,
    metrics: telemetry,
    async send(operation, object, options = {}) {
      const mutated = await ask("/mutations", request(operation, object, options));
      expect(mutated.allowed).to.equal(true);
      const patch =
        mutated.patch === undefined ? [] : (JSON.parse(Buffer.from(mutated.patch, "base64").toString()) as Operation[]);
      const changed = jsonpatch.applyPatch(structuredClone(object), patch, true).newDocument;
      const response = await ask("/validations", request(operation, changed, options));
      return { response, object: changed };
    },
  };
}

function owned(by: string, kind: string): object {
  return { ownerReferences: [{ apiVersion: "apps/v1", kind, name: by, uid: `uid-${by}`, controller: true }] };
}

function workload(kind: string, name: string, image: string, metadata: object = {}): Json {
  const podSpec = { containers: [{ name: "c", image }] };
  const spec = kind === "Pod" ? podSpec : { template: { metadata: {}, spec: podSpec } };
  return {
    apiVersion: kind === "Pod" ? "v1" : "apps/v1",
    kind,
    metadata: { name, uid: `uid-${name}`, ...metadata },
    spec,
  };
}

const annotation = (object: Json) => object.metadata.annotations?.[CACHE_ANNOTATION];
const imageOf = (pod: Json) => (pod["spec"] as { containers: { image: string }[] }).containers[0]?.image;
const nothing = { resolve: 0, verify: 0, owner: 0, secrets: 0 };

async function counter(registry: Registry, name: string, labels: Record<string, string>): Promise<number> {
  const metric = (await registry.getMetricsAsJSON()).find((found) => found.name === name) as
    | { values: { labels: object; value: number }[] }
    | undefined;
  const wanted = JSON.stringify(Object.entries(labels).sort());
  return metric?.values.find((found) => JSON.stringify(Object.entries(found.labels).sort()) === wanted)?.value ?? 0;
}

describe("the verification cache", () => {
  let outside: Outside;
  let first: Replica;
  beforeEach(async () => {
    outside = new Outside();
    first = await replica(outside);
  });

  /** A Deployment and its ReplicaSet as their controller makes it, both admitted. */
  async function rollout(by: Replica): Promise<{ deployment: Json; replicaSet: Json }> {
    const { object: deployment } = await by.send("CREATE", workload("Deployment", "app", APP));
    const copied = { annotations: { ...deployment.metadata.annotations }, ...owned("app", "Deployment") };
    const { object: replicaSet, response } = await by.send("CREATE", workload("ReplicaSet", "app-1", APP, copied));
    expect(response.allowed).to.equal(true);
    outside.owners.set("app", deployment).set("app-1", replicaSet);
    return { deployment, replicaSet };
  }

  it("seals a Deployment once; its ReplicaSet and 20 Pods ask no registry, no Secret and no owner", async () => {
    const { deployment, replicaSet } = await rollout(first);
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
    expect(annotation(deployment)).to.be.a("string").and.equal(annotation(replicaSet));
    outside.asked = { ...nothing };
    for (let index = 0; index < 20; index++) {
      const { response, object } = await first.send(
        "CREATE",
        workload("Pod", `p${index}`, APP, owned("app-1", "ReplicaSet")),
      );
      expect(response.allowed).to.equal(true);
      expect(imageOf(object)).to.equal(`${APP}@${SIGNED}`);
      expect(annotation(object)).to.equal(annotation(deployment));
    }
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("keeps the template as Git has it", async () => {
    const { deployment } = await rollout(first);
    expect(deployment["spec"]).to.deep.equal(workload("Deployment", "app", APP)["spec"]);
  });

  it("is there for another replica after one metadata-only read of the owner, for all Pods", async () => {
    await rollout(first);
    outside.asked = { ...nothing };
    const second = await replica(outside);
    const pods = Array.from({ length: 20 }, (_, index) =>
      second.send("CREATE", workload("Pod", `p${index}`, APP, owned("app-1", "ReplicaSet"))),
    );
    for (const { response } of await Promise.all(pods)) expect(response.allowed).to.equal(true);
    expect(outside.asked).to.deep.equal({ ...nothing, owner: 1 });
  });

  it("gives every Pod of a revision the digest that was sealed, though the tag moves to an unsigned image", async () => {
    await rollout(first);
    outside.tags.set(APP, UNSIGNED);
    const pod = await (await replica(outside)).send("CREATE", workload("Pod", "p", APP, owned("app-1", "ReplicaSet")));
    expect(imageOf(pod.object)).to.equal(`${APP}@${SIGNED}`);
    const restarted = await replica(outside);
    const template = {
      metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "now" } },
      spec: { containers: [{ name: "c", image: APP }] },
    };
    const live = outside.owners.get("app") ?? workload("Deployment", "app", APP);
    const { response } = await restarted.send("UPDATE", { ...live, spec: { template } }, { oldObject: live });
    expect(response.allowed).to.equal(false);
    expect(response.status?.message).to.include(`ghcr.io/team/app@${UNSIGNED}`);
  });

  it("verifies once for 200 Pods that come at the same time", async () => {
    const pods = Array.from({ length: 200 }, (_, index) => first.send("CREATE", workload("Pod", `p${index}`, APP)));
    for (const { response } of await Promise.all(pods)) expect(response.allowed).to.equal(true);
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
  });

  for (const [name, forge] of [
    ["edited", (text: string) => text.replace("s1", "s2")],
    ["of another image", (text: string) => text.replaceAll(SIGNED, UNSIGNED)],
    ["that is garbage", () => "records: {}\nsignature: x\n"],
  ] as const) {
    it(`discards an annotation ${name}, counts it, and verifies afresh`, async () => {
      const { object } = await first.send("CREATE", workload("Pod", "p", APP));
      const second = await replica(outside);
      outside.asked = { ...nothing };
      const forged = { annotations: { [CACHE_ANNOTATION]: forge(annotation(object) ?? "") } };
      const good = await second.send("CREATE", workload("Pod", "q", `ghcr.io/team/app@${SIGNED}`, forged));
      expect(good.response.allowed).to.equal(true);
      expect(annotation(good.object)).to.not.equal(forged.annotations[CACHE_ANNOTATION]);
      const bad = await second.send("CREATE", workload("Pod", "q", `ghcr.io/team/app@${UNSIGNED}`, forged));
      expect(bad.response.allowed).to.equal(false);
      expect(annotation(bad.object)).to.equal(undefined);
      expect(outside.asked.verify).to.equal(2);
      const reason = name === "that is garbage" ? "unsigned" : "signature";
      expect(
        await counter(second.metrics, "entrepot_cache_refusals_total", { level: "own", reason }),
      ).to.be.greaterThan(0);
    });
  }

  it("believes no owner that is not the one named by UID", async () => {
    await rollout(first);
    const second = await replica(outside);
    outside.owners.set("app-1", {
      ...(outside.owners.get("app-1") as Json),
      metadata: { name: "app-1", uid: "other", annotations: {} },
    });
    outside.asked = { ...nothing };
    await second.send("CREATE", workload("Pod", "p", APP, owned("app-1", "ReplicaSet")));
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
  });

  it("gives a forged ownerReference nothing that the image has not earned", async () => {
    await rollout(first);
    const { response } = await first.send(
      "CREATE",
      workload("Pod", "p", `ghcr.io/team/app@${UNSIGNED}`, owned("app-1", "ReplicaSet")),
    );
    expect(response.allowed).to.equal(false);
  });

  it("misses when the policy changed, is another one of the same name, the epoch moved, or time ran out", async () => {
    await rollout(first);
    for (const change of [{ spec: { mode: "warn" } }, { uid: "p2" }, { data: { "dev.entrepot.cache-epoch": "1" } }]) {
      outside.asked = { ...nothing };
      const later = await replica(outside, change);
      await later.send("CREATE", workload("Pod", "p", APP, owned("app-1", "ReplicaSet")));
      expect(outside.asked.verify, JSON.stringify(change)).to.equal(1);
    }
  });

  it("off: neither writes nor believes annotations", async () => {
    await rollout(first);
    const off = await replica(outside, { flag: "false" });
    outside.asked = { ...nothing };
    const { response, object } = await off.send("CREATE", workload("Pod", "p", APP, owned("app-1", "ReplicaSet")));
    expect(response.allowed).to.equal(true);
    expect(annotation(object)).to.equal(undefined);
    expect(outside.asked).to.include({ verify: 1, owner: 0 });
  });

  it("leaves an UPDATE that changes no image alone: no patch, nobody asked, even when the policy would refuse now", async () => {
    const { deployment } = await rollout(first);
    const strict = await replica(outside, { uid: "p9" });
    outside.outcome = () => ({ kind: "failed", message: "revoked" });
    outside.asked = { ...nothing };
    const scaled = { ...deployment, spec: { ...(deployment["spec"] as object), replicas: 20 } };
    const { response, object } = await strict.send("UPDATE", scaled, { oldObject: deployment });
    expect(response.allowed).to.equal(true);
    expect(object).to.deep.equal(scaled);
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("repairs an annotation that an UPDATE edits", async () => {
    const { deployment } = await rollout(first);
    const edited = structuredClone(deployment);
    edited.metadata.annotations = { [CACHE_ANNOTATION]: "records: {}\nsignature: x\n" };
    const { response, object } = await first.send("UPDATE", edited, { oldObject: deployment });
    expect(response.allowed).to.equal(true);
    expect(annotation(object)).to.equal(annotation(deployment));
  });

  it("gives a dry run the same bytes as the real run", async () => {
    const dry = await first.send("CREATE", workload("Pod", "p", APP), { dryRun: true });
    const real = await first.send("CREATE", workload("Pod", "p", APP));
    expect(real.object).to.deep.equal(dry.object);
  });

  it("never seals and never remembers what could not be decided", async () => {
    outside.outcome = () => ({ kind: "undecided", message: "ghcr.io: connection refused" });
    const down = await first.send("CREATE", workload("Pod", "p", APP));
    expect(down.response.allowed).to.equal(false);
    expect(down.response.status?.message).to.include("connection refused");
    expect(annotation(down.object)).to.equal(undefined);
    outside.outcome = new Outside().outcome;
    expect((await first.send("CREATE", workload("Pod", "p", APP))).response.allowed).to.equal(true);
  });

  it("shields the registry from a crowd of refused Pods for a few seconds", async () => {
    outside.tags.set(APP, UNSIGNED);
    for (let index = 0; index < 20; index++) {
      expect((await first.send("CREATE", workload("Pod", `p${index}`, APP))).response.allowed).to.equal(false);
    }
    expect(outside.asked).to.include({ resolve: 1, verify: 1 });
  });

  it("says why when a tag cannot be resolved, and admits nothing", async () => {
    const { response } = await first.send("CREATE", workload("Pod", "p", "ghcr.io/team/gone:v1"));
    expect(response.allowed).to.equal(false);
    expect(response.status).to.deep.include({ code: 400, reason: "BadRequest" });
    expect(response.status?.message).to.match(
      /^validation failed: failed policy: signed: spec\.containers\[0\]\.image\nghcr\.io\/team\/gone:v1 .*connection refused/,
    );
  });

  it("asks no registry for a static policy, not even for the tag", async () => {
    const fixed = await replica(outside, { spec: { authorities: [{ static: { action: "pass" } }] } });
    const { response, object } = await fixed.send("CREATE", workload("Pod", "p", APP));
    expect(response.allowed).to.equal(true);
    expect(imageOf(object)).to.equal(APP);
    expect(outside.asked).to.deep.equal(nothing);
  });

  it("does not start over for an object that is being deleted", async () => {
    const leaving = workload("Pod", "p", "ghcr.io/team/gone:v1", { deletionTimestamp: "2026-01-01T00:00:00Z" });
    expect((await first.send("UPDATE", leaving, { oldObject: leaving })).response.allowed).to.equal(true);
  });
});
