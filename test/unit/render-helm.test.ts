import { expect } from "chai";
import { loadAll } from "js-yaml";
import { parseReference } from "../../core/image/reference.ts";
import { helmValues } from "../../core/render/helmvalues.ts";
import { selectRules } from "../../core/render/rules.ts";
import { MAIN_REGISTRY, namedRule } from "../support/named-rules.ts";

const RULES = [
  namedRule("docker.io/*", "hub/*", { name: "hub" }),
  namedRule("docker.io/library/nginx", "web/nginx", { name: "nginx" }),
  namedRule("quay.io/x/y", "hub/x/y", { name: "inside" }),
  namedRule("a.example/b", "b", { name: "resting", suspend: true }),
];
const DIGEST = `sha256:${"a".repeat(64)}`;
const selection = selectRules(RULES, [MAIN_REGISTRY]);

describe("values for Helm charts, made of rules", () => {
  it("are a document for each rule of one image, and a comment for the others", () => {
    const { text, complete } = helmValues(selection);
    expect(complete).to.equal(true);
    expect(loadAll(text).filter(Boolean)).to.deep.equal([
      { image: { registry: "localhost:30500", repository: "web/nginx" } },
      { image: { registry: "localhost:30500", repository: "hub/x/y" } },
    ]);
    expect(text).to.include("#   CacheRule hub: docker.io/* is localhost:30500/hub/*");
    expect(text).to.include("#   CacheRule resting: it is suspended");
    expect(text).to.include('# a chart without image.registry: repository: "localhost:30500/web/nginx"');
  });

  it("are those of images that are named, with their tags as text and their digests", () => {
    const images = ["nginx:1.20", `docker.io/bitnami/redis:7@${DIGEST}`, "quay.io/x/y"].map(parseReference);
    const { text, complete } = helmValues(selection, images);
    expect(complete).to.equal(true);
    expect(loadAll(text).filter(Boolean)).to.deep.equal([
      { image: { registry: "localhost:30500", repository: "web/nginx", tag: "1.20" } },
      { image: { registry: "localhost:30500", repository: "hub/bitnami/redis", tag: "7", digest: DIGEST } },
      { image: { registry: "localhost:30500", repository: "hub/x/y" } },
    ]);
    for (const [index, cached] of ["web/nginx:1.20", `hub/bitnami/redis:7@${DIGEST}`].entries()) {
      const image = images[index] ?? expect.fail("no image");
      expect(selection.names.cachedAs(image)[0]?.reference.asWritten).to.equal(`localhost:30500/${cached}`);
    }
  });

  it("say which images no rule names, or only by the name of another image", () => {
    const { text, complete } = helmValues(selection, ["ghcr.io/a/b:1", "x/y:1", "redis"].map(parseReference));
    expect(complete).to.equal(false);
    expect(text).to.include("# No CacheRule names ghcr.io/a/b:1.").and.include("# No CacheRule names x/y:1.");
    expect(loadAll(text).filter(Boolean)).to.have.length(1);
    expect(helmValues(selection, []).complete).to.equal(true);
  });
});
