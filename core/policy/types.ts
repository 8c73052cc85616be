import type { Glob } from "../image/glob.ts";
import type { Digest, ImageReference } from "../image/reference.ts";

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

export interface KeyAuthority extends AuthorityBase {
  readonly kind: "key";
  /** PEM, SubjectPublicKeyInfo; any of them may have signed. Never empty. */
  readonly keys: readonly string[];
  readonly hashAlgorithm: HashAlgorithm;
  readonly source: SignatureSource;
}

/** Part of the API that this version does not evaluate: it never passes. */
export interface UnsupportedAuthority extends AuthorityBase {
  readonly kind: "unsupported";
  readonly reason: string;
}

export type CompiledAuthority = StaticAuthority | KeyAuthority | UnsupportedAuthority;

/** One entry of `match`: group exact, version exact or `*`, resource an exact plural, selector over the object's own labels. */
export interface CompiledMatch {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
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
  /** Why this policy cannot be decided; then no image that it matches passes. */
  readonly problem?: string;
}

/** A signature that verified: what a record keeps of it. */
export interface SignatureFact {
  /** Hex sha256 of the signature (and of its certificate, where it has one), as policy-controller's `id`. */
  readonly id: string;
  readonly subject?: string;
  readonly issuer?: string;
}

/**
 * What one authority says of one digest. `failed`: looked and found nothing acceptable; `undecided`: could not look (registry
 * down, deadline, garbage). Both refuse; only `matched` is ever sealed, and only `failed` is ever remembered as an answer.
 */
export type AuthorityOutcome =
  | { readonly kind: "matched"; readonly signatures: readonly SignatureFact[] }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "undecided"; readonly message: string };

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

/**
 * Port: looks for signatures of `image` by `authority` and verifies them cryptographically. Never throws for what a registry
 * does: that is `undecided`. The signal carries the request's deadline.
 */
export type VerifyKeyAuthority = (
  image: PinnedImage,
  authority: KeyAuthority,
  keychain: Keychain,
  signal: AbortSignal,
) => Promise<AuthorityOutcome>;

/** Port: the digest that a tag names now. Throws `DomainError` with the registry's reason. */
export type ResolveDigest = (reference: ImageReference, keychain: Keychain, signal: AbortSignal) => Promise<Digest>;
