import { expect } from "chai";
import { systemClock } from "../../adapters/clock.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { SIGSTORE_KEYS_CONFIG_MAP } from "../../core/trust/names.ts";
import type { TrustRootObject } from "../../crds/index.ts";
import type { ConfigMapObject } from "../../operator/trustroot/configmap.ts";
import { type TrustRootDependencies, trustRootReconciler } from "../../operator/trustroot/reconciler.ts";
import { MemoryKube } from "../support/memory-kube.ts";
import { trustedRootJson } from "../support/trusted-root.ts";

const TRUST_ROOT = {
  apiVersion: "policy.sigstore.dev/v1alpha1",
  kind: "TrustRoot",
  metadata: { name: "remote", uid: "5f0e7a0c-0000-4000-8000-000000000003", generation: 1, resourceVersion: "1" },
  spec: {},
} as unknown as TrustRootObject;

describe("the Event that a trust root has other keys now", () => {
  /** Reads the roots one after the other, with an informer that has seen nothing yet of what was written; gives the reasons of the Events. */
  async function reasonsOf(...roots: readonly string[]): Promise<readonly string[]> {
    const kube = new MemoryKube();
    const client = Object.assign(kube, { applyStatus: () => Promise.resolve(TRUST_ROOT) });
    const reasons: string[] = [];
    let text = "";
    const reconcile = trustRootReconciler({
      client: client as unknown as TrustRootDependencies["client"],
      namespace: "cosign-system",
      trustRoots: { get: () => TRUST_ROOT, list: () => [TRUST_ROOT] } as unknown as TrustRootDependencies["trustRoots"],
      configMaps: { get: () => undefined },
      resolver: { resolve: () => Promise.resolve(text), retain: () => undefined },
      resyncMs: 0,
      events: { record: ({ reason }: { reason: string }) => reasons.push(reason) } as never,
      clock: systemClock,
      log: silentLog,
    });
    for (text of roots) await reconcile("remote", new AbortController().signal);
    const written = kube.peek<ConfigMapObject>("ConfigMap", SIGSTORE_KEYS_CONFIG_MAP);
    expect(written?.data?.["remote"]).to.equal(roots.at(-1));
    return reasons.filter((reason) => reason === "Updated");
  }

  const [first, second] = ["first", "second"].map((name) => trustedRootJson(`https://${name}.example`).toString()) as [
    string,
    string,
  ];

  it("is sent though the informer has not seen the first keys yet", async () => {
    expect(await reasonsOf(first, second)).to.deep.equal(["Updated"]);
  });

  it("is not sent of the first keys, nor of the same ones again", async () => {
    expect(await reasonsOf(first, first)).to.deep.equal([]);
  });
});
