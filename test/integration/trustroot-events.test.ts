import { expect } from "chai";
import { systemClock } from "../../adapters/clock.ts";
import { KubeError } from "../../adapters/kube/errors.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import type { TrustRootObject } from "../../crds/index.ts";
import type { ConfigMapObject } from "../../operator/trustroot/configmap.ts";
import { type TrustRootDependencies, trustRootReconciler } from "../../operator/trustroot/reconciler.ts";
import { trustedRootJson } from "../support/trusted-root.ts";

const TRUST_ROOT = {
  apiVersion: "policy.sigstore.dev/v1alpha1",
  kind: "TrustRoot",
  metadata: { name: "remote", uid: "5f0e7a0c-0000-4000-8000-000000000003", generation: 1, resourceVersion: "1" },
  spec: {},
} as unknown as TrustRootObject;

/** An API server that has one ConfigMap and takes a write only of who knows it (a fake: the informer of a real one cannot be held back by will). */
class OneMap {
  live: ConfigMapObject | undefined;

  get = (): Promise<ConfigMapObject> =>
    this.live === undefined ? Promise.reject(new KubeError("NOT_FOUND", "none")) : Promise.resolve(this.live);

  create = (map: ConfigMapObject): Promise<ConfigMapObject> =>
    this.live === undefined ? this.#write(map) : Promise.reject(new KubeError("ALREADY_EXISTS", "there is one"));

  replace = (map: ConfigMapObject): Promise<ConfigMapObject> =>
    this.live?.metadata.resourceVersion === map.metadata.resourceVersion
      ? this.#write(map)
      : Promise.reject(new KubeError("CONFLICT", "it is another by now"));

  #write(map: ConfigMapObject): Promise<ConfigMapObject> {
    const resourceVersion = String(Number(this.live?.metadata.resourceVersion ?? 0) + 1);
    this.live = { ...map, metadata: { ...map.metadata, resourceVersion } };
    return Promise.resolve(this.live);
  }
}

describe("the Event that a trust root has other keys now", () => {
  /** Reads the roots one after the other, with an informer that has seen nothing yet of what was written; gives the reasons of the Events. */
  async function reasonsOf(...roots: readonly string[]): Promise<readonly string[]> {
    const map = new OneMap();
    const reasons: string[] = [];
    let text = "";
    const reconcile = trustRootReconciler({
      client: {
        get: () => map.get(),
        create: (_resource: unknown, object: ConfigMapObject) => map.create(object),
        replace: (_resource: unknown, object: ConfigMapObject) => map.replace(object),
        applyStatus: () => Promise.resolve(TRUST_ROOT),
      } as unknown as TrustRootDependencies["client"],
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
    expect(map.live?.data?.["remote"]).to.equal(roots.at(-1));
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
