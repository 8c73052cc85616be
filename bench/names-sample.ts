import type { CacheRegistryView, NamedRuleView } from "../core/cachenames/types.ts";
import { type ImageReference, parseReference } from "../core/image/reference.ts";

/** The one registry of the sample rules. */
export const SAMPLE_REGISTRY: CacheRegistryView = { metadata: { name: "main" }, spec: { inCluster: {} } };

const HOST = "localhost:30500";

function rule(index: number, source: string, target: string): NamedRuleView {
  return {
    metadata: { name: `rule-${index}`, uid: `uid-${index}`, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { registryRef: { name: "main" }, source, target },
    status: {
      pullPrefix: `${HOST}/${target.replace(/\/\*$/, "")}`,
      conditions: ["Accepted", "Ready"].map((type) => ({ type, status: "True" })),
    },
  };
}

/** As many rules as told: the first is all of Docker Hub, then by turns a team's namespace and one image of it. */
export function sampleRules(count: number): readonly NamedRuleView[] {
  return Array.from({ length: count }, (_, index) => {
    const team = `team-${Math.ceil(index / 2)}`;
    if (index === 0) return rule(index, "docker.io/*", "hub/*");
    return index % 2 === 1
      ? rule(index, `docker.io/${team}/*`, `${team}/*`)
      : rule(index, `docker.io/${team}/app`, `${team}-app`);
  });
}

/** An upstream image, and what the most specific of `sampleRules(count)` calls it. */
export interface SampleImage {
  readonly image: ImageReference;
  readonly cached: string;
}

/** Images whose most specific rules are the first, in the middle and the last, of one image, of a namespace and of the whole registry. */
export function sampleImages(count: number): readonly SampleImage[] {
  const named = (image: string, cached: string) => ({ image: parseReference(image), cached: `${HOST}/${cached}` });
  const teams = [1, Math.ceil(count / 4), Math.floor((count - 1) / 2)].filter((team) => team > 0 && 2 * team < count);
  return [
    named("redis:7", "hub/library/redis:7"),
    named("docker.io/nobody/deep/down/image:v1", "hub/nobody/deep/down/image:v1"),
    ...teams.flatMap((team) => [
      named(`team-${team}/app:v1`, `team-${team}-app:v1`),
      named(`docker.io/team-${team}/app/sidecar:v1`, `team-${team}/app/sidecar:v1`),
    ]),
  ];
}
