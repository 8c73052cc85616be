import type { KubeObject } from "../../adapters/kube/types.ts";
import type { CacheRuleObject } from "../../crds/index.ts";
import { ZotRegistry } from "../../operator/providers/zot.ts";
import { basicAuth, planOf, registryOf, requestOf, ruleOf, SIGNAL, world } from "./product-rendered-harness.ts";

export const BASE = {
  http: { address: "0.0.0.0", port: "5000" },
  storage: { rootDirectory: "/var/lib/zot" },
  extensions: { ui: { enable: true } },
};
export const PASSWORD = "correct-horse-battery";
export const HUB = ruleOf("hub", "docker.io/library/*", "hub/*");
export const GHCR = ruleOf("ghcr", "ghcr.io/acme/app", "app");
/** A zot with credentials for Docker Hub. */
export const REGISTRY = registryOf({
  zot: {
    configMapRef: { name: "zot-config", key: "config.json" },
    workloadRef: { kind: "Deployment", name: "zot" },
    credentialsSecretName: "zot-upstreams",
    pullHost: "zot.example.com",
  },
  upstreams: [{ host: "docker.io", credentials: { secretRef: { name: "hub-login" } } }],
});

export type ConfigMap = KubeObject & { readonly data?: Record<string, string> };

/** A zot in its owner's hands: ConfigMap, Deployment, and the Secret with a login. */
export function start() {
  const made = world();
  const { kube } = made;
  kube.put({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "zot-config" },
    data: { "config.json": JSON.stringify(BASE) },
  });
  kube.put({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "zot" },
    spec: {
      replicas: 2,
      template: {
        spec: {
          containers: [{ name: "zot", volumeMounts: [{ name: "upstreams", mountPath: "/etc/zot-upstreams" }] }],
          volumes: [{ name: "upstreams", secret: { secretName: "zot-upstreams", optional: true } }],
        },
      },
    },
  });
  kube.rollOut("zot");
  kube.put(basicAuth("hub-login", "someone", PASSWORD));
  const zot = new ZotRegistry(made.context);
  const config = () => JSON.parse(kube.peek<ConfigMap>("ConfigMap", "zot-config")?.data?.["config.json"] ?? "null");
  const prepare = async (rules: readonly CacheRuleObject[], registry = REGISTRY) => {
    await made.clock.advance(5_000);
    return await zot.prepare(registry, planOf(registry, rules), SIGNAL);
  };
  const observe = async (rule: CacheRuleObject) => {
    await made.clock.advance(5_000); // later than what the last look is good for
    return await zot.observe(requestOf(REGISTRY, rule), SIGNAL);
  };
  return { ...made, zot, config, prepare, observe };
}
