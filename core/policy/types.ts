import type { Glob } from "../image/glob.ts";
import type { Digest, ImageReference } from "../image/reference.ts";
import type { PolicyCacheTtl } from "./cache-ttl.ts";

/** How signatures hash what they sign (`key.hashAlgorithm`). */
export type HashAlgorithm = "sha224" | "sha256" | "sha384" | "sha512";

/** `authorities[].source[0]`: where signatures lie when not beside the image. */
export interface SignatureSource {
  /** `registry/repository`, replaces the image's repository; absent: the image's own. */
  readonly repository?: string;
  /** cosign's tag prefix: `<prefix>sha256-<hex>.sig`. */
  readonly tagPrefix?: string;
  /** Names of Secrets in the workload's namespace. */
  readonly pullSecrets: readonly string[];
}

interface AuthorityBase {
  readonly name: string;
  readonly index: number;
}

export interface StaticAuthority extends AuthorityBase {
  readonly kind: "static";
  readonly action: "pass" | "fail";
  readonly message: string;
}

/** A Sigstore `TrustedRoot` as protobuf JSON, inlined: certificate authorities, logs and timestamp authorities with their validity. */
export type TrustedRootJson = string;

/**
 * Whether a signature must stand in a transparency log (decided in `core/policy/observers.ts`).
 * `required`: an entry signed by a log of `trustedRoot`; where the signature brings none, the log at `url` may be asked.
 */
export type LogRequirement =
  | { readonly kind: "ignored" }
  | { readonly kind: "required"; readonly trustedRoot: TrustedRootJson; readonly url?: string };

/** CUE, Rego or CEL, inlined from wherever the policy has it. */
export interface Evaluator {
  readonly language: "cue" | "rego" | "cel";
  readonly source: string;
}

/** One of `authorities[].attestations`: at least one attestation of that type must be signed and satisfy the evaluator. */
export interface RequiredAttestation {
  readonly name: string;
  /** As written in the policy: a short name (`vuln`) or a URI. */
  readonly predicateType: string;
  readonly evaluator?: Evaluator;
}

interface SignedAuthorityBase extends AuthorityBase {
  readonly source: SignatureSource;
  readonly log: LogRequirement;
  /** Present: an RFC 3161 timestamp by one of this root's timestamp authorities is required. */
  readonly timestamps?: { readonly trustedRoot: TrustedRootJson };
  /** `signatureFormat: bundle`: only bundles count. Otherwise both forms do. */
  readonly bundlesOnly: boolean;
  /** Not empty: attestations are verified, not signatures; each of these must be there. */
  readonly attestations: readonly RequiredAttestation[];
}

export interface KeyAuthority extends SignedAuthorityBase {
  readonly kind: "key";
  /** PEM, SubjectPublicKeyInfo; any of them may have signed. Never empty. */
  readonly keys: readonly string[];
  readonly hashAlgorithm: HashAlgorithm;
}

/** `exact`: equal strings. `pattern`: Go's regular expressions (RE2), unanchored, as `regexp.MatchString`. */
export type TextMatcher =
  | { readonly kind: "exact"; readonly text: string }
  | { readonly kind: "pattern"; readonly text: string };

export interface CertificateIdentity {
  readonly issuer: TextMatcher;
  /** Compared with every subject alternative name; one suffices. */
  readonly subject: TextMatcher;
}

/** Who issues the certificates that are believed. */
export type CertificateIssuers =
  | { readonly kind: "trusted-root"; readonly trustedRoot: TrustedRootJson }
  /** `keyless.ca-cert`: PEM certificates, roots and intermediates. No certificate transparency is asked of them. */
  | { readonly kind: "certificates"; readonly pem: string }
  /** `keyless.ca-cert` naming a public key: the leaf must be signed by it. */
  | { readonly kind: "key"; readonly pem: string };

export interface KeylessAuthority extends SignedAuthorityBase {
  readonly kind: "keyless";
  readonly issuers: CertificateIssuers;
  /** Any of them. Never empty. */
  readonly identities: readonly CertificateIdentity[];
  readonly ignoreSct: boolean;
}

/** An authority whose signatures are looked up in a registry. */
export type SignedAuthority = KeyAuthority | KeylessAuthority;

/** An authority whose trust material is not there: it never passes; the others of its policy may. */
export interface UnusableAuthority extends AuthorityBase {
  readonly kind: "unusable";
  readonly reason: string;
}

export type CompiledAuthority = StaticAuthority | SignedAuthority | UnusableAuthority;

/** `spec.policy`: judged for every object, from facts and the object itself (design D1). */
export interface ObjectCondition extends Evaluator {
  readonly fetchConfigFile: boolean;
  readonly includeSpec: boolean;
  readonly includeObjectMeta: boolean;
  readonly includeTypeMeta: boolean;
}

/** One entry of `match`: group, version, resource (a plural), each exact or absent, which is any; selector over the object's own labels. */
export interface CompiledMatch {
  readonly group?: string;
  readonly version?: string;
  readonly resource?: string;
  readonly selector?: LabelSelector;
}

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key?: string;
    readonly operator?: string;
    readonly values?: readonly string[];
  }[];
}

/** A ClusterImagePolicy ready to decide, immutable. */
export interface CompiledPolicy {
  readonly uid: string;
  readonly name: string;
  readonly generation: number;
  readonly resourceVersion: string;
  /** sha256 (hex) over everything that can change a decision: spec, inlined keys, engine version. Status writes do not move it. */
  readonly hash: string;
  readonly mode: "enforce" | "warn";
  readonly globs: readonly Glob[];
  readonly match: readonly CompiledMatch[];
  readonly authorities: readonly CompiledAuthority[];
  readonly condition?: ObjectCondition;
  /** Why this policy cannot be decided; then no image that it matches passes. */
  readonly problem?: string;
  /** The problem may be no more than that the operator has not yet fetched what this generation needs. */
  readonly awaitsResolution?: true;
  /** How long results are believed, by the policy's own annotation; no part of the hash, because it changes no decision. */
  readonly cacheTtl: PolicyCacheTtl;
}

/** A signature that verified: what a record keeps of it, and `spec.policy` sees, by policy-controller's names. */
export interface SignatureFact {
  /** Hex sha256 of the signature (and of its certificate, where it has one), as policy-controller's `id`. */
  readonly id: string;
  readonly subject?: string;
  readonly issuer?: string;
  readonly githubWorkflowTrigger?: string;
  readonly githubWorkflowSha?: string;
  readonly githubWorkflowName?: string;
  readonly githubWorkflowRepo?: string;
  readonly githubWorkflowRef?: string;
}

/** An attestation that verified and satisfied its evaluator. */
export interface AttestationFact extends SignatureFact {
  /** As written in the policy. */
  readonly predicateType: string;
  /** Of the layer (or bundle) that holds it. */
  readonly digest: Digest;
}

/** What one authority established: one of the three. The shape is part of the input of `spec.policy`. */
export interface AuthorityMatch {
  readonly signatures?: readonly SignatureFact[];
  readonly attestations?: Readonly<Record<string, readonly AttestationFact[]>>;
  readonly static?: true;
}

/** By the authority's name. */
export type AuthorityMatches = Readonly<Record<string, AuthorityMatch>>;

/**
 * What one authority says of one digest. `failed`: looked and found nothing acceptable; `undecided`: could not look (registry
 * down, deadline, garbage). Both refuse; only `matched` is ever sealed, and only `failed` is ever remembered as an answer.
 * `verified`: there are attestations of the signer; the message is about what they say, not about their signatures.
 */
export type AuthorityOutcome =
  | { readonly kind: "matched"; readonly match: AuthorityMatch }
  | { readonly kind: "failed"; readonly message: string; readonly verified?: true }
  | { readonly kind: "undecided"; readonly message: string; readonly verified?: true };

/** What an evaluator is shown: a document as it is, or the statement of an attestation, which is brought into cosign's form first. */
export type EvaluationInput =
  | { readonly kind: "document"; readonly json: string }
  | { readonly kind: "statement"; readonly predicateType: string; readonly json: string };

/**
 * `rejected`: the engine judged; the message is the engine's, without cosign's prefix (`core/policy/condition.ts` adds it).
 * `undecided`: it could not judge (time or memory spent, crashed). Both refuse.
 */
export type EvaluationResult =
  | { readonly kind: "compliant" }
  | { readonly kind: "rejected"; readonly message: string }
  | { readonly kind: "undecided"; readonly message: string };

/** Port: evaluates policies, bounded in time and memory, off the event loop. Never rejects for what a policy or an input does. */
export interface PolicyEngine {
  evaluate(evaluator: Evaluator, input: EvaluationInput, signal: AbortSignal): Promise<EvaluationResult>;
  /** The engine's message if the source does not compile, else undefined. Rejects when it cannot judge. */
  check(evaluator: Evaluator, signal: AbortSignal): Promise<string | undefined>;
}

/** Credentials for one registry host, tried in order; none means anonymous. */
export type Credentials = { readonly username: string; readonly password: string };

/** Credentials by registry host (`index.docker.io` for Docker Hub), as `normaliseHost` spells it. Lookups do no I/O. */
export interface Keychain {
  forRepository(registry: string, repository: string): readonly Credentials[];
}

/** An image whose digest is known. */
export interface PinnedImage {
  readonly reference: ImageReference;
  readonly digest: Digest;
}

/** Told what is being waited for, in words for who gives up waiting. */
export type Say = (doing: string) => void;

/**
 * Port: looks for signatures or attestations of `image` by `authority` and verifies them cryptographically. Never throws for what a
 * registry, a log or an engine does: that is `undecided`. The signal carries the request's deadline.
 */
export type VerifyAuthority = (
  image: PinnedImage,
  authority: SignedAuthority,
  keychain: Keychain,
  signal: AbortSignal,
  say?: Say,
) => Promise<AuthorityOutcome>;

/** Port: the OCI configurations of an image by platform (`linux/arm/v7`), as JSON of one object. Throws `DomainError`. */
export type FetchConfigFiles = (
  image: PinnedImage,
  keychain: Keychain,
  signal: AbortSignal,
  say?: Say,
) => Promise<string>;

/** Port: the digest that a tag names now. Throws `DomainError` with the registry's reason. */
export type ResolveDigest = (
  reference: ImageReference,
  keychain: Keychain,
  signal: AbortSignal,
  say?: Say,
) => Promise<Digest>;
