// The webhook with scripted registry answers (its two ports) and a scripted API server for owners: a fake, and named one.
import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import jsonpatch, { type Operation } from "fast-json-patch";
import { Registry } from "prom-client";
import type { RegistryPorts } from "../../adapters/caches/lookups.ts";
import { type Clock, systemClock } from "../../adapters/clock.ts";
import type { EventNote } from "../../adapters/kube/events.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { LONGEST_CACHE_TTL_SECONDS, readConfig } from "../../core/admission/config.ts";
import { type AdmissionRequest, decodeReview } from "../../core/admission/request.ts";
import { dropsLiveKey, type Keyring, newSealKey } from "../../core/cache/keyring.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { Sealer } from "../../core/cache/seal.ts";
import { NO_NAMES } from "../../core/cachenames/names.ts";
import type { CacheNames } from "../../core/cachenames/types.ts";
import { DomainError } from "../../core/errors.ts";
import type { Digest } from "../../core/image/reference.ts";
import { compilePolicy } from "../../core/policy/compile.ts";
import type {
  AuthorityOutcome,
  CompiledPolicy,
  EvaluationInput,
  EvaluationResult,
  Evaluator,
  SignedAuthority,
} from "../../core/policy/types.ts";
import type { ClusterImagePolicyObject } from "../../crds/types.ts";
import { createAdmission } from "../../webhooks/admission.ts";
import type { Snapshot } from "../../webhooks/case.ts";
import { Memory } from "../../webhooks/memory.ts";
import { WebhookMetrics } from "../../webhooks/metrics.ts";
import type { ReviewResponse } from "../../webhooks/review.ts";
import { sources } from "./admission.ts";

const PEM = generateKeyPairSync("ec", { namedCurve: "P-256" })
  .publicKey.export({ type: "spki", format: "pem" })
  .toString();
export const SIGNED = `sha256:${"a".repeat(64)}` as const;
export const UNSIGNED = `sha256:${"b".repeat(64)}` as const;
/** The seal key of a replica that was given none. */
export const KEY = newSealKey(new Date());
export const APP = "ghcr.io/team/app:v1";
/** Nobody was asked. */
export const nothing = { resolve: 0, verify: 0, configFiles: 0, evaluate: 0, owner: 0, secrets: 0 };

export type Json = { metadata: { annotations?: Record<string, string> } & Record<string, unknown> } & Record<
  string,
  unknown
>;

/** What registries and API server would say, and how often they were asked. */
export class Outside {
  tags = new Map<string, Digest>([[APP, SIGNED]]);
  outcome: (digest: Digest, authority: SignedAuthority) => AuthorityOutcome = (digest) =>
    digest === SIGNED
      ? { kind: "matched", match: { signatures: [{ id: "s1" }] } }
      : { kind: "failed", message: "no signatures found" };
  /** What policies in CUE, Rego and CEL say of what they are shown. */
  evaluation: (evaluator: Evaluator, input: EvaluationInput) => EvaluationResult | Promise<EvaluationResult> = () => ({
    kind: "compliant",
  });
  /** The configurations of every image, as JSON. */
  configFiles: string | Error = "{}";
  owners = new Map<string, Json>();
  /** The Events that were noted. */
  events: EventNote[] = [];
  asked = { ...nothing };
  /** In place of all that is said of registries above. */
  ports: Partial<RegistryPorts> = {};
}

/** One webhook replica with scripted ports. */
export interface Replica {
  readonly memory: Memory;
  readonly metrics: Registry;
  /** What it decides by. */
  readonly snapshot: Snapshot;
  /** Gives it another world to decide by, as informers do; its memory stays. */
  become(change: Change): Promise<void>;
  /** Hands one webhook, by its path, a request as the API server sends it. */
  ask(path: string, asked: AdmissionRequest, signal?: AbortSignal): Promise<ReviewResponse>;
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

/** How a replica's world differs from the usual one; `others` are the specs of more policies, `annotations` those of the first. */
export interface Change {
  readonly flag?: string;
  readonly spec?: object;
  readonly uid?: string;
  readonly data?: Record<string, string>;
  readonly others?: readonly object[];
  readonly annotations?: Record<string, string>;
  readonly keyring?: Keyring;
  readonly sealer?: Sealer;
  readonly cluster?: string;
  readonly names?: CacheNames;
}

async function world(change: Change): Promise<Snapshot> {
  const { config } = readConfig({ "dev.chainguard.enable-cip-cache": change.flag ?? "true", ...change.data });
  return {
    policies: [
      policy("signed", change.uid ?? "p1", change.spec, change.annotations),
      ...(change.others ?? []).map((spec, index) => policy(`other-${index}`, `o${index}`, spec)),
    ],
    config,
    names: change.names ?? NO_NAMES,
    sealer: change.sealer ?? new Sealer(change.keyring ?? { keys: [KEY] }),
    cluster: change.cluster ?? "c1",
  };
}

function policy(
  name: string,
  uid: string,
  spec: object | undefined,
  annotations: Record<string, string> = {},
): CompiledPolicy {
  const object = {
    apiVersion: "policy.sigstore.dev/v1alpha1",
    kind: "ClusterImagePolicy",
    metadata: { name, uid, generation: 1, resourceVersion: "1", creationTimestamp: "", annotations },
    spec: { images: [{ glob: "ghcr.io/team/**" }], authorities: [{ name: "key", key: { data: PEM } }], ...spec },
  } as ClusterImagePolicyObject;
  return compilePolicy(object, sources());
}

/** A replica as it is right after its start. */
export async function replica(outside: Outside, change: Change = {}, clock: Clock = systemClock): Promise<Replica> {
  let snapshot = await world(change);
  let keyring = change.keyring ?? { keys: [KEY] };
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
  const memory = new Memory(clock);
  const endpoints = createAdmission({
    client,
    namespace: "cosign-system",
    memory,
    metrics: new WebhookMetrics(telemetry),
    log: silentLog,
    clock,
    snapshot: () => snapshot,
    resolve: async (reference, keychain) => {
      keychain.forRepository(reference.registry, reference.repository);
      outside.asked.resolve += 1;
      const digest = outside.tags.get(reference.asWritten);
      if (digest === undefined) throw new DomainError("REGISTRY_UNREACHABLE", "ghcr.io: connection refused");
      return digest;
    },
    verify: async ({ digest }, authority) => {
      outside.asked.verify += 1;
      await new Promise((resolve) => setImmediate(resolve));
      return outside.outcome(digest, authority);
    },
    configFiles: async () => {
      outside.asked.configFiles += 1;
      if (outside.configFiles instanceof Error) throw outside.configFiles;
      return outside.configFiles;
    },
    configMaps: () => undefined,
    ...outside.ports,
    checkRepository: async () => undefined,
    events: { record: (note) => void outside.events.push(note) },
    engine: {
      check: async () => undefined,
      evaluate: async (evaluator, input) => {
        outside.asked.evaluate += 1;
        return await outside.evaluation(evaluator, input);
      },
    },
  });
  const ask = async (path: string, asked: AdmissionRequest, signal = AbortSignal.timeout(30_000)) => {
    const endpoint = endpoints.get(path);
    if (endpoint === undefined) throw new Error(path);
    return await endpoint.answer(asked, signal);
  };
  return {
    memory,
    metrics: telemetry,
    ask,
    get snapshot() {
      return snapshot;
    },
    async become(next) {
      snapshot = await world(next);
      const after = next.keyring ?? { keys: [KEY] };
      memory.forgetSeals(dropsLiveKey(keyring, after, LONGEST_CACHE_TTL_SECONDS, clock.now()));
      keyring = after;
    },
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

/** Metadata that names a controller as owner. */
export function owned(by: string, kind: string): object {
  return { ownerReferences: [{ apiVersion: "apps/v1", kind, name: by, uid: `uid-${by}`, controller: true }] };
}

/** A workload with one container. */
export function workload(kind: string, name: string, image: string, metadata: object = {}): Json {
  const podSpec = { containers: [{ name: "c", image }] };
  const spec = kind === "Pod" ? podSpec : { template: { metadata: {}, spec: podSpec } };
  return {
    apiVersion: kind === "Pod" ? "v1" : "apps/v1",
    kind,
    metadata: { name, uid: `uid-${name}`, ...metadata },
    spec,
  };
}

export const annotation = (object: Json) => object.metadata.annotations?.[CACHE_ANNOTATION];
export const imageOf = (pod: Json) => (pod["spec"] as { containers: { image: string }[] }).containers[0]?.image;
