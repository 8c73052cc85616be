// What others' rewriters promise, as their own fixtures have it, with rules that say the same.
import { expect } from "chai";
import { namedRule } from "../support/named-rules.ts";
import { created, imagesIn, namesOf, podOf } from "../support/rewrite-samples.ts";

const CORP = "myregistry.corp.com";
const HARBOR = "harbor.example.com";
const ECR = "123456789.dkr.ecr.ap-southeast-2.amazonaws.com";
const GAR = "us-central1-docker.pkg.dev/gcp-project-123/main";
const DIGEST = "sha256:9bba603b99bf25f6d117cf1235b6598c16033ad027b143c90fa5b3cc583c5713";
const CONTROLLER = "k8s.gcr.io/ingress-nginx/controller";

interface Case {
  /** `source target`. */
  readonly rules: readonly string[];
  readonly host: string;
  /** The image in the fixture, and what the fixture expects of it. */
  readonly images: Readonly<Record<string, string>>;
}

/** Puts each image into a Pod as an ordinary and as an init container. */
function check({ rules, host, images }: Case): void {
  const index = namesOf(
    rules.map((rule) => {
      const [source = "", target = ""] = rule.split(" ");
      return namedRule(source, target, { host });
    }),
  );
  const list = Object.keys(images);
  const initContainers = list.map((image, at) => ({ name: `i${at}`, image }));
  const { pod } = created(podOf(list, { initContainers }), index);
  expect(imagesIn(pod)).to.deep.equal(Object.values(images));
  expect(imagesIn(pod, "initContainers")).to.deep.equal(Object.values(images));
}

describe("kyverno/policies, other/replace-image-registry", () => {
  const cases: Readonly<Record<string, Case>> = {
    ".chainsaw-test/pods.yaml: Docker Hub's images, by short name and in full": {
      host: CORP,
      rules: ["docker.io/library/* *"],
      images: {
        "docker.io/busybox:1.35": `${CORP}/busybox:1.35`,
        "kyverno:1.10.1": `${CORP}/kyverno:1.10.1`,
      },
    },
    ".chainsaw-test/pods.yaml: ghcr.io, with all of the path": {
      host: CORP,
      rules: ["ghcr.io/* *"],
      images: {
        "ghcr.io/busybox:1.35": `${CORP}/busybox:1.35`,
        "ghcr.io/foo/bar/baz/busybox:1.35": `${CORP}/foo/bar/baz/busybox:1.35`,
      },
    },
    ".chainsaw-test/pods.yaml: a registry of one's own": {
      host: CORP,
      rules: ["registry.corp.com/* *"],
      images: { "registry.corp.com/kyverno:1.10.1": `${CORP}/kyverno:1.10.1` },
    },
    ".kyverno-test/resource.yaml": {
      host: CORP,
      rules: ["docker.io/library/* *"],
      images: {
        "docker.io/nginx:latest": `${CORP}/nginx:latest`,
        "nginx:latest": `${CORP}/nginx:latest`,
        "busybox:latest": `${CORP}/busybox:latest`,
      },
    },
    "with-harbor/.kyverno-test/resource.yaml: Docker Hub alone, with library/": {
      host: HARBOR,
      rules: ["docker.io/* k8s/*"],
      images: {
        "docker.io/nginx:latest": `${HARBOR}/k8s/library/nginx:latest`,
        "nginx:latest": `${HARBOR}/k8s/library/nginx:latest`,
        "busybox:latest": `${HARBOR}/k8s/library/busybox:latest`,
        "ghcr.io/kyverno/test-verify-image:unsigned": "ghcr.io/kyverno/test-verify-image:unsigned",
      },
    },
  };
  for (const [title, one] of Object.entries(cases)) it(title, () => check(one));

  it(".chainsaw-test/pods.yaml, pod01: unlike there, ghcr.io/busybox and docker.io/busybox never get one name", () => {
    const both = [namedRule("docker.io/library/*", "*", { host: CORP }), namedRule("ghcr.io/*", "*", { host: CORP })];
    const { pod, kept } = created(podOf(["ghcr.io/busybox:1.35", "docker.io/busybox:1.35"]), namesOf(both));
    const renamed = imagesIn(pod).filter((image) => image === `${CORP}/busybox:1.35`);
    expect(renamed.length).to.be.lessThan(2);
    expect(kept.length + renamed.length).to.equal(2);
    expect(kept[0]?.reason).to.include(`makes it ${CORP}/busybox:1.35, by which CacheRule`);
  });
});

describe("k8s-image-swapper, pkg/webhook/image_swapper_test.go", () => {
  const rules = ["docker.io", "k8s.gcr.io", "us-central1-docker.pkg.dev", ECR].map((host) => `${host}/* ${host}/*`);

  it("TestImageSwapper_Mutate (admissionreview-simple.json): unlike there, no tag is added and none is dropped", () =>
    check({
      host: ECR,
      rules: rules.slice(0, 3),
      images: {
        "init-container": `${ECR}/docker.io/library/init-container`, // there: :latest
        nginx: `${ECR}/docker.io/library/nginx`,
        [`${CONTROLLER}:v0.43.0@${DIGEST}`]: `${ECR}/${CONTROLLER}:v0.43.0@${DIGEST}`, // there: no tag
        [`${ECR}/${CONTROLLER}:v0.43.0@${DIGEST}`]: `${ECR}/${CONTROLLER}:v0.43.0@${DIGEST}`,
        [`${GAR}/${CONTROLLER}@${DIGEST}`]: `${ECR}/${GAR}/${CONTROLLER}@${DIGEST}`,
      },
    }));

  it("TestImageSwapper_GAR_Mutate: a registry with a path, and what is in it already; the same of tags", () =>
    check({
      host: GAR,
      rules: [...rules.slice(0, 2), ...rules.slice(3)],
      images: {
        "init-container": `${GAR}/docker.io/library/init-container`,
        nginx: `${GAR}/docker.io/library/nginx`,
        [`${CONTROLLER}:v0.43.0@${DIGEST}`]: `${GAR}/${CONTROLLER}:v0.43.0@${DIGEST}`,
        [`${ECR}/${CONTROLLER}:v0.43.0@${DIGEST}`]: `${GAR}/${ECR}/${CONTROLLER}:v0.43.0@${DIGEST}`,
        [`${GAR}/${CONTROLLER}@${DIGEST}`]: `${GAR}/${CONTROLLER}@${DIGEST}`,
      },
    }));

  it("docs/configuration.md, Filters: a registry that is left out is one without a rule", () =>
    check({ host: GAR, rules: rules.slice(0, 1), images: { [`${ECR}/app:1`]: `${ECR}/app:1` } }));

  it("docs/faq.md, outages: unlike there, a registry that is known to be down gives no names", () => {
    const down = namesOf(
      [namedRule("docker.io/*", "docker.io/*", { host: ECR })],
      [
        {
          metadata: { name: "main" },
          spec: {},
          status: { conditions: [{ type: "Reachable", status: "False", message: "no answer" }] },
        },
      ],
    );
    const { pod, kept } = created(podOf(["nginx"]), down);
    expect(imagesIn(pod)).to.deep.equal(["nginx"]);
    expect(kept[0]?.reason).to.equal('CacheRegistry "main": no answer; the upstream\'s name is used');
  });
});
