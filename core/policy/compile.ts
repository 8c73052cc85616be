import { createHash } from "node:crypto";
import type { Authority, ClusterImagePolicyObject, ClusterImagePolicySpec, KeyRef } from "../../crds/index.ts";
import { messageOf } from "../errors.ts";
import { compileGlob, type Glob } from "../image/glob.ts";
import { parseReference, repositoryName } from "../image/reference.ts";
import { defaultClusterImagePolicy } from "./defaults.ts";
import { parsePublicKeys } from "./publickeys.ts";
import type { CompiledAuthority, CompiledMatch, CompiledPolicy, HashAlgorithm, SignatureSource } from "./types.ts";

/** Secrets of the system namespace by name, each the raw bytes by key; undefined where there is none. */
export type SecretLookup = (name: string) => Readonly<Record<string, Uint8Array>> | undefined;

/** Moves whenever the meaning of a compiled policy does, so that no record of an older engine is believed. */
const ENGINE_VERSION = 1;

class Uncompilable extends Error {}

function publicKeys(pem: string, where: string): readonly string[] {
  try {
    return parsePublicKeys(pem).map((key) => key.export({ type: "spki", format: "pem" }).toString());
  } catch (thrown) {
    throw new Uncompilable(`${where}: ${messageOf(thrown)}`);
  }
}

function secretKey(key: KeyRef, secrets: SecretLookup): string {
  const name = key.secretRef?.name ?? "";
  const secret = secrets(name);
  if (secret === undefined)
    throw new Uncompilable(`secret "${name}" is not in the system namespace: create it with the public key in it`);
  const entries = Object.values(secret);
  if (entries.length === 0) throw new Uncompilable(`secret "${name}" contains no data`);
  if (entries.length > 1)
    throw new Uncompilable(`secret "${name}" contains multiple data entries, only one is supported`);
  return Buffer.from(entries[0] ?? new Uint8Array()).toString("utf8");
}

function hashAlgorithmOf(text: string | undefined): HashAlgorithm {
  const name = (text ?? "").trim().toLowerCase() || "sha256";
  if (name === "sha224" || name === "sha256" || name === "sha384" || name === "sha512") return name;
  throw new Uncompilable(`hashAlgorithm "${text}" is none of sha224, sha256, sha384, sha512`);
}

function sourceOf(authority: Authority): SignatureSource {
  const source = authority.source?.[0];
  const oci = source?.oci;
  const pullSecrets = (source?.signaturePullSecrets ?? []).flatMap(({ name }) => (name ? [name] : []));
  return {
    pullSecrets,
    ...(oci ? { repository: repositoryName(parseReference(oci)) } : {}),
    ...(source?.tagPrefix ? { tagPrefix: source.tagPrefix } : {}),
  };
}

/** Parts of the API that this version does not evaluate; ignoring one would weaken the policy. */
function unsupportedPart(authority: Authority): string | undefined {
  if (authority.keyless !== undefined) return "keyless authorities are not evaluated by this version";
  if (authority.key?.kms)
    return "KMS keys are not evaluated by this version: put the public key into key.data or key.secretRef";
  if ((authority.attestations ?? []).length > 0) return "attestations are not evaluated by this version";
  if (authority.ctlog?.url || authority.ctlog?.trustRootRef)
    return "transparency log checks are not evaluated by this version";
  if (authority.rfc3161timestamp !== undefined) return "RFC 3161 timestamps are not evaluated by this version";
  return undefined;
}

function compileAuthority(authority: Authority, index: number, secrets: SecretLookup): CompiledAuthority {
  const base = { name: authority.name || `authority-${index}`, index };
  if (authority.static !== undefined) {
    const action = authority.static.action;
    if (action !== "pass" && action !== "fail")
      throw new Uncompilable(`authority ${base.name}: static.action must be pass or fail`);
    return { ...base, kind: "static", action, message: authority.static.message ?? "" };
  }
  const unsupported = unsupportedPart(authority);
  if (unsupported !== undefined) return { ...base, kind: "unsupported", reason: unsupported };
  const key = authority.key;
  if (key === undefined) throw new Uncompilable(`authority ${base.name} has none of key, keyless, static`);
  const pem = key.data ?? secretKey(key, secrets);
  const where = key.data === undefined ? `secret "${key.secretRef?.name}"` : `authority ${base.name}: key.data`;
  const keys = publicKeys(pem, where);
  return { ...base, kind: "key", keys, hashAlgorithm: hashAlgorithmOf(key.hashAlgorithm), source: sourceOf(authority) };
}

function compileMatch(spec: ClusterImagePolicySpec): readonly CompiledMatch[] {
  return (spec.match ?? []).map(({ group = "", version = "", resource = "", selector }) => ({
    group,
    version,
    resource,
    ...(selector !== undefined && { selector }),
  }));
}

interface Attempt<T> {
  readonly value: T;
  readonly problem?: string;
}

function attempt<T>(make: () => T, otherwise: T): Attempt<T> {
  try {
    return { value: make() };
  } catch (thrown) {
    return { value: otherwise, problem: messageOf(thrown) };
  }
}

function specProblem(spec: ClusterImagePolicySpec): string | undefined {
  if (spec.policy !== undefined) return "spec.policy is not evaluated by this version";
  if ((spec.images ?? []).length === 0) return "spec.images is empty";
  if ((spec.authorities ?? []).length === 0) return "spec.authorities is empty";
  if (spec.mode && spec.mode !== "enforce" && spec.mode !== "warn")
    return `spec.mode "${spec.mode}" is neither enforce nor warn`;
  return undefined;
}

/** JSON with sorted keys: equal values give equal text. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

/**
 * Compiles a policy with the keys it names inlined. Never throws: what cannot be compiled gets a `problem`, and then refuses
 * every image that it matches (design D7). A glob that does not compile matches everything: it must not make room.
 */
export function compilePolicy(policy: ClusterImagePolicyObject, secrets: SecretLookup): CompiledPolicy {
  const spec = defaultClusterImagePolicy(policy);
  const globs = attempt<readonly Glob[]>(
    () => (spec.images ?? []).map(({ glob }) => compileGlob(glob ?? "")),
    [compileGlob("**")],
  );
  const authorities = attempt<readonly CompiledAuthority[]>(
    () => (spec.authorities ?? []).map((authority, index) => compileAuthority(authority, index, secrets)),
    [],
  );
  const problem = specProblem(spec) ?? globs.problem ?? authorities.problem;
  const meaning = { engine: ENGINE_VERSION, spec, authorities: authorities.value, problem };
  const { uid, name, generation, resourceVersion } = policy.metadata;
  return {
    uid,
    name,
    generation,
    resourceVersion,
    hash: createHash("sha256").update(canonicalJson(meaning)).digest("hex"),
    mode: spec.mode === "warn" ? "warn" : "enforce",
    globs: globs.value,
    match: compileMatch(spec),
    authorities: authorities.value,
    ...(problem !== undefined && { problem }),
  };
}

/** The last good form of a policy that no longer compiles, marked with why: it goes on enforcing what it did (design D7). */
export function keepLastGood(lastGood: CompiledPolicy | undefined, now: CompiledPolicy): CompiledPolicy {
  const usable =
    lastGood !== undefined &&
    lastGood.problem === undefined &&
    lastGood.uid === now.uid &&
    lastGood.generation === now.generation;
  return now.problem !== undefined && usable ? lastGood : now;
}
