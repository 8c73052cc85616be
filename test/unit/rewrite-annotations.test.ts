import { expect } from "chai";
import type { Cache } from "../../core/cachenames/types.ts";
import { missingPullSecrets, pullSecretOperations } from "../../core/rewrite/pullsecrets.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { HOST, namedRule } from "../support/named-rules.ts";
import { applied, created, imagesIn, namesOf, noteOf, podOf } from "../support/rewrite-samples.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const ORIGINAL = ANNOTATION.originalImages;
const NOT = ANNOTATION.notRewritten;

describe("what rewriting notes on a Pod", () => {
  const names = namesOf([namedRule("docker.io/*", "hub/*")]);
  const broken = namesOf([namedRule("docker.io/*", "hub/*", { name: "hub", notReady: "no answer" })]);
  const noted = (images: readonly string[], annotations: object, index = names) =>
    created(podOf(images, {}, { annotations }), index);

  it("stands beside other annotations, and makes them where there are none", () => {
    const { pod } = noted(["a/b:1"], { other: "1" });
    expect(pod["metadata"]).to.deep.equal({
      name: "p",
      annotations: { other: "1", [ORIGINAL]: '{"c0":"a/b:1"}' },
    });
    expect(created(podOf(["a/b:1"]), names).patch).to.deep.include({
      op: "add",
      path: "/metadata/annotations",
      value: { [ORIGINAL]: '{"c0":"a/b:1"}' },
    });
  });

  it("keeps what an earlier invocation noted, and adds the container that another webhook put in", () => {
    const first = created(podOf(["a/b:1"]), names).pod;
    const { containers } = first["spec"] as { containers: object[] };
    const injected = { ...first, spec: { containers: [...containers, { name: "sidecar", image: "a/sidecar:2" }] } };
    const { pod } = created(injected, names);
    expect(noteOf(pod, "originalImages")).to.deep.equal({ c0: "a/b:1", sidecar: "a/sidecar:2" });
    expect(imagesIn(pod)).to.deep.equal([`${HOST}/hub/a/b:1`, `${HOST}/hub/a/sidecar:2`]);
  });

  it("keeps it when a digest was added since", () =>
    expect(noteOf(noted([`${HOST}/hub/a/b:1@${DIGEST}`], { [ORIGINAL]: '{"c0":"a/b:1"}' }).pod, "originalImages"))
      .to //
      .deep.equal({ c0: "a/b:1" }));

  it("drops what is not true, whoever wrote it", () => {
    const lies = { c0: "NO:::", c1: "a/b:2", c2: `a/b:1@${DIGEST}`, c3: 5, c4: "::", gone: "a/b:1" };
    const images = ["c0", "c1", "c2", "c3", "c4"].map(() => `${HOST}/hub/a/b:1`);
    const { pod } = noted([...images, "quay.io/x"], { [ORIGINAL]: JSON.stringify({ ...lies, c5: "a/b:1" }) });
    expect(pod["metadata"]).to.deep.equal({ name: "p", annotations: {} });
  });

  it("keeps what may be true, for all that is known here: another replica may know a rule already that this one does not", () => {
    const earlier = { c0: "ghcr.io/a/b:1", c1: `quay.io/x@${DIGEST}`, c2: "quay.io/x" };
    const images = [`${HOST}/hub/a/b:1@${DIGEST}`, `vendor.example.com/x@${DIGEST}`, "a/b:latest"];
    const { pod } = noted(images, { [ORIGINAL]: JSON.stringify(earlier) });
    expect(noteOf(pod, "originalImages")).to.deep.equal({ ...earlier, c2: "a/b:latest" });
    expect(created(pod, names).patch).to.deep.equal([]);
  });

  for (const garbage of ["", "{", "null", "[]", '"text"', "{}", '{"c0":{}}', "[".repeat(100_000)])
    it(`replaces garbage: ${garbage.slice(0, 10)}`, () => {
      const { pod } = noted(["a/b:1"], { [ORIGINAL]: garbage, [NOT]: garbage });
      expect((pod["metadata"] as { annotations: object }).annotations).to.deep.equal({
        [ORIGINAL]: '{"c0":"a/b:1"}',
      });
    });

  it("says why images keep their names only as long as they do", () => {
    const { pod } = noted(["a/b:1"], {}, broken);
    expect(noteOf(pod, "notRewritten")).to.have.property("c0").that.includes('CacheRule "hub" is not Ready: no answer');
    const healed = created(pod, names).pod;
    expect(noteOf(healed, "notRewritten")).to.equal(undefined);
    expect(noteOf(healed, "originalImages")).to.deep.equal({ c0: "a/b:1" });
  });

  it("cuts reasons, and leaves out of a full Pod what has no room", () => {
    const long = namesOf([namedRule("docker.io/*", "hub/*", { name: "hub", notReady: "😀".repeat(5_000) })]);
    const { kept, pod } = noted(["a/b:1"], {}, long);
    expect(kept[0]?.reason.length).to.be.lessThan(500);
    expect(kept[0]?.reason).to.match(/…; the upstream's name is used$/);
    expect(kept[0]?.reason.isWellFormed()).to.equal(true);
    expect(noteOf(pod, "notRewritten")).to.have.property("c0");

    const full = { big: "x".repeat(240 * 1024 - 60) };
    expect(noted(["a/b:1"], full, long).patch).to.deep.equal([]);
    const { patch, kept: without } = noted(["a/b:1"], full);
    expect(patch).to.deep.equal([]);
    expect(without[0]?.reason).to.include("no room");
    const almost = { big: "x".repeat(240 * 1024 - 90) };
    expect(imagesIn(noted(["a/b:1"], almost).pod)).to.deep.equal([`${HOST}/hub/a/b:1`]);
  });

  it("keeps a Pod with very many images under Kubernetes' limit", () => {
    const images = Array.from({ length: 1_300 }, (_, index) => `a/${"b".repeat(200)}:${index}`);
    for (const index of [names, broken]) {
      const { pod } = noted(images, {}, index);
      const { annotations = {} } = pod["metadata"] as { annotations?: Record<string, string> };
      const size = Object.entries(annotations).reduce((sum, [name, text]) => sum + name.length + text.length, 0);
      expect(size).to.be.lessThan(256 * 1024);
    }
  });
});

describe("pull Secrets", () => {
  const cache = (registry: string, imagePullSecretName?: string): Cache => ({
    registry,
    pullOnly: false,
    signatures: "both",
    ...(imagePullSecretName !== undefined && { imagePullSecretName }),
  });
  const caches = [cache("a", "one"), cache("b", "one"), cache("c", "two"), cache("d")];

  it("are wanted once each, and not where the Pod names them", () => {
    expect(missingPullSecrets(podOf([]), caches)).to.deep.equal(["one", "two"]);
    expect(missingPullSecrets(podOf([], { imagePullSecrets: [{ name: "two" }] }), caches)).to.deep.equal(["one"]);
    expect(missingPullSecrets(podOf([], { imagePullSecrets: "garbage" }), [cache("d")])).to.deep.equal([]);
  });

  it("come after the Pod's own", () => {
    const secretsOf = (spec: object) => {
      const pod = podOf([], spec);
      return (applied(pod, pullSecretOperations(pod, ["one", "two"]))["spec"] as { imagePullSecrets: object[] })
        .imagePullSecrets;
    };
    expect(secretsOf({})).to.deep.equal([{ name: "one" }, { name: "two" }]);
    expect(secretsOf({ imagePullSecrets: [] })).to.deep.equal([{ name: "one" }, { name: "two" }]);
    expect(secretsOf({ imagePullSecrets: [{ name: "own" }] })).to.deep.equal([
      { name: "own" },
      { name: "one" },
      { name: "two" },
    ]);
    expect(pullSecretOperations(podOf([]), [])).to.deep.equal([]);
  });
});
