import { expect } from "chai";
import type { KubeObject } from "../../adapters/kube/types.ts";
import type { Condition } from "../../core/conditions.ts";
import type { CacheRegistryObject, CacheRuleObject } from "../../crds/index.ts";
import { noteReadiness } from "../../operator/events.ts";
import { inClusterReadiness } from "../../operator/incluster/readiness.ts";
import { servedByAll } from "../../operator/incluster/serving.ts";

const ABOUT = { apiVersion: "entrepot.dev/v1alpha1", kind: "CacheRule", metadata: { name: "a" } } as KubeObject;

function ready(status: Condition["status"], reason: string, observedGeneration = 1): readonly Condition[] {
  const lastTransitionTime = "2030-01-01T00:00:00Z";
  return [{ type: "Ready", status, reason, message: "why", observedGeneration, lastTransitionTime }];
}

/** `type reason` of the Events that the change makes. */
function noted(before: readonly Condition[] | undefined, after: readonly Condition[]): readonly string[] {
  const found: string[] = [];
  noteReadiness({ record: ({ type, reason }) => found.push(`${type} ${reason}`) }, ABOUT, before, after);
  return found;
}

describe("the Events of readiness", () => {
  const was = ready("True", "Ready");

  it("warn of a gateway that is gone, for what was Ready as it is written", () => {
    expect(noted(was, ready("False", "GatewayNotReady"))).to.deep.equal(["Warning GatewayNotReady"]);
    expect(noted(ready("True", "ServingFromCache"), ready("False", "GatewayNotReady"))).to.deep.equal([
      "Warning GatewayNotReady",
    ]);
  });

  it("do not warn of a gateway that has yet to start, or to load what was just written", () => {
    for (const before of [undefined, ready("False", "RegistryNotReady"), ready("True", "Ready", 0)])
      expect(noted(before, ready("False", "GatewayNotReady"))).to.deep.equal(["Normal GatewayNotReady"]);
  });

  it("do not warn of what somebody asked for", () => {
    expect(noted(was, ready("False", "Suspended"))).to.deep.equal(["Normal Suspended"]);
    expect(noted(ready("False", "GatewayNotReady"), was)).to.deep.equal(["Normal Ready"]);
  });

  it("say nothing at rest", () => {
    expect(noted(was, was)).to.deep.equal([]);
  });
});

describe("a gateway of which no Pod is ready", () => {
  it("is named with a command that can be typed", () => {
    const registry = { metadata: { name: "main" }, spec: {} } as CacheRegistryObject;
    const command = /; see kubectl -n sys describe deployment entrepot-gateway-main$/;
    for (const progress of [
      servedByAll([], ABOUT as CacheRuleObject, "entrepot-gateway-main", "sys"),
      inClusterReadiness(registry, [], new Map(), "sys"),
    ])
      expect(progress.done ? "" : progress.message).to.match(command);
  });
});
