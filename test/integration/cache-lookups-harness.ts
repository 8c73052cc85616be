// The ports of admission by way of caches, as the webhook wires them, with rules in memory in place of an informer's.
import { RegistryClients } from "../../adapters/caches/clients.ts";
import { CacheEntrances } from "../../adapters/caches/entrances.ts";
import { type RegistryPorts, throughCaches } from "../../adapters/caches/lookups.ts";
import { createRegistryClient } from "../../adapters/registry/client.ts";
import { createConfigFiles } from "../../adapters/sigstore/configfiles.ts";
import { buildNames } from "../../core/cachenames/names.ts";
import type { NamedRuleView, SignatureLookup } from "../../core/cachenames/types.ts";
import type { PullSecret } from "../../core/registry/docker-config.ts";
import type { CacheRegistryObject } from "../../crds/index.ts";
import { verifierOf } from "../support/verifying.ts";
import { acceptedRule, type Cleanup } from "./gateway-harness.ts";
import { inClusterRegistry } from "./refresh-harness.ts";

/** Where nodes pull from the cache; it means nothing to the process that looks things up. */
export const PULL_HOST = "localhost:30500";

export interface LookupSituation {
  readonly signatures?: SignatureLookup;
  /** `host:port` of the gateway of the registry `main`. */
  readonly gateway?: string;
  /** What the registry `main` is, where it is not the cache in the cluster. */
  readonly product?: CacheRegistryObject["spec"];
  readonly tls?: NonNullable<CacheRegistryObject["spec"]["inCluster"]>["tls"];
  /** The name of the CacheRegistry, if not `main`. */
  readonly registry?: string;
  /** What stands before targets, if not `PULL_HOST`. */
  readonly pullHost?: string;
  /** Why the cache can't be reached, as the operator found. */
  readonly unreachable?: string;
  readonly tokenFile?: string;
  readonly secrets?: Readonly<Record<string, PullSecret>>;
  readonly configMaps?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly turnMs?: number;
  /** Whether the registry has been deleted by now. */
  readonly isGone?: () => boolean;
}

/** A rule as the operator leaves it, with the prefix that the registry gives it. */
export function lookupRule(source: string, target: string, registry = "main", pullHost = PULL_HOST): NamedRuleView {
  const rule = acceptedRule(`rule-${target.replace(/[^a-z0-9]+/g, "-")}`, source, target, [
    { type: "Ready", status: "True", message: "" },
  ]);
  const pullPrefix = `${pullHost}/${target.replace(/\/?\*$/, "")}`;
  return { ...rule, spec: { ...rule.spec, registryRef: { name: registry } }, status: { ...rule.status, pullPrefix } };
}

function registryOf({ registry = "main", product, signatures, tls, unreachable }: LookupSituation) {
  const made = inClusterRegistry();
  const inCluster = { ...made.spec.inCluster, ...(tls && { tls }) };
  const spec = product ?? { inCluster };
  const conditions = unreachable === undefined ? [] : [{ type: "Reachable", status: "False", message: unreachable }];
  return {
    ...made,
    metadata: { ...made.metadata, name: registry },
    spec: { ...spec, ...(signatures && { signatures }) },
    status: { conditions },
  } as CacheRegistryObject;
}

export interface LookupPorts extends RegistryPorts {
  /** The requests that were made so far, but for those to gateways. */
  readonly direct: readonly string[];
}

/** Fresh ports, which remember nothing. */
export function lookupPorts(
  cleanup: Cleanup,
  rules: readonly NamedRuleView[],
  situation: LookupSituation,
): LookupPorts {
  const { registry: name = "main", gateway, tokenFile, secrets = {}, turnMs } = situation;
  const registry = registryOf(situation);
  const names = buildNames(rules, [registry]);
  const direct: string[] = [];
  const clients = new RegistryClients(
    createRegistryClient({ observe: (operation, outcome) => direct.push(`${operation} ${outcome}`) }),
  );
  cleanup.add(() => clients.close());
  const entrances = new CacheEntrances({
    namespace: "cosign-system",
    clients,
    hosts: new Map(gateway === undefined ? [] : [[name, gateway]]),
    registry: (wanted) => (wanted === name && situation.isGone?.() !== true ? registry : undefined),
    secret: (wanted) => secrets[wanted],
    configMap: (wanted) => situation.configMaps?.[wanted],
    ...(tokenFile !== undefined && { tokenFile }),
  });
  const ports: RegistryPorts = {
    verify: verifierOf(clients),
    resolve: clients.resolve.bind(clients),
    configFiles: createConfigFiles(clients),
  };
  const options = { names: () => names, entrances, ...(turnMs !== undefined && { turnMs }) };
  return { ...throughCaches(ports, options), direct };
}
