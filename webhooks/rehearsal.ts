// The first admissions of a process run in code that V8 has not compiled yet, at several times their cost. Here a replica goes through
// admissions of its own making before it says that it is ready. Nothing of it is real, and nothing of it stays but compiled code.
import { generateKeyPairSync } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import jsonpatch, { type Operation } from "fast-json-patch";
import { Registry } from "prom-client";
import type { Clock } from "../adapters/clock.ts";
import type { KubeClient, KubeObject } from "../adapters/kube/types.ts";
import { silentLog } from "../adapters/telemetry/log.ts";
import { readConfig } from "../core/admission/config.ts";
import { decodeReview } from "../core/admission/request.ts";
import { newSealKey } from "../core/cache/keyring.ts";
import { Sealer } from "../core/cache/seal.ts";
import { DomainError } from "../core/errors.ts";
import type { Digest } from "../core/image/reference.ts";
import { compilePolicy } from "../core/policy/compile.ts";
import type { ClusterImagePolicyObject } from "../crds/types.ts";
import { createAdmission } from "./admission.ts";
import type { Snapshot } from "./case.ts";
import { Memory } from "./memory.ts";
import { WebhookMetrics } from "./metrics.ts";
import type { ReviewResponse } from "./review.ts";
import type { Endpoint } from "./server.ts";

const NAMESPACE = "rehearsal";
const LIMIT_MS = 1_000;
const ROUNDS = 600;
const CONFIG = { "dev.chainguard.enable-cip-cache": "true" };

type Workload = KubeObject & { readonly spec: object };
type Endpoints = ReadonlyMap<string, Endpoint>;

/** Whatever is asked for is not there. */
const nothing = () => undefined;

function snapshotAt(now: Date): Snapshot {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const data = publicKey.export({ type: "spki", format: "pem" }).toString();
  const policy: ClusterImagePolicyObject = {
    apiVersion: "policy.sigstore.dev/v1beta1",
    kind: "ClusterImagePolicy",
    metadata: { name: NAMESPACE, uid: NAMESPACE, generation: 1, resourceVersion: "1", creationTimestamp: "" },
    spec: { images: [{ glob: "registry.invalid/**" }], authorities: [{ name: "key", key: { data } }] },
  };
  const sources = { secrets: nothing, configMaps: nothing, resolved: nothing, trustedRoot: nothing };
  return {
    policies: [compilePolicy(policy, sources)],
    config: readConfig(CONFIG).config,
    sealer: new Sealer({ keys: [newSealKey(now)] }),
    cluster: NAMESPACE,
  };
}

/** A replica beside which there is no world: every image is signed, and owners are those in `owners`. */
function replica(snapshot: Snapshot, owners: ReadonlyMap<string, KubeObject>, clock: Clock): Endpoints {
  const found = (name: string): KubeObject => {
    const owner = owners.get(name);
    if (owner === undefined) throw new DomainError("NOT_FOUND", `${name} is not in the rehearsal`);
    return owner;
  };
  const account: KubeObject = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default" } };
  const client = { get: async () => account, getMetadata: async (_resource: unknown, name: string) => found(name) };
  return createAdmission({
    client: client as unknown as KubeClient,
    namespace: NAMESPACE,
    memory: new Memory(clock),
    metrics: new WebhookMetrics(new Registry()),
    log: silentLog,
    clock,
    snapshot: () => snapshot,
    resolve: async ({ repository }) => digestOf(repository),
    verify: async () => ({ kind: "matched", match: { signatures: [{ id: NAMESPACE }] } }),
    configFiles: async () => "{}",
    configMaps: nothing,
    checkRepository: async () => undefined,
    events: { record: nothing },
    engine: { check: async () => undefined, evaluate: async () => ({ kind: "compliant" }) },
  });
}

function digestOf(repository: string): Digest {
  return `sha256:${Buffer.from(repository).toString("hex").padEnd(64, "0").slice(0, 64)}`;
}

const APPS = "apps/v1";

function workload(kind: "Pod" | "ReplicaSet", name: string, image: string, owner?: KubeObject): Workload {
  const resources = { requests: { cpu: "100m", memory: "64Mi" }, limits: { memory: "128Mi" } };
  const podSpec = { serviceAccountName: "default", containers: [{ name: "app", image, resources }] };
  const ownerReferences = [owner].flatMap((each) =>
    each === undefined
      ? []
      : [
          {
            apiVersion: APPS,
            kind: each.kind,
            name: each.metadata.name,
            uid: each.metadata.uid ?? "",
            controller: true,
          },
        ],
  );
  return {
    apiVersion: kind === "Pod" ? "v1" : APPS,
    kind,
    metadata: {
      name,
      namespace: NAMESPACE,
      uid: `${kind}-${name}`,
      labels: { app: name },
      ...(owner !== undefined && { ownerReferences }),
    },
    spec: kind === "Pod" ? podSpec : { replicas: 1, template: { metadata: { labels: { app: name } }, spec: podSpec } },
  };
}

async function ask(endpoints: Endpoints, path: string, object: Workload): Promise<ReviewResponse> {
  const group = object.kind === "Pod" ? "" : "apps";
  const request = {
    uid: NAMESPACE,
    operation: "CREATE",
    kind: { group, version: "v1", kind: object.kind },
    resource: { group, version: "v1", resource: `${object.kind.toLowerCase()}s` },
    namespace: NAMESPACE,
    object,
  };
  const review = JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request });
  const endpoint = endpoints.get(path);
  if (endpoint === undefined) throw new DomainError("NOT_FOUND", `the admission has no ${path}`);
  return await endpoint.answer(decodeReview(JSON.parse(review)), AbortSignal.timeout(LIMIT_MS));
}

/** Both webhooks, one after the other, as the API server asks them. */
async function admit(endpoints: Endpoints, object: Workload): Promise<Workload> {
  const { patch } = await ask(endpoints, "/mutations", object);
  const operations = patch === undefined ? [] : (JSON.parse(Buffer.from(patch, "base64").toString()) as Operation[]);
  const changed = jsonpatch.applyPatch(structuredClone(object), operations).newDocument;
  const { allowed } = await ask(endpoints, "/validations", changed);
  if (!allowed) throw new DomainError("REHEARSAL_FAILED", `a rehearsed ${object.kind} was refused`);
  return changed;
}

/**
 * Goes through admissions for at most a second, leaving room for everything else between them: of a ReplicaSet, of its Pod by a replica that has to read the
 * owner, and of a Pod that memory knows. Gives the number of rounds. Rejects when one of them is not admitted.
 */
export async function rehearse(clock: Clock): Promise<number> {
  const end = clock.monotonicMs() + LIMIT_MS;
  const owners = new Map<string, KubeObject>();
  const snapshot = snapshotAt(clock.now());
  const [first, second] = [replica(snapshot, owners, clock), replica(snapshot, owners, clock)];
  let round = 0;
  for (; round < ROUNDS && clock.monotonicMs() < end; round++) {
    const image = `registry.invalid/rehearsal-${round}:v1`;
    const owner = await admit(first, workload("ReplicaSet", `set-${round}`, image));
    owners.set(owner.metadata.name, owner);
    await admit(second, workload("Pod", `first-${round}`, image, owner));
    await admit(second, workload("Pod", `second-${round}`, image, owner));
    await turn();
  }
  return round;
}
