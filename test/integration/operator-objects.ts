import { expect } from "chai";
import { dump } from "js-yaml";
import { isKubeError } from "../../adapters/kube/errors.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject, Resource } from "../../adapters/kube/types.ts";
import { backendName } from "../../core/cacheregistry/names.ts";
import { findCondition } from "../../core/conditions.ts";
import {
  CACHE_REGISTRIES,
  CACHE_RULES,
  type CacheRegistryObject,
  type CacheRuleObject,
  type Condition,
} from "../../crds/index.ts";
import { removeWebhooks } from "../../hack/local/product.ts";
import { eventually } from "../support/kube.ts";
import { NAMESPACE, type OperatorStage, operatorStage } from "./operator-harness.ts";

/** What a condition says: its status and reason, `absent`, or `stale` when it is of another generation. */
export function said(
  object: { status?: { conditions?: readonly Condition[] } | undefined; metadata: { generation: number } } | undefined,
  type: string,
): string {
  const found = findCondition(object?.status?.conditions, type);
  if (found === undefined) return "absent";
  return found.observedGeneration === object?.metadata.generation ? `${found.status} ${found.reason}` : "stale";
}

/** A user's hands on an operator's stage: makes, changes and reads objects for one registry, and awaits what the operator says of them. */
export class OperatorObjects {
  readonly stage: OperatorStage;
  readonly #registry: string;

  private constructor(stage: OperatorStage, registry: string) {
    this.stage = stage;
    this.#registry = registry;
  }

  /**
   * An operator with a policy that lets everything in, for the gateway pages of `registry`, that waits for `patience` with a deletion.
   * Undefined, with a word, where that can't be.
   */
  static async open(
    title: string | undefined,
    registry: string,
    patience: string,
  ): Promise<OperatorObjects | undefined> {
    const policy = {
      apiVersion: "policy.sigstore.dev/v1alpha1",
      kind: "ClusterImagePolicy",
      metadata: { name: registry },
      spec: { images: [{ glob: "**" }], authorities: [{ static: { action: "pass" } }] },
    };
    const stage = await operatorStage(title, registry, {
      env: { DELETION_PATIENCE: patience },
      prepare: async (one) => void (await one.kubectl(["apply", "-f", "-"], dump(policy))),
    });
    return stage === undefined ? undefined : new OperatorObjects(stage, registry);
  }

  /** Takes everything away again, and ends the operator. */
  async close(): Promise<void> {
    const { cluster, pages } = this.stage;
    try {
      await removeWebhooks(cluster);
      await cluster.kubectl(["delete", "clusterimagepolicy", this.#registry, "--ignore-not-found"]);
      pages.rules = {};
      await this.remove("cacherules", "--all");
      await this.remove("cacheregistries", "--all");
      await eventually("all rules and registries are gone", async () => {
        const left = await cluster.kubectl(["get", "cacherules,cacheregistries", "-o", "name"]);
        return left.trim() === "";
      });
    } finally {
      await this.stage.stop(); // or it would lead, and put its webhooks back, beside the next one
    }
  }

  async apply(object: object): Promise<void> {
    const how = ["--server-side", "--force-conflicts", "--field-manager=test"];
    await this.stage.cluster.kubectl(["apply", ...how, "-f", "-"], dump(object));
  }

  async remove(kind: string, ...names: readonly string[]): Promise<void> {
    await this.stage.cluster.kubectl(["delete", kind, ...names, "--ignore-not-found", "--wait=false"]);
  }

  /** An object as it is, of the operator's namespace if it has one; undefined for none. */
  async live<T extends KubeObject>(resource: Resource, name: string): Promise<T | undefined> {
    const options = resource.namespaced ? { namespace: NAMESPACE } : {};
    return await this.stage.client.get<T>(resource, name, options).catch((thrown: unknown) => {
      if (isKubeError(thrown, "NOT_FOUND")) return undefined;
      throw thrown;
    });
  }

  async ruleSays(name: string, type: string, what: string): Promise<CacheRuleObject> {
    return await this.#says<CacheRuleObject>(CACHE_RULES, name, type, what);
  }

  async registrySays(name: string, what: string): Promise<CacheRegistryObject> {
    return await this.#says<CacheRegistryObject>(CACHE_REGISTRIES, name, "Ready", what);
  }

  async #says<T extends KubeObject>(resource: Resource, name: string, type: string, what: string): Promise<T> {
    let last = "";
    return await eventually(`${resource.kind} ${name}: ${type} is ${what}`, async () => {
      const found = await this.live<T>(resource, name);
      const says = said(found as never, type);
      last = `${says} ${JSON.stringify((found as { status?: unknown } | undefined)?.status)}`;
      return says === what ? found : undefined;
    }).catch((thrown: unknown) => {
      throw new Error(`${String(thrown)}; last: ${last}`);
    });
  }

  /** A CacheRegistry in the cluster, with `change` in its spec. */
  registry(name: string, change: object = {}): object {
    return {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRegistry",
      metadata: { name },
      spec: {
        inCluster: { pullHost: `${name}.example:5000`, replicas: 1, storage: { emptyDir: { sizeLimit: "1024Mi" } } },
        ...change,
      },
    };
  }

  /** A CacheRule of the registry, with `change` in its spec. */
  rule(name: string, source: string, target: string, change: object = {}): object {
    return {
      apiVersion: "entrepot.dev/v1alpha1",
      kind: "CacheRule",
      metadata: { name },
      spec: { registryRef: { name: this.#registry }, source, target, ...change },
    };
  }

  /** Throws when the operator was refused something, or met what nobody thought of, in all its lives. */
  expectRights(): void {
    const { log } = this.stage.operator;
    expect(log).to.not.contain("FORBIDDEN").and.not.contain("forbidden");
    expect(log).to.not.contain('"code":"UNEXPECTED"');
  }

  /** Runs the Pods of the proxy of an upstream, once its Deployment is made; gives its name. */
  async runBackend(host: string): Promise<string> {
    const name = backendName(this.#registry, host);
    await eventually(`Deployment ${name} is made`, () => this.live(Resources.deployments, name));
    await this.stage.kubelet.run(`app.kubernetes.io/instance=${name}`, name);
    return name;
  }
}
