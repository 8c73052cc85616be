import { systemClock } from "../../../adapters/clock.ts";
import { ProductError, type ProductErrorCode } from "../../../adapters/products/errors.ts";
import { silentLog } from "../../../adapters/telemetry/log.ts";
import { parseMapping } from "../../../core/cacherule/mapping.ts";
import { decideStep, type RemoteIdentity, type RemoteRule, type Step } from "../../../core/product/step.ts";
import type { CacheRegistryObject, CacheRegistrySpec, CacheRuleObject, CacheRuleSpec } from "../../../crds/index.ts";
import { EcrProduct } from "../../../operator/providers/ecr.ts";
import type { RuleRequest } from "../../../operator/providers/provider.ts";
import type { SecretObject } from "../../../operator/resources.ts";
import type { Keys } from "./signature.ts";

export const ACCOUNT = "111122223333";
export const REGION = "eu-west-1";
export const HUB_SECRET = `arn:aws:secretsmanager:${REGION}:${ACCOUNT}:secret:ecr-pullthroughcache/hub-AbCdEf`;
export const KEYS: Keys = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

const served = (name: string) => ({
  name,
  uid: `uid-${name}`,
  generation: 1,
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
});

/** A CacheRegistry that signs in with a Secret and knows credentials for Docker Hub. */
export function ecrRegistry(
  change: Partial<CacheRegistrySpec> = {},
  ecr: Partial<NonNullable<CacheRegistrySpec["ecr"]>> = {},
): CacheRegistryObject {
  const auth = { secretRef: { name: "aws" } };
  return {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRegistry",
    metadata: served("prod"),
    spec: {
      ecr: { region: REGION, accountId: ACCOUNT, auth, ...ecr },
      upstreams: [{ host: "docker.io", credentials: { secretsManagerArn: HUB_SECRET } }],
      ...change,
    },
  };
}

/** A rule of that registry, parsed as the reconciler parses it. */
export function ecrRequest(
  spec: Partial<CacheRuleSpec> & Pick<CacheRuleSpec, "source" | "target">,
  registry: CacheRegistryObject = ecrRegistry(),
  name = "hub",
): RuleRequest {
  const rule: CacheRuleObject = {
    apiVersion: "entrepot.dev/v1alpha1",
    kind: "CacheRule",
    metadata: served(name),
    spec: { registryRef: { name: registry.metadata.name }, ...spec },
  };
  const mapping = parseMapping(rule.spec);
  return { rule, registry, mapping, host: mapping.source.host };
}

function secret(keys: Keys): SecretObject {
  const data = Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [key, Buffer.from(String(value)).toString("base64")]),
  );
  return { apiVersion: "v1", kind: "Secret", metadata: { name: "aws", namespace: "sys" }, data };
}

/** A product whose one Secret and whose clock's offset are the test's, and which takes the steps that `decideStep` names. */
export class EcrHarness {
  readonly secrets = new Map<string, SecretObject>();
  readonly product: EcrProduct;
  readonly signal = new AbortController().signal;
  /** What a CacheRule's status would remember, by the rule's name. */
  readonly known = new Map<string, RemoteIdentity>();
  aheadMs = 0;

  constructor(keys: Keys = KEYS) {
    this.sign(keys);
    this.product = new EcrProduct({
      namespace: "sys",
      secrets: this.secrets,
      client: { get: () => Promise.reject(new Error("nothing is read from the cluster")) },
      clock: {
        now: () => systemClock.now(),
        monotonicMs: () => systemClock.monotonicMs() + this.aheadMs,
        sleep: (ms, signal) => systemClock.sleep(ms, signal),
        after: (ms, callback) => systemClock.after(ms, callback),
      },
      log: silentLog,
    });
  }

  sign(keys: Keys): void {
    this.secrets.set("sys/aws", secret(keys));
  }

  async observe(request: RuleRequest): Promise<RemoteRule | undefined> {
    return await this.product.observe(request, this.signal);
  }

  /** One pass of a reconciler; gives what was decided. */
  async step(request: RuleRequest): Promise<Step> {
    const { product, signal, known } = this;
    const { name } = request.rule.metadata;
    const found = await product.observe(request, signal);
    const step = decideStep(found, known.get(name) ?? {}, {
      adoption: request.rule.spec.adoptionPolicy ?? "IfIdentical",
      drift: request.registry.spec.driftPolicy ?? "Correct",
    });
    const isOurs = step.do !== "report" || step.reason !== "ForeignRule";
    if (found !== undefined && isOurs)
      known.set(name, {
        remoteId: found.id,
        ...(found.createdAt !== undefined && { remoteCreationTime: found.createdAt }),
      });
    if (step.do === "create") {
      known.set(name, { remoteId: product.remoteId(request) });
      await product.create(request, signal);
    }
    if (step.do === "update" && found !== undefined) await product.update(request, found, signal);
    return step;
  }
}

/** Awaits a `ProductError` of that code. */
export async function productFailure(code: ProductErrorCode, promise: Promise<unknown>): Promise<ProductError> {
  const thrown = await promise.then(
    () => "success",
    (error: unknown) => error,
  );
  if (thrown instanceof ProductError && thrown.code === code) return thrown;
  throw new Error(`expected a ProductError ${code}, got ${String(thrown)}`, { cause: thrown });
}
