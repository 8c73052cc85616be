import { backendName, gatewayName } from "../../../core/cacheregistry/names.ts";
import { eventually, NS, PATIENCE_MS, type Stage } from "../e2e.ts";

/** A CacheRegistry for load tests. */
export interface LoadRegistry {
  readonly name: string;
  readonly nodePort: number;
  readonly replicas?: number;
  /** YAML flow: a member of `spec.inCluster.storage`. */
  readonly storage: string;
  /** YAML flow: more members of `spec.inCluster`. */
  readonly access: string;
  /** Upstreams with the name of the Secret for each. */
  readonly upstreams: ReadonlyMap<string, string>;
}

/** The declaration of a rule. */
export interface LoadRule {
  readonly name: string;
  readonly source: string;
  readonly target: string;
}

export function pullHost({ nodePort }: LoadRegistry): string {
  return `localhost:${nodePort}`;
}

/** A Secret with a user name and a password. */
export function loginSecret(name: string, user: { readonly username: string; readonly password: string }): string {
  return `
apiVersion: v1
kind: Secret
metadata: {name: ${name}, namespace: ${NS}}
type: kubernetes.io/basic-auth
stringData: {username: ${user.username}, password: ${user.password}}
---`;
}

export function registryManifest(registry: LoadRegistry): string {
  const { name, nodePort, replicas = 1, storage, access, upstreams } = registry;
  const hosts = [...upstreams].map(
    ([host, secret]) => `    - {host: "${host}", credentials: {secretRef: {name: ${secret}}}}`,
  );
  return `
apiVersion: entrepot.dev/v1alpha1
kind: CacheRegistry
metadata: {name: ${name}}
spec:
  inCluster: {pullHost: "${pullHost(registry)}", replicas: ${replicas}, service: {type: NodePort, nodePort: ${nodePort}}, storage: {${storage}}, ${access}}
  upstreams:
${hosts.join("\n")}
---`;
}

export function ruleManifest({ name }: LoadRegistry, rule: LoadRule): string {
  return `
apiVersion: entrepot.dev/v1alpha1
kind: CacheRule
metadata: {name: ${rule.name}, labels: {load: ${name}}}
spec: {registryRef: {name: ${name}}, source: "${rule.source}", target: "${rule.target}"}
---`;
}

/** The Deployments of a registry. */
export function deploymentsOf({ name, upstreams }: LoadRegistry) {
  return { gateway: gatewayName(name), proxies: [...upstreams.keys()].map((host) => backendName(name, host)) };
}

/** Status and reason of Ready of every rule of a registry: one request, where `kubectl wait` makes one for each rule and is slowed down. */
async function readiness(stage: Stage, { name }: LoadRegistry): Promise<readonly string[]> {
  const ready = '.status.conditions[?(@.type=="Ready")]';
  const path = `jsonpath={range .items[*]}{${ready}.status} {${ready}.reason}{"\\n"}{end}`;
  const text = await stage.kubectl("get", "cacherules", "-l", `load=${name}`, "-o", path);
  return text.split("\n").slice(0, -1);
}

/** Waits until every rule of a registry is Ready. */
export async function allReady(stage: Stage, registry: LoadRegistry): Promise<void> {
  await eventually("all rules Ready", PATIENCE_MS, async () => {
    const found = await readiness(stage, registry);
    const missing = found.find((line) => !line.startsWith("True "));
    if (missing !== undefined) throw new Error(`one of ${found.length} rules is ${missing}`);
    return found.length > 0 ? true : undefined;
  });
}

/** Waits until `count` rules of a registry have that status and reason of Ready, e.g. `True ServingFromCache`. */
export async function untilReady(stage: Stage, registry: LoadRegistry, wanted: string, count: number): Promise<void> {
  await eventually(`${count} rules with Ready ${wanted}`, PATIENCE_MS, async () => {
    const found = (await readiness(stage, registry)).filter((line) => line === wanted).length;
    if (found !== count) throw new Error(`it is ${found} rules`);
    return true;
  });
}

/** Takes away everything that was declared for a registry. */
export async function removeRegistry(stage: Stage, registry: LoadRegistry): Promise<void> {
  await stage.remove("cacherule", "-l", `load=${registry.name}`);
  await stage.remove("cacheregistry", registry.name);
  await stage.kubectl("-n", NS, "delete", "secret", ...registry.upstreams.values(), "--ignore-not-found");
}
