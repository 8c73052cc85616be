import { randomBytes } from "node:crypto";
import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { KubeError } from "../../adapters/kube/errors.ts";
import { type LeaderOptions, LeaseLostError, runAsLeader } from "../../adapters/kube/lease.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { sharedCluster } from "../support/cluster.ts";
import { adminClient, eventually, freshNamespace } from "../support/kube.ts";

interface Lease extends KubeObject {
  readonly spec: {
    readonly holderIdentity?: string;
    readonly leaseTransitions: number;
    readonly leaseDurationSeconds: number;
    readonly renewTime: string;
  };
}

// Shorter than in production, in the same proportions; the lease in whole seconds, as the API has it.
const SHORT = { leaseDurationMs: 8000, renewDeadlineMs: 6000, retryPeriodMs: 500 };

describe("Leader election", () => {
  let client: ConnectedKubeClient;
  let namespace: string;
  let name: string;
  const ends: (() => Promise<unknown>)[] = [];

  before(async function () {
    this.timeout(0);
    client = await adminClient(await sharedCluster());
    namespace = await freshNamespace(client, "kube-lease");
  });
  beforeEach(() => {
    name = `lease-${randomBytes(3).toString("hex")}`;
  });
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });
  after(() => client?.close());

  /** A candidate whose way to the API server can be cut, which is what the death or a partition of its machine is to the others. */
  function candidate(
    identity: string,
    work?: (signal: AbortSignal) => Promise<void>,
    extra: Partial<LeaderOptions> = {},
  ) {
    const stop = new AbortController();
    const state = { leading: false, cut: false, everLed: false };
    const reach = <T>(call: () => Promise<T>): Promise<T> =>
      state.cut ? Promise.reject(new KubeError("UNAVAILABLE", "cut off")) : call();
    const gated: LeaderOptions["client"] = {
      get: (...args) => reach(() => client.get(...args)),
      create: (...args) => reach(() => client.create(...args)),
      replace: (...args) => reach(() => client.replace(...args)),
    };
    const lead = async (signal: AbortSignal): Promise<void> => {
      state.leading = true;
      state.everLed = true;
      try {
        await (work?.(signal) ?? new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())));
      } finally {
        state.leading = false;
      }
    };
    const outcome = runAsLeader(
      { client: gated, namespace, name, identity, log: silentLog, ...SHORT, ...extra },
      lead,
      stop.signal,
    ).then(
      () => "ended" as const,
      (thrown: unknown) => thrown,
    );
    ends.push(async () => {
      stop.abort();
      await outcome;
    });
    return { state, stop, outcome };
  }

  const lease = () => client.get<Lease>(Resources.leases, name, { namespace });

  it("has one leader; the other takes over when it dies, not before its lease ran out", async () => {
    const a = candidate("a");
    await eventually("a leads", () => a.state.leading);
    const b = candidate("b");
    // Several renewals long, nobody else leads.
    const { renewTime } = (await lease()).spec;
    await eventually("renewals", async () => Date.parse((await lease()).spec.renewTime) - Date.parse(renewTime) > 2500);
    expect([a.state.leading, b.state.leading]).to.eql([true, false]);

    const lastRenewal = async () => Date.parse((await lease()).spec.renewTime);
    a.state.cut = true;
    const cutAt = await lastRenewal();
    await eventually("a stops", () => !a.state.leading);
    expect(b.state.leading, "a has stopped before b begins").to.equal(false);
    expect(await a.outcome).to.be.instanceOf(LeaseLostError);
    await eventually("b leads", () => b.state.leading);
    expect((await lastRenewal()) - cutAt).to.be.greaterThan(7900);
    const { spec } = await lease();
    expect(spec).to.deep.include({ holderIdentity: "b", leaseTransitions: 1, leaseDurationSeconds: 8 });
  });

  it("hands over at once when it ends in an orderly way, after its work has stopped", async () => {
    let finish = (): void => undefined;
    const a = candidate(
      "a",
      (signal) => new Promise((resolve) => signal.addEventListener("abort", () => (finish = resolve))),
    );
    await eventually("a leads", () => a.state.leading);
    const b = candidate("b");
    a.stop.abort();
    // Its work takes longer to stop than the lease lasts: it goes on renewing.
    await new Promise((resolve) => setTimeout(resolve, SHORT.leaseDurationMs + 500));
    expect([a.state.leading, b.state.leading]).to.eql([true, false]);
    finish();
    expect(await a.outcome).to.equal("ended");
    const released = performance.now();
    await eventually("b leads", () => b.state.leading);
    expect(performance.now() - released).to.be.lessThan(SHORT.leaseDurationMs / 2);
  });

  it("releases the lease and passes the failure on when the work fails", async () => {
    const a = candidate("a", () => Promise.reject(new Error("broken")));
    expect(String(await a.outcome)).to.equal("Error: broken");
    expect((await lease()).spec.holderIdentity).to.equal(undefined);
  });

  it("ends when another's name stands in its lease", async () => {
    const a = candidate("a");
    await eventually("a leads", () => a.state.leading);
    await eventually("the thief's write", async () => {
      const live = await lease();
      return client.replace(Resources.leases, { ...live, spec: { ...live.spec, holderIdentity: "thief" } }).then(
        () => true,
        () => false,
      );
    });
    expect(await a.outcome).to.be.instanceOf(LeaseLostError);
    expect((await lease()).spec.holderIdentity).to.equal("thief");
  });

  it("does not trust the clock of the holder: a renewal from long ago or far ahead counts from when it was seen", async () => {
    for (const [identity, renewTime] of [
      ["past", "2001-01-01T00:00:00.000000Z"],
      ["future", "2101-01-01T00:00:00.000000Z"],
    ]) {
      name = `lease-${identity}`;
      const spec = {
        holderIdentity: "other",
        leaseDurationSeconds: 1,
        acquireTime: renewTime,
        renewTime,
        leaseTransitions: 0,
      };
      await client.create(Resources.leases, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name, namespace },
        spec,
      } as KubeObject);
      const begin = performance.now();
      const a = candidate("a");
      await eventually("a leads", () => a.state.leading);
      expect(performance.now() - begin, identity).to.be.within(900, 30_000);
    }
  });

  it("stops waiting without ever leading when the process ends", async () => {
    const a = candidate("a");
    await eventually("a leads", () => a.state.leading);
    const b = candidate("b");
    b.stop.abort();
    expect(await b.outcome).to.equal("ended");
    expect(b.state.everLed).to.equal(false);
    expect((await lease()).spec.holderIdentity).to.equal("a");
  });

  it("ends in time although its work does not stop", async () => {
    const a = candidate("a", () => new Promise(() => undefined));
    await eventually("a leads", () => a.state.leading);
    a.state.cut = true;
    const begin = performance.now();
    expect(await a.outcome).to.be.instanceOf(LeaseLostError);
    expect(performance.now() - begin).to.be.lessThan(SHORT.leaseDurationMs + 10_000);
  });
});
