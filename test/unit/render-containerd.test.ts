import { expect } from "chai";
import fc from "fast-check";
import { buildNames } from "../../core/cachenames/names.ts";
import type { NamedRuleView } from "../../core/cachenames/types.ts";
import { canonicalName, parseReference } from "../../core/image/reference.ts";
import { containerdFiles, containerdText, type MirrorRegistryView } from "../../core/render/containerd.ts";
import { selectRules } from "../../core/render/rules.ts";
import { MAIN_REGISTRY, namedRule } from "../support/named-rules.ts";

const AZURE: MirrorRegistryView = { metadata: { name: "azure" }, spec: {} };
const TLS: MirrorRegistryView = { metadata: { name: "tls" }, spec: { inCluster: { tls: {} } } };
const REGISTRIES = [MAIN_REGISTRY, AZURE, TLS];

const rendered = (rules: readonly NamedRuleView[], registry?: string) =>
  containerdFiles(selectRules(rules, REGISTRIES, registry), REGISTRIES);

/** Where containerd would ask for an image, in its order: the references that its mirrors' addresses mean. */
function mirrored(content: string, image: string): readonly string[] {
  const { repository, tag } = parseReference(image);
  return [...content.matchAll(/^\[host[.]"https?:\/\/([^/]+)\/v2\/?(.*)"\]$/gm)].map(
    ([, host, base]) => `${host}/${base === "" ? "" : `${base}/`}${repository}:${tag}`,
  );
}

describe("hosts.toml for containerd, made of rules", () => {
  it("has a mirror for all of an upstream", () => {
    const { files, notExpressed } = rendered([namedRule("docker.io/*", "hub/*", { name: "hub" })]);
    expect(notExpressed).to.deep.equal([]);
    expect(files.map(({ directory }) => directory)).to.deep.equal(["docker.io"]);
    expect(files[0]?.content.replaceAll(/^# (containerd:|Put|reads|containerd ).*\n/gm, "")).to.equal(
      `server = "https://registry-1.docker.io"

# CacheRule hub: docker.io/* is localhost:30500/hub/*
[host."http://localhost:30500/v2/hub"]
  capabilities = ["pull", "resolve"]
  override_path = true
`,
    );
  });

  it("has one mirror for rules that keep the path behind one prefix, exact ones and wildcards", () => {
    const { files, notExpressed } = rendered([
      namedRule("registry.local:5000/acme/*", "all/acme/*", { name: "acme" }),
      namedRule("registry.local:5000/tools/jq", "all/tools/jq", { name: "jq" }),
      namedRule("ghcr.io/team/*", "team/*", { name: "team", registry: "tls", host: "cache.example.com" }),
    ]);
    expect(notExpressed).to.deep.equal([]);
    const [ghcr, local] = files;
    expect(ghcr).to.include({ host: "ghcr.io", directory: "ghcr.io" });
    expect(ghcr?.content).to.include('server = "https://ghcr.io"').and.include('[host."https://cache.example.com/v2"]');
    expect(ghcr?.content).to.match(/^ {2}# ca = /m);
    expect(local).to.include({ host: "registry.local:5000", directory: "registry.local_5000_" });
    expect(local?.content).to.not.match(/^server/m);
    expect(local?.content.match(/^\[host/gm)).to.have.length(1);
    expect(mirrored(local?.content ?? "", "registry.local:5000/acme/app:1")).to.deep.equal([
      "localhost:30500/all/acme/app:1",
    ]);
  });

  it("leaves out, with the reason, what a mirror can't say or would say of too much", () => {
    const { files, notExpressed } = rendered([
      namedRule("docker.io/library/nginx", "web", { name: "renamed" }),
      namedRule("quay.io/acme/*", "acme/*", { name: "beside", registry: "azure", host: "acme.azurecr.io" }),
      namedRule("mcr.microsoft.com/*", "mcr/*", { name: "whole", registry: "azure", host: "acme.azurecr.io" }),
      namedRule("ghcr.io/a/*", "a/*", { name: "root" }),
      namedRule("gcr.io/x/*", "gone/*", { name: "suspended", suspend: true }),
      namedRule("gcr.io/y/*", "gone/*", { name: "rival", accepted: "False" }),
      namedRule("gcr.io/z/*", "z/*", { name: "deleted", deletionTimestamp: "2026-01-02T00:00:00Z" }),
      namedRule("gcr.io/w/*", "w/*", { name: "homeless", registry: "nowhere" }),
    ]);
    expect(files.map(({ host }) => host)).to.deep.equal(["mcr.microsoft.com"]);
    const reasons = Object.fromEntries(notExpressed.map(({ rule, reason }) => [rule, reason]));
    expect(reasons["renamed"]).to.equal("a mirror keeps the upstream's path, and web does not end with library/nginx");
    expect(reasons["beside"]).to.include("may have other images by the same path").and.include("quay.io/*");
    expect(reasons["root"]).to.match(/would ask localhost:30500 for every image of ghcr.io, where CacheRule \S+ has /);
    expect(reasons["suspended"]).to.equal("it is suspended");
    expect(reasons["rival"]).to.equal("it is not accepted: the conflict");
    expect(reasons["deleted"]).to.equal("it is being deleted");
    expect(reasons["homeless"]).to.include('CacheRegistry "nowhere" is not there');
  });

  it("says of a rule that is not Ready that it is not, in a comment that stays one line", () => {
    const rule = namedRule("docker.io/*", "hub/*", { name: "hub", notReady: "the reason" });
    const conditions = rule.status?.conditions?.map((one) => ({ ...one, message: 'x\n[host."http://evil"]' }));
    const text = containerdText(rendered([{ ...rule, status: { ...rule.status, ...(conditions && { conditions }) } }]));
    expect(text).to.include('CacheRule "hub" is not Ready: x [host."http://evil"]');
    expect(text.match(/^\[host/gm)).to.have.length(1);
  });

  it("is of one registry if told, and minds the names of all", () => {
    const rules = [
      namedRule("ghcr.io/a/*", "a/*", { name: "mine", registry: "tls" }),
      namedRule("quay.io/b/*", "b/*", { name: "other" }),
    ];
    expect(rendered(rules, "tls").files).to.deep.equal([]);
    expect(rendered(rules.slice(0, 1), "tls").files).to.have.length(1);
  });

  const part = fc.constantFrom("a", "b", "lib", "library");
  const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
  const host = fc.constantFrom("docker.io", "ghcr.io");
  const registry = fc.constantFrom("main", "azure");
  const wild = fc
    .tuple(host, fc.option(path, { nil: "" }), fc.option(path, { nil: "" }), registry)
    .map(([h, s, t, r]) =>
      namedRule(`${h}/${s}/*`.replace("//", "/"), `${t}/*`.replace(/^\//, ""), { registry: r, host: `${r}.test` }),
    );
  const kept = fc
    .tuple(host, path, fc.option(part, { nil: "" }), registry)
    .map(([h, s, t, r]) =>
      namedRule(`${h}/${s}/*`, `${t}/${s}/*`.replace(/^\//, ""), { registry: r, host: `${r}.test` }),
    );
  const exact = fc
    .tuple(host, path, path, registry)
    .map(([h, s, t, r]) => namedRule(`${h}/${s}`, t, { registry: r, host: `${r}.test` }));

  const rulesAndImage = fc.array(fc.oneof(wild, kept, exact), { minLength: 1, maxLength: 6 }).chain((rules) => {
    const declared = fc.constantFrom(...rules.map(({ spec }) => spec.source));
    const beneath = fc.tuple(declared, path).map(([source, below]) => source.replace("*", below));
    const any = fc.tuple(host, path).map((parts) => parts.join("/"));
    return fc.tuple(fc.constant(rules), fc.oneof(any, beneath));
  });

  it("asks for no other image than the one that was named, and for its name in the cache where a rule has one", () => {
    let asked = 0;
    fc.assert(
      fc.property(rulesAndImage, ([rules, written]) => {
        const unique = rules.map((rule, n) => ({
          ...rule,
          metadata: { ...rule.metadata, name: `r${n}`, uid: `${n}` },
        }));
        const image = parseReference(`${written}:v1`);
        const names = buildNames(unique, REGISTRIES);
        const { files, notExpressed } = rendered(unique);
        const out = new Set(notExpressed.map(({ rule }) => rule));
        const mirrors = mirrored(
          files.find((file) => file.host === written.split("/")[0])?.content ?? "",
          image.asWritten,
        );
        for (const mirror of mirrors) {
          const origin = names.originOf(parseReference(mirror))?.reference;
          if (origin !== undefined) expect(canonicalName(origin)).to.equal(canonicalName(image));
          else if (mirror.startsWith("azure")) expect.fail(`${mirror} is no rule's, and somebody else may push it`);
        }
        for (const { by, reference } of names.cachedAs(image))
          if (!out.has(by.rule)) {
            asked += 1;
            expect(mirrors).to.include(reference.asWritten);
          }
      }),
      { numRuns: 300 },
    );
    expect(asked).to.be.above(5);
  });
});
