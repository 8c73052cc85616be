// What both processes say of their readiness while CRDs are missing, with a scripted API server.
import { expect } from "chai";
import { systemClock } from "../../adapters/clock.ts";
import { aborted } from "../../adapters/deadline.ts";
import { KubeError } from "../../adapters/kube/errors.ts";
import { KubeMetrics } from "../../adapters/kube/metrics.ts";
import type { KubeClient, KubeObject, Resource } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { createRegistry } from "../../adapters/telemetry/metrics.ts";
import { newSealKey } from "../../core/cache/keyring.ts";
import { World as OperatorWorld } from "../../operator/world.ts";
import { SEAL_SECRET, World as WebhookWorld } from "../../webhooks/world.ts";
import { eventually } from "../support/kube.ts";

const NAMESPACE = "cosign-system";
const jwks = JSON.stringify({ keys: [newSealKey(new Date())] });
const SEAL_KEYS: KubeObject = {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: SEAL_SECRET, namespace: NAMESPACE, uid: "s", resourceVersion: "1" },
  ...{ data: { "jwks.json": Buffer.from(jwks).toString("base64") } },
};

/** An API server that has all but these kinds, and nothing else than the seal keys. */
function without(...missing: readonly string[]): KubeClient {
  const client = {
    get: async () => ({ apiVersion: "v1", kind: "Namespace", metadata: { name: "kube-system", uid: "c" } }),
    list: async ({ kind, plural }: Resource) => {
      if (missing.includes(plural))
        throw new KubeError("NOT_FOUND", "the server could not find the requested resource");
      return { items: kind === "Secret" ? [SEAL_KEYS] : [], resourceVersion: "1" };
    },
    // biome-ignore lint/correctness/useYield: nothing ever changes
    async *watch(_resource: Resource, { signal }: { signal: AbortSignal }) {
      await aborted(signal);
    },
  };
  return client as unknown as KubeClient;
}

describe("readiness", () => {
  const metrics = new KubeMetrics(createRegistry("test", "0"));
  let stop: AbortController;
  let running: Promise<unknown>;
  beforeEach(() => {
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    await running;
  });

  function webhook(client: KubeClient): WebhookWorld {
    const nothing = () => undefined;
    const common = { client, namespace: NAMESPACE, metrics, log: silentLog, clock: systemClock };
    const world = new WebhookWorld({ ...common, onKeyring: nothing, onChange: nothing });
    running = world.run(stop.signal);
    return world;
  }

  function operator(client: KubeClient): OperatorWorld {
    const world = new OperatorWorld({ client, namespace: NAMESPACE, metrics, log: silentLog });
    running = world.run(stop.signal);
    return world;
  }

  for (const [plural, text] of [
    [
      "cacherules",
      /^CacheRules and CacheRegistries .* see kubectl get crd cacherules\.entrepot\.dev cacheregistries\./,
    ],
    ["cacheregistries", /^CacheRules and CacheRegistries have not all been listed yet; see kubectl get crd /],
    ["clusterimagepolicies", /^policies, Secrets and config have not all been listed yet/],
  ] as const) {
    it(`of a webhook names what it lacks without ${plural}, and there is nothing to decide by`, async () => {
      const world = webhook(without(plural));
      await eventually("it waits for that alone", async () => text.test(world.missing() ?? ""));
      expect(world.current()).to.equal(undefined);
    });

    it(`of the operator names ${plural}`, async () => {
      const world = operator(without(plural));
      await eventually("it waits for that alone", async () => world.unsynced().join() === plural);
    });
  }

  it("control: with all of them both are ready", async () => {
    const world = webhook(without());
    await eventually("the webhook is", async () => world.missing() === undefined);
    expect(world.current()?.names.size).to.equal(0);
    stop.abort();
    await running;
    stop = new AbortController();
    await operator(without()).synced();
  });
});
