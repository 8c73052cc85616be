import type { ClusterImagePolicySpec, EvaluatedPolicy } from "../../crds/index.ts";
import { asWarnings, type FieldErrors, invalidValue } from "./fielderror.ts";
import type { ConfigMapLookup } from "./sources.ts";
import type { Evaluator } from "./types.ts";

/** A source that can be compiled now, and where it stands in the policy. */
export interface FoundSource {
  readonly evaluator: Evaluator;
  /** From the object: `spec.policy.data`. */
  readonly path: string;
  /** The attestation that it is about; paths of attestations have no index. */
  readonly attestation?: string;
}

/** What of a policy can be compiled now, and what there is to say of the rest. */
export interface FoundSources {
  readonly sources: readonly FoundSource[];
  readonly warnings: FieldErrors;
}

interface Block {
  readonly policy: EvaluatedPolicy;
  readonly path: string;
  readonly attestation?: string;
}

function blocksOf({ policy, authorities = [] }: ClusterImagePolicySpec): readonly Block[] {
  const attested = authorities.flatMap(({ attestations = [] }, index) =>
    attestations.flatMap(({ name = "", policy: own }) =>
      own === undefined
        ? []
        : [{ policy: own, path: `spec.authorities[${index}].attestations.policy`, attestation: name }],
    ),
  );
  return [...(policy === undefined ? [] : [{ policy, path: "spec.policy" }]), ...attested];
}

function languageOf({ type }: EvaluatedPolicy): Evaluator["language"] | undefined {
  return type === "cue" || type === "rego" || type === "cel" ? type : undefined;
}

type Reference = NonNullable<EvaluatedPolicy["configMapRef"]>;

function referenceWarnings({ name = "", key = "", namespace }: Reference, path: string, lookup: Lookup): FieldErrors {
  const at = `${path}.configMapRef`;
  const elsewhere =
    namespace && namespace !== lookup.systemNamespace
      ? invalidValue(namespace, `${at}.namespace`, `not used: the ConfigMap is looked for in ${lookup.systemNamespace}`)
      : [];
  const data = lookup.configMaps(name);
  const refuses = "until it is there, the policy refuses every image that it matches";
  if (data === undefined) {
    const says = `there is no such ConfigMap in ${lookup.systemNamespace}: ${refuses}`;
    return asWarnings([...elsewhere, ...invalidValue(name, `${at}.name`, says)]);
  }
  if (Object.hasOwn(data, key)) return asWarnings(elsewhere);
  return asWarnings([...elsewhere, ...invalidValue(key, `${at}.key`, `ConfigMap ${name} has no such key: ${refuses}`)]);
}

interface Lookup {
  readonly systemNamespace: string;
  readonly configMaps: ConfigMapLookup;
}

/**
 * The sources of a policy that can be compiled at admission: those written in it and those in ConfigMaps that are there. What lies
 * at a URL is not fetched. Blocks that are wrong in form are left out: `policyErrors` speaks of them.
 */
export function findSources(spec: ClusterImagePolicySpec, lookup: Lookup): FoundSources {
  const found = blocksOf(spec).flatMap((block): readonly FoundSources[] => {
    const { policy, path, attestation } = block;
    const { data, configMapRef, remote } = policy;
    const language = languageOf(policy);
    const forms = [data || undefined, configMapRef, remote].filter((form) => form !== undefined);
    if (language === undefined || forms.length !== 1) return [];
    const as = (source: string, field: string): FoundSource => ({
      evaluator: { language, source },
      path: `${path}.${field}`,
      ...(attestation !== undefined && { attestation }),
    });
    if (data) return [{ sources: [as(data, "data")], warnings: [] }];
    if (!configMapRef?.name || !configMapRef.key) return [];
    const all = lookup.configMaps(configMapRef.name) ?? {};
    const source = Object.hasOwn(all, configMapRef.key) ? all[configMapRef.key] : undefined;
    return [
      {
        sources: source === undefined ? [] : [as(source, "configMapRef")],
        warnings: referenceWarnings(configMapRef, path, lookup),
      },
    ];
  });
  const sources = found.flatMap((one) => one.sources);
  const warnings = found.flatMap((one) => one.warnings);
  return { sources, warnings: [...warnings, ...sources.flatMap(queryWarnings)] };
}

/** cosign asks every Rego policy for `data.sigstore.isCompliant` (`pkg/cosign/rego`): another module compiles, and accepts nothing. */
function queryWarnings(source: FoundSource): FieldErrors {
  const { language, source: text } = source.evaluator;
  if (language !== "rego" || (/^[ \t]*package[ \t]+sigstore[ \t]*(#|\r?$)/m.test(text) && text.includes("isCompliant")))
    return [];
  const says =
    "it is asked for data.sigstore.isCompliant: its package must be sigstore and have that rule, or nothing complies";
  return [{ level: "warning", message: "invalid rego policy", paths: [source.path], details: about(source, says) }];
}

function about(source: FoundSource, details: string): string {
  return source.attestation === undefined ? details : `attestation ${source.attestation}: ${details}`;
}

/** A source that does not compile, with the engine's words about it. */
export function compileErrors(source: FoundSource, says: string): FieldErrors {
  const message = `invalid ${source.evaluator.language} policy`;
  return [{ level: "error", message, paths: [source.path], details: about(source, says) }];
}

/** A source that could not be judged: the policy is taken, as policy-controller would, and proves itself when it is used. */
export function uncheckedWarnings(source: FoundSource, why: string): FieldErrors {
  const message = `the ${source.evaluator.language} policy could not be compiled now`;
  return [{ level: "warning", message, paths: [source.path], details: about(source, why) }];
}
