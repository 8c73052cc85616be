import { expect } from "chai";
import { evidenceLookup, type Lookup, tagLookup } from "../../core/cachenames/lookups.ts";
import { buildNames, NO_NAMES } from "../../core/cachenames/names.ts";
import type { CacheRegistryView, NamedRuleView, SignatureLookup } from "../../core/cachenames/types.ts";
import { parseReference } from "../../core/image/reference.ts";

const HOST = "localhost:30500";
const DIGEST = `sha256:${"a".repeat(64)}`;
const DOWN = { conditions: [{ type: "Reachable", status: "False", message: "connection refused" }] };

interface Situation {
  readonly signatures?: SignatureLookup;
  /** Another product than the cache in the cluster. */
  readonly product?: boolean;
  readonly down?: boolean;
  readonly suspended?: boolean;
}

function rule(source: string, target: string, registry: string, suspended = false): NamedRuleView {
  const name = `${registry}-${target}`.replaceAll(/[^a-z0-9]+/g, "-");
  return {
    metadata: { name, uid: `uid-${name}`, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { registryRef: { name: registry }, source, target, ...(suspended && { suspend: true }) },
    status: {
      pullPrefix: `${HOST}/${target}`.replace(/\/\*$/, ""),
      conditions: ["Accepted", "Ready"].map((type) => ({ type, status: "True" })),
    },
  };
}

function namesOf({ signatures, product = false, down = false, suspended = false }: Situation) {
  const main: CacheRegistryView = {
    metadata: { name: "main" },
    spec: { ...(!product && { inCluster: {} }), ...(signatures && { signatures }) },
    ...(down && { status: DOWN }),
  };
  return buildNames([rule("docker.io/*", "hub/*", "main", suspended)], [main]);
}

/** The places in short: `cache=localhost:30500/hub/app:v1`. */
function shown({ places }: Lookup): readonly string[] {
  return places.map((place) => `${place.kind}=${place.reference.asWritten}`);
}

describe("where an image's evidence and tags are looked up", () => {
  const cache = `cache=${HOST}/hub/acme/app:v1`;
  const written = "upstream=docker.io/acme/app:v1";
  const origin = "upstream=index.docker.io/acme/app:v1";

  const rows: readonly [
    Situation,
    evidence: string[],
    tag: string[],
    ofCached: { evidence: string[]; tag: string[] },
  ][] = [
    [{}, [cache, written], [cache, written], { evidence: [cache, origin], tag: [cache, origin] }],
    [{ signatures: "both" }, [cache, written], [cache, written], { evidence: [cache, origin], tag: [cache, origin] }],
    [{ signatures: "cache" }, [cache], [cache], { evidence: [cache], tag: [cache] }],
    [{ signatures: "upstream" }, [written], [written], { evidence: [origin], tag: [cache, origin] }],
    [{ product: true }, [cache, written], [written, cache], { evidence: [cache, origin], tag: [cache, origin] }],
    [{ product: true, signatures: "cache" }, [cache], [cache], { evidence: [cache], tag: [cache] }],
    [{ down: true }, [written], [written], { evidence: [origin], tag: [origin] }],
    [{ down: true, product: true }, [written], [written], { evidence: [origin], tag: [origin] }],
    [{ down: true, signatures: "cache" }, [cache], [cache], { evidence: [cache], tag: [cache] }],
    [{ suspended: true }, [cache, written], [cache, written], { evidence: [cache, origin], tag: [cache, origin] }],
  ];
  for (const [situation, evidence, tag, ofCached] of rows)
    it(`${JSON.stringify(situation)}: ${evidence.length} and ${tag.length}`, () => {
      const names = namesOf(situation);
      const upstream = parseReference("docker.io/acme/app:v1");
      const cached = parseReference(`${HOST}/hub/acme/app:v1`);
      expect(shown(evidenceLookup(upstream, names)), "evidence").to.deep.equal(evidence);
      expect(shown(tagLookup(upstream, names)), "tag").to.deep.equal(tag);
      expect(shown(evidenceLookup(cached, names)), "evidence by the cached name").to.deep.equal(ofCached.evidence);
      expect(shown(tagLookup(cached, names)), "tag by the cached name").to.deep.equal(ofCached.tag);
    });

  it("say which cache was left out, and why", () => {
    const names = namesOf({ down: true });
    const reference = parseReference("docker.io/acme/app:v1");
    for (const lookup of [evidenceLookup(reference, names), tagLookup(reference, names)])
      expect(lookup.leftOut).to.deep.equal({ registry: "main", why: "connection refused" });
    expect(evidenceLookup(reference, namesOf({ down: true, signatures: "cache" })).leftOut).to.equal(undefined);
  });

  it("are the image's own alone where no rule names it; the very reference comes back", () => {
    for (const names of [NO_NAMES, namesOf({})]) {
      const reference = parseReference(`ghcr.io/acme/app@${DIGEST}`);
      for (const { places } of [evidenceLookup(reference, names), tagLookup(reference, names)]) {
        expect(places).to.have.length(1);
        expect(places[0]?.kind).to.equal("upstream");
        expect(places[0]?.reference).to.equal(reference);
      }
    }
  });

  it("keep tag and digest, and go by the most specific rule", () => {
    const edge: CacheRegistryView = { metadata: { name: "edge" }, spec: { signatures: "cache" } };
    const main: CacheRegistryView = { metadata: { name: "main" }, spec: { inCluster: {} } };
    const rules = [rule("docker.io/*", "hub/*", "main"), rule("docker.io/acme/*", "acme/*", "edge")];
    const names = buildNames(rules, [main, edge]);
    expect(shown(evidenceLookup(parseReference(`acme/app:v1@${DIGEST}`), names))).to.deep.equal([
      `cache=${HOST}/acme/app:v1@${DIGEST}`,
    ]);
    expect(shown(evidenceLookup(parseReference("acme2/app:v1"), names))).to.deep.equal([
      `cache=${HOST}/hub/acme2/app:v1`,
      "upstream=acme2/app:v1",
    ]);
  });
});
