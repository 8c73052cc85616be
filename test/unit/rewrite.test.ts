import { expect } from "chai";
import { rewrite } from "../../core/rewrite/rewrite.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { request } from "../support/admission.ts";
import { HOST, namedRule } from "../support/named-rules.ts";
import { created, imagesIn, namesOf, noteOf, podOf } from "../support/rewrite-samples.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const HUB = namedRule("docker.io/*", "hub/*");

describe("rewriting a Pod", () => {
  const names = namesOf([HUB, namedRule("docker.io/library/nginx", "web/nginx")]);

  it("gives each image the name of its most specific rule, with tag and digest as they were", () => {
    const images = ["nginx", "nginx:1", `redis:7@${DIGEST}`, `a/b@${DIGEST}`, "quay.io/a/b:1"];
    expect(imagesIn(created(podOf(images), names).pod)).to.deep.equal([
      `${HOST}/web/nginx`,
      `${HOST}/web/nginx:1`,
      `${HOST}/hub/library/redis:7@${DIGEST}`,
      `${HOST}/hub/a/b@${DIGEST}`,
      "quay.io/a/b:1",
    ]);
  });

  it("covers init and ephemeral containers and image volumes, and notes every name as it was", () => {
    const spec = {
      initContainers: [{ name: "init", image: "a/init:1" }],
      ephemeralContainers: [{ name: "debug", image: "a/debug:1" }],
      volumes: [
        { name: "data", image: { reference: "a/data:1" } },
        { name: "tmp", emptyDir: {} },
      ],
    };
    const { pod, renamed } = created(podOf(["nginx:1"], spec), names);
    expect(imagesIn(pod, "initContainers")).to.deep.equal([`${HOST}/hub/a/init:1`]);
    expect(imagesIn(pod, "ephemeralContainers")).to.deep.equal([`${HOST}/hub/a/debug:1`]);
    expect((pod["spec"] as typeof spec).volumes[0]).to.deep.equal({
      name: "data",
      image: { reference: `${HOST}/hub/a/data:1` },
    });
    expect(noteOf(pod, "originalImages")).to.deep.equal({
      c0: "nginx:1",
      debug: "a/debug:1",
      init: "a/init:1",
      "volumes/data": "a/data:1",
    });
    expect(renamed.map(({ key, by }) => [key, by.cache.registry])).to.deep.equal([
      ["init", "main"],
      ["c0", "main"],
      ["debug", "main"],
      ["volumes/data", "main"],
    ]);
    const annotations = (pod["metadata"] as { annotations: Record<string, string> }).annotations;
    expect(annotations[ANNOTATION.originalImages]).to.match(/^{"c0":.*"debug":.*"init":.*"volumes\/data":/);
  });

  describe("leaves images alone", () => {
    const unchanged = (pod: object) => {
      const { patch, kept } = created(pod, names);
      expect({ patch, kept }).to.deep.equal({ patch: [], kept: [] });
    };
    it("that no rule covers, or that are no references", () => unchanged(podOf(["quay.io/a/b:1", "NO SUCH:::", ""])));
    it("that have a cache's name already", () => unchanged(podOf([`${HOST}/hub/a/b:1`])));
    it("that are never pulled, as containers and as volumes", () =>
      unchanged(
        podOf([], {
          containers: [{ name: "c", image: "nginx:1", imagePullPolicy: "Never" }],
          volumes: [{ name: "v", image: { reference: "nginx:1", pullPolicy: "Never" } }],
        }),
      ));
    it("of Pods with the label", () =>
      unchanged(podOf(["nginx:1"], {}, { labels: { "entrepot.dev/rewrite": "disabled" } })));
    it("of mirror Pods", () =>
      unchanged(podOf(["nginx:1"], {}, { annotations: { "kubernetes.io/config.mirror": "0a1b" } })));
    it("of every other kind and operation", () => {
      const pod = podOf(["nginx:1"]);
      const asked = (more: object) => rewrite(request(pod, { oldObject: pod, ...more }), names, () => undefined).patch;
      expect(asked({ operation: "UPDATE" })).to.deep.equal([]);
      expect(asked({ operation: "CREATE", subResource: "binding" })).to.deep.equal([]);
      expect(asked({ kind: "Deployment", group: "apps" })).to.deep.equal([]);
      expect(asked({ operation: "CREATE" })).to.have.length(2);
    });
  });

  it("passes over rules that can't be used now, and says of what none can why the first can't", () => {
    const broken = namedRule("docker.io/library/nginx", "web/nginx", { name: "web", notReady: "no answer" });
    const other = namedRule("docker.io/*", "hub/*", { suspend: true });
    expect(imagesIn(created(podOf(["nginx:1"]), namesOf([broken, HUB])).pod)).to.deep.equal([
      `${HOST}/hub/library/nginx:1`,
    ]);
    const { pod, kept } = created(podOf(["nginx:1", "quay.io/a/b"]), namesOf([broken, other]));
    const reason = 'CacheRule "web" is not Ready: no answer; the upstream\'s name is used';
    expect(kept.map(({ key, image, reason: why }) => [key, image, why])).to.deep.equal([["c0", "nginx:1", reason]]);
    expect(imagesIn(pod)).to.deep.equal(["nginx:1", "quay.io/a/b"]);
    expect(noteOf(pod, "notRewritten")).to.deep.equal({ c0: reason });
    expect(noteOf(pod, "originalImages")).to.equal(undefined);
  });

  it("ends at a rule that says Never, in silence if it is the most specific", () => {
    const never = namedRule("docker.io/library/*", "official/*", { rewrite: "Never" });
    const { patch, kept } = created(podOf(["nginx:1"]), namesOf([HUB, never]));
    expect({ patch, kept }).to.deep.equal({ patch: [], kept: [] });
    const broken = namedRule("docker.io/library/nginx", "web/nginx", { notReady: "no answer" });
    expect(created(podOf(["nginx:1"]), namesOf([HUB, never, broken])).kept).to.have.length(1);
  });

  it("asks for objections, with the image by both names", () => {
    const asked: string[] = [];
    const { pod } = created(podOf(["nginx:1"]), names, (original, { by, reference }) => {
      asked.push(`${original.asWritten} ${reference.asWritten}`);
      return by.rule === "docker-io" ? undefined : "a policy objects";
    });
    expect(asked).to.deep.equal([`nginx:1 ${HOST}/web/nginx:1`, `nginx:1 ${HOST}/hub/library/nginx:1`]);
    expect(imagesIn(pod)).to.deep.equal([`${HOST}/hub/library/nginx:1`]);
    const { kept } = created(podOf(["nginx:1"]), names, () => "a policy objects");
    expect(kept[0]?.reason).to.equal("a policy objects; the upstream's name is used");
  });

  it("gives no image a name by which a cache means another", () => {
    const narrow = namedRule("quay.io/*", "hub/quay/*", { name: "quay" });
    const { pod, kept } = created(podOf(["quay/app:1", "quay.io/app:1"]), namesOf([HUB, narrow]));
    expect(imagesIn(pod)).to.deep.equal(["quay/app:1", `${HOST}/hub/quay/app:1`]);
    expect(kept[0]?.reason).to.equal(
      `CacheRule "docker-io" makes it ${HOST}/hub/quay/app:1, by which CacheRule "quay" means quay.io/app:1; the upstream's name is used`,
    );
  });
});

describe("an ephemeral container", () => {
  const pod = podOf(["nginx:1"]);
  const withDebug = (image: string, more: object = {}) => ({
    ...pod,
    spec: { ...pod.spec, ...more, ephemeralContainers: [...OLD, { name: "new", image }] },
  });
  const OLD = [{ name: "old", image: "a/old:1" }];
  const oldObject = { ...pod, spec: { ...pod.spec, ephemeralContainers: OLD } };
  const debug = (object: object, names = namesOf([HUB])) =>
    rewrite(
      request(object, { operation: "UPDATE", subResource: "ephemeralcontainers", oldObject }),
      names,
      () => undefined,
    );

  it("is renamed when it is new, and nothing else of its Pod is touched", () => {
    expect(debug(withDebug("a/new:1")).patch).to.deep.equal([
      { op: "replace", path: "/spec/ephemeralContainers/1/image", value: `${HOST}/hub/a/new:1` },
    ]);
    expect(debug(oldObject).patch).to.deep.equal([]);
  });

  it("needs a pull Secret that the Pod has: it gets no other any more", () => {
    const host = "vendor.example.com";
    const names = namesOf([namedRule("docker.io/*", "hub/*", { registry: "vendor", host })]);
    const { patch, kept } = debug(withDebug("a/new:1"), names);
    expect(patch).to.deep.equal([]);
    expect(kept[0]?.reason).to.equal(
      'CacheRegistry "vendor" is pulled from with Secret "vendor-pull", which this Pod does not name; the upstream\'s name is used',
    );
    const named = withDebug("a/new:1", { imagePullSecrets: [{ name: "vendor-pull" }] });
    expect(debug(named, names).renamed).to.have.length(1);
  });
});
