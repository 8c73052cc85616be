import { expect } from "chai";
import type { CacheRuleObject } from "../../crds/index.ts";
import { servedByAll, servedByNone } from "../../operator/incluster/serving.ts";
import { parseRulesPage } from "../../operator/pages/documents.ts";
import { readyEndpoints } from "../../operator/pages/endpoints.ts";
import type { EndpointSliceObject } from "../../operator/resources.ts";

describe("what replicas say", () => {
  const one = { metadata: { name: "a", uid: "uid-a", generation: 3 } } as CacheRuleObject;
  const page = (entry: object) => ({
    endpoint: "pod-1",
    page: parseRulesPage({ registry: "main", rules: { a: entry } }, "main"),
  });
  const good = page({ uid: "uid-a", generation: 3, backendReady: true });

  it("serves a rule only if every replica does, at its generation, with its backend", () => {
    expect(servedByAll([good, good], one, "gw", "sys")).to.deep.equal({ done: true });
    const bad = [
      page({ uid: "uid-a", generation: 2, backendReady: true }),
      page({ uid: "uid-of-a-namesake", generation: 3, backendReady: true }),
      page({ uid: "uid-a", generation: 3, backendReady: false, reason: "refused" }),
      page({ uid: "uid-a", generation: 3 }),
      page({ generation: 3, backendReady: true }),
      { endpoint: "pod-1", problem: "timeout" },
      { endpoint: "pod-1", page: parseRulesPage({ registry: "main", rules: {} }, "main") },
    ];
    for (const answer of bad)
      expect(servedByAll([good, answer], one, "gw", "sys").done, JSON.stringify(answer)).to.equal(false);
    expect(servedByAll([], one, "gw", "sys").done, "no replica at all").to.equal(false);
  });

  it("lets a rule go only if no replica serves it, and every one was asked", () => {
    const none = { endpoint: "pod-1", page: parseRulesPage({ registry: "main", rules: {} }, "main") };
    expect(servedByNone([none], one).done).to.equal(true);
    expect(servedByNone([], one).done).to.equal(true);
    expect(servedByNone([none, good], one).done).to.equal(false);
    expect(servedByNone([none, page({ uid: "uid-a", generation: 1 })], one).done).to.equal(false);
    expect(servedByNone([none, page({ uid: "uid-of-a-namesake", generation: 1 })], one).done).to.equal(true);
    expect(servedByNone([{ endpoint: "pod-1", problem: "timeout" }], one).done).to.equal(false);
  });

  for (const document of [
    null,
    [],
    "x",
    {},
    { registry: "other", rules: {} },
    { registry: "main", rules: [] },
    { registry: "main" },
  ]) {
    it(`can't be read from ${JSON.stringify(document)}`, () =>
      expect(() => parseRulesPage(document, "main")).to.throw(/status page/));
  }

  it("are asked of ready replicas, each once", () => {
    const slice = (
      name: string,
      addressType: string,
      endpoints: EndpointSliceObject["endpoints"],
      service = "webhook",
      ports: EndpointSliceObject["ports"] = null,
    ): EndpointSliceObject => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name, namespace: "cosign-system", labels: { "kubernetes.io/service-name": service } },
      addressType,
      endpoints: endpoints ?? null,
      ports: ports ?? null,
    });
    const slices = [
      slice("a", "IPv4", [
        { addresses: ["10.0.0.1"], conditions: { ready: true }, targetRef: { name: "p1" } },
        { addresses: ["10.0.0.2"], conditions: { ready: false }, targetRef: { name: "p2" } },
        { addresses: ["10.0.0.3"], targetRef: { name: "p3" } },
      ]),
      slice("b", "IPv6", [
        { addresses: ["fd00::1"], conditions: { ready: true }, targetRef: { name: "p1" } },
        { addresses: ["fd00::4"] },
      ]),
      slice("c", "IPv4", [{ addresses: ["10.0.0.9"] }], "other"),
      slice("d", "IPv4", null),
      slice("e", "IPv4", [{ addresses: ["10.0.0.5"], targetRef: { name: "p5" } }], "webhook", [
        { name: "status", port: 8080 },
      ]),
    ];
    const found = readyEndpoints({ list: () => slices, get: () => undefined }, "webhook", 9090);
    expect(found.map(({ origin }) => origin)).to.have.members([
      "http://10.0.0.1:9090",
      "http://10.0.0.3:9090",
      "http://[fd00::4]:9090",
      "http://10.0.0.5:8080",
    ]);
  });
});
