import { expect } from "chai";
import fc from "fast-check";
import type { Upstream } from "../../core/cacheregistry/types.ts";
import { parseMapping, toUpstream } from "../../core/cacherule/mapping.ts";
import { renderZot, type ZotOptions, type ZotRule, zotCredentials, zotRefusal } from "../../core/product/zot.ts";
import { type ZotContent, zotSource } from "../support/zot-routing.ts";

let count = 0;

function rule(
  source: string,
  target: string,
  zot?: ZotOptions,
  created = `2030-01-01T00:00:${String(count % 60).padStart(2, "0")}Z`,
): ZotRule {
  const name = `rule-${++count}`;
  return {
    rule: {
      metadata: { name, uid: `uid-${name}`, generation: 1, resourceVersion: "1", creationTimestamp: created },
      spec: { registryRef: { name: "zot" }, source, target, ...(zot && { options: { zot } }) },
    },
    mapping: parseMapping({ source, target }),
  };
}

const NO_UPSTREAMS = new Map<string, Upstream>();

interface Rendered {
  readonly registries: readonly { readonly urls: readonly string[]; readonly content: readonly ZotContent[] }[];
}

function render(rules: readonly ZotRule[], upstreams = NO_UPSTREAMS): Rendered {
  return (renderZot(rules, upstreams, undefined).section ?? { registries: [] }) as unknown as Rendered;
}

describe("zot's sync configuration", () => {
  it("is, for rules of two upstreams, exactly this", () => {
    const rules = [
      rule("docker.io/library/*", "hub/*"),
      rule("docker.io/library/nginx", "web/nginx"),
      rule("docker.io/*", "all-of-hub/*"),
      rule("registry.local:5000/team/*", "team/*", { onlySigned: true, manifestCheckInterval: "10m" }),
      rule("docker.io/lgmorand/demoappprometheus", "demo-prometheus", { pollInterval: "1h", preserveDigest: true }),
    ];
    const upstreams = new Map<string, Upstream>([
      ["index.docker.io", { host: "index.docker.io", plainHTTP: false, credentials: { username: "u", password: "p" } }],
      ["registry.local:5000", { host: "registry.local:5000", plainHTTP: true }],
    ]);
    expect(renderZot(rules, upstreams, "/etc/zot-credentials/credentials.json")).to.deep.equal({
      beaten: new Map(),
      section: {
        enable: true,
        credentialsFile: "/etc/zot-credentials/credentials.json",
        registries: [
          {
            urls: ["https://registry-1.docker.io"],
            onDemand: true,
            tlsVerify: true,
            retryDelay: "500ms",
            content: [
              { prefix: "library/nginx", destination: "/web/nginx", stripPrefix: true },
              { prefix: "*/**", destination: "/all-of-hub", stripPrefix: false },
              { prefix: "library/*/**", destination: "/hub", stripPrefix: true },
            ],
          },
          {
            urls: ["https://registry-1.docker.io"],
            onDemand: true,
            tlsVerify: true,
            pollInterval: "1h",
            preserveDigest: true,
            content: [{ prefix: "lgmorand/demoappprometheus", destination: "/demo-prometheus", stripPrefix: true }],
          },
          {
            urls: ["http://registry.local:5000"],
            onDemand: true,
            tlsVerify: true,
            retryDelay: "500ms",
            onlySigned: true,
            manifestCheckInterval: "10m",
            content: [{ prefix: "team/*/**", destination: "/team", stripPrefix: true }],
          },
        ],
      },
    });
  });

  it("is nothing without rules", () => {
    expect(renderZot([], NO_UPSTREAMS, "/x").section).to.equal(undefined);
  });

  it("is the same whatever the order of the rules", () => {
    const rules = [rule("docker.io/*", "a/*"), rule("docker.io/b/c", "a/b/c"), rule("quay.io/x/*", "q/*")];
    expect(render(rules)).to.deep.equal(render(rules.toReversed()));
  });

  const outcomes: readonly { name: string; first: ZotRule; second: ZotRule; beaten: boolean }[] = [
    {
      name: "an image of another upstream within a wildcard",
      first: rule("docker.io/library/*", "hub/*"),
      second: rule("ghcr.io/acme/nginx", "hub/nginx"),
      beaten: true,
    },
    {
      name: "a wildcard of another upstream around an image",
      first: rule("ghcr.io/acme/nginx", "mix/nginx"),
      second: rule("docker.io/library/*", "mix/*"),
      beaten: true,
    },
    {
      name: "an image that is to be signed within a wildcard that takes any",
      first: rule("docker.io/library/*", "lib/*"),
      second: rule("docker.io/library/nginx", "lib/nginx", { onlySigned: true }),
      beaten: true,
    },
    {
      name: "everything of another upstream below an image",
      first: rule("ghcr.io/acme/app", "deep/down/app"),
      second: rule("quay.io/*", "*"),
      beaten: true,
    },
    {
      name: "an image of the same upstream, with the same options, within a wildcard",
      first: rule("docker.io/library/*", "same/*"),
      second: rule("docker.io/bitnami/nginx", "same/nginx"),
      beaten: false,
    },
    {
      name: "a name that only begins alike",
      first: rule("docker.io/library/*", "alike/*"),
      second: rule("ghcr.io/acme/app", "alikely/app"),
      beaten: false,
    },
  ];
  for (const { name, first, second, beaten } of outcomes) {
    it(`${beaten ? "leaves out the younger rule" : "has both rules"}: ${name}`, () => {
      const rendering = renderZot([second, first], NO_UPSTREAMS, undefined);
      expect([...rendering.beaten]).to.deep.equal(beaten ? [[second.rule.metadata.uid, first.rule.metadata.name]] : []);
    });
  }

  it("leads every name to the repository that the rule says, to one upstream alone, and no other name anywhere", () => {
    const component = fc.constantFrom("a", "b", "library", "x-y", "c.d");
    const path = fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    const host = fc.constantFrom("docker.io", "ghcr.io", "registry.local:5000");
    const anyRule = fc.oneof(
      fc.tuple(host, path, path).map(([from, source, target]) => rule(`${from}/${source}`, target)),
      fc.tuple(host, path, path).map(([from, source, target]) => rule(`${from}/${source}/*`, `${target}/*`)),
      fc.tuple(host, path).map(([from, target]) => rule(`${from}/*`, `${target}/*`)),
      fc.tuple(host, path).map(([from, source]) => rule(`${from}/${source}/*`, "*")),
    );
    const rules = fc.uniqueArray(anyRule, { maxLength: 6, selector: ({ rule: { spec } }) => spec.target });
    fc.assert(
      fc.property(rules, fc.array(path, { maxLength: 8 }), (declared, names) => {
        const { beaten, section } = renderZot(declared, NO_UPSTREAMS, undefined);
        const { registries = [] } = (section ?? {}) as unknown as Partial<Rendered>;
        const kept = declared.filter(({ rule: { metadata } }) => !beaten.has(metadata.uid));
        for (const name of names) {
          const answers = registries.flatMap(({ urls, content }) => {
            const source = zotSource(content, name);
            return source === undefined ? [] : [{ url: urls[0], source }];
          });
          const covering = kept
            .filter(({ mapping }) => toUpstream(mapping, name) !== undefined)
            .sort(
              (a, b) =>
                Number(a.mapping.target.wildcard) - Number(b.mapping.target.wildcard) ||
                b.mapping.target.path.length - a.mapping.target.path.length,
            );
          const [best] = covering;
          const wanted = best === undefined ? [] : [toUpstream(best.mapping, name)?.repository];
          expect(
            answers.map(({ source }) =>
              best?.mapping.source.host === "index.docker.io" && !source.includes("/") ? `library/${source}` : source,
            ),
            name,
          ).to.deep.equal(wanted);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("zot's credentials file", () => {
  it("is keyed by the host of the URL, and is the same whatever the order", () => {
    const hub: Upstream = {
      host: "index.docker.io",
      plainHTTP: false,
      credentials: { username: "u", password: 'p"\n' },
    };
    const own: Upstream = {
      host: "registry.local:5000",
      plainHTTP: true,
      credentials: { username: "a", password: "b" },
    };
    const text = zotCredentials([hub, own, { host: "quay.io", plainHTTP: false }]);
    expect(JSON.parse(text ?? "")).to.deep.equal({
      "registry-1.docker.io": { username: "u", password: 'p"\n' },
      "registry.local:5000": { username: "a", password: "b" },
    });
    expect(text).to.equal(zotCredentials([own, hub]));
  });

  it("is not needed for anonymous upstreams", () => {
    expect(zotCredentials([{ host: "quay.io", plainHTTP: false }])).to.equal(undefined);
  });
});

describe("what zot can't do", () => {
  it("is an authority of one upstream's own", () => {
    expect(zotRefusal("ghcr.io", { host: "ghcr.io" })).to.equal(undefined);
    expect(zotRefusal("ghcr.io", { host: "ghcr.io", caBundle: "PEM" })).to.match(/mount the authority there/);
  });
});
