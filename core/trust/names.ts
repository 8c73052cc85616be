/** What webhook replicas read; policy-controller's name. By TrustRoot name, a Sigstore TrustedRoot in protobuf JSON. */
export const SIGSTORE_KEYS_CONFIG_MAP = "config-sigstore-keys";

/** The trusted root of Sigstore's public-good instance, for authorities that name no TrustRoot. */
export const PUBLIC_GOOD_CONFIG_MAP = "public-good-trusted-root";
export const PUBLIC_GOOD_KEY = "trusted_root.json";

export const TRUST_ANNOTATION = {
  /** On `config-sigstore-keys`: of which object each entry is, as JSON by name. */
  origins: "entrepot.dev/trust-roots",
  /** On `public-good-trusted-root`: where it was read. */
  source: "entrepot.dev/trust-source",
  /** On `public-good-trusted-root`, while there is one: why it could not be refreshed. */
  problem: "entrepot.dev/problem",
} as const;
