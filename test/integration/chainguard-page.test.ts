// What Chainguard's page says of the cache, done as it says: real API server, controllers, registry and cosign.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { load } from "js-yaml";
import { eventually } from "../support/kube.ts";
import { cost, kubectl } from "./byte-stability-objects.ts";
import { Inheritance, sealOf } from "./inheritance-harness.ts";
import { type Item, workload } from "./inheritance-objects.ts";

/** As they stand on the page. */
const COMMANDS = `kubectl create cm config-policy-controller -n cosign-system --dry-run=client -o yaml | kubectl apply -f -
kubectl patch cm config-policy-controller -n cosign-system --type merge -p '{"data":{"dev.chainguard.enable-cip-cache":"true"}}'
`;
/** As docs/cache.md has them. */
const DOCUMENTED = COMMANDS.replace(
  "kubectl create cm config-policy-controller -n cosign-system --dry-run=client -o yaml | kubectl apply -f -",
  "kubectl get cm config-policy-controller -n cosign-system >/dev/null 2>&1 || kubectl create cm config-policy-controller -n cosign-system",
);
const CONFIG = ["-n", "cosign-system", "configmap", "config-policy-controller"] as const;
const VERIFICATION = 2;

interface Annotation {
  readonly records: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, unknown>>>>>>;
  readonly signature: string;
}

const ROOT = join(import.meta.dirname, "../..");

describe("Chainguard's page", () => {
  let at: Inheritance;
  let image: { reference: string; pinned: string; digest: string };

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("page");
    image = await at.signed("page/app");
    for (const part of ["webhook", "operator"] as const) await at.product.stopPart(part);
    await at.cluster.kubectl(["delete", ...CONFIG]);
    for (const part of ["operator", "webhook"] as const) await at.product.startPart(part);
  });

  after(async function () {
    this.timeout(120_000);
    await at?.close();
  });

  /** Runs lines as somebody pastes them into a shell. */
  async function paste(lines: string): Promise<void> {
    const path = `${dirname(at.cluster.program("kubectl"))}:${process.env["PATH"] ?? ""}`;
    const done = await at.cluster.run(["bash", "-euo", "pipefail", "-c", lines], { env: { PATH: path } });
    expect(done.code, done.stderr).to.equal(0);
  }

  const trial = async (reference = image.reference) => sealOf(await at.dryRun(workload("Pod", "trial", reference)));
  const turned = (on: boolean) =>
    eventually(`the cache ${on ? "on" : "off"}`, async () => ((await trial()) !== undefined) === on);
  const config = async () =>
    (JSON.parse(await at.cluster.kubectl(["get", ...CONFIG, "-o", "json"])) as { data: object }).data;

  /** Creates a Pod; gives its annotation, read as anybody may read it. */
  async function annotated(pod: object): Promise<Annotation> {
    const made = JSON.parse(await kubectl(at, pod, "create", "-o", "json", "-f", "-")) as Item;
    return load(sealOf(made) ?? "") as Annotation;
  }

  const pod = (name: string, ...images: readonly string[]) => ({
    ...workload("Pod", name, image.reference),
    spec: { containers: images.map((reference, index) => ({ name: `c${index}`, image: reference })) },
  });
  const uidOf = async (policy: string) => JSON.parse(await at.kubectl("get", "cip", policy, "-o", "json")) as Item;

  it("the cache is off by default: without a ConfigMap no annotation is written", async () => {
    expect(await trial()).to.equal(undefined);
    await at.apply(workload("Deployment", "early", image.pinned));
    expect(sealOf(await at.get("deployment/early"))).to.equal(undefined);
  });

  it("its two commands, pasted, turn it on without a restart, and can be pasted again", async () => {
    await paste(COMMANDS);
    await turned(true);
    await at.cluster.kubectl(["patch", ...CONFIG, "--type=merge", "-p", '{"data":{"dev.entrepot.tag-ttl":"30s"}}']);
    const before = await config();
    await paste(COMMANDS);
    expect(await config()).to.deep.equal(before);
    expect(await trial()).to.be.a("string");
  });

  it("ours turn it on as well, and lose nothing of a ConfigMap that was applied from a file", async () => {
    expect(readFileSync(join(ROOT, "docs/cache.md"), "utf8"), "docs/cache.md").to.include(DOCUMENTED);
    await at.cluster.kubectl(["delete", ...CONFIG]);
    await paste(DOCUMENTED);
    expect(await config()).to.deep.equal({ "dev.chainguard.enable-cip-cache": "true" });
    await at.cluster.kubectl(["delete", ...CONFIG]);
    await at.cluster.kubectl(["apply", "-f", join(ROOT, "examples/config.yaml")]);
    await at.cluster.kubectl(["patch", ...CONFIG, "--type=merge", "-p", '{"data":{"dev.entrepot.cache-epoch":"7"}}']);
    const before = await config();
    await paste(DOCUMENTED);
    expect(await config()).to.deep.equal(before);
    await paste(COMMANDS);
    expect(await config(), "negative control").to.not.have.property("dev.entrepot.cache-epoch");
    await turned(true);
  });

  it("a Pod gets the annotation: by image and digest, then by uid, of all policies and images, with a signature", async () => {
    await at.policy("page-second", "page/**", { data: at.keys.publicKey });
    const other = await at.signed("page/other");
    const { records, signature } = await annotated(pod("sealed", image.reference, other.pinned));
    const policies = await Promise.all([uidOf("page"), uidOf("page-second")]);
    const named = (reference: string, digest: string) => `${reference.slice(0, reference.lastIndexOf(":"))}@${digest}`;
    const images = [named(image.reference, image.digest), named(other.reference, other.digest)];
    expect(records).to.have.all.keys(images);
    for (const key of images) {
      expect(records[key]).to.have.all.keys(policies.map(({ metadata }) => metadata.uid));
      for (const { metadata } of policies) {
        const record = records[key]?.[metadata.uid];
        expect(record?.["name"]).to.equal(metadata.name);
        expect(record?.["resourceversion"]).to.be.a("string").and.match(/^\d+$/);
      }
    }
    expect(signature).to.match(/^eyJhbGciOi[\w-]+\.\.[\w-]{86}$/);
    await at.cluster.kubectl(["delete", "cip", "page-second"]);
  });

  it("a Pod with one image that is recorded and one that is not: only the other goes to the registry", async () => {
    const fresh = await at.signed("page/fresh");
    const known = at.requests("page/app");
    const spent = await cost(at, () => annotated(pod("mixed", image.pinned, fresh.pinned)));
    expect(at.requests("page/app")).to.equal(known);
    expect(spent).to.equal(VERIFICATION);
  });

  it("what failed is in no record, though the Pod comes in with a warning", async () => {
    const stranger = await at.cosign.generateKeyPair("stranger");
    await at.policy("page-warning", "page/app", { data: stranger.publicKey });
    await at.cluster.kubectl(["patch", "cip", "page-warning", "--type=merge", "-p", '{"spec":{"mode":"warn"}}']);
    await eventually("a warning", async () => (await trial(image.pinned).catch(() => undefined)) !== undefined);
    const { metadata } = await uidOf("page-warning");
    const { records } = await annotated(pod("warned", image.reference));
    const uids = Object.values(records).flatMap((byPolicy) => Object.keys(byPolicy));
    expect(uids).to.have.length(1).and.not.include(metadata.uid);
    await at.cluster.kubectl(["delete", "cip", "page-warning"]);
  });

  it("a policy that is new is judged though the others' results are recorded; that of a deleted one counts for nothing", async () => {
    await at.policy("page-gone", "gone/**", { data: at.keys.publicKey });
    const gone = await at.signed("gone/app");
    await at.apply(workload("Deployment", "gone", gone.pinned));
    await at.pods("gone", 1);
    const stranger = await at.cosign.generateKeyPair("newcomer");
    await at.policy("page-newcomer", "gone/**", { data: stranger.publicKey });
    await at.kubectl("scale", "deployment/gone", "--replicas=2");
    expect(await at.failure("gone")).to.include("failed policy: page-newcomer");
    await at.cluster.kubectl(["delete", "cip", "page-gone", "page-newcomer"]);
    const seal = sealOf(await at.get("deployment/gone"));
    const said = await eventually("both policies gone", async () => {
      const copy = workload("Pod", "copy", gone.pinned, 1, {
        annotations: { "clusterimagepolicies.chainguard.dev/cache": seal },
      });
      const text = await at.refusal(["create", "--dry-run=server", "-f", "-"], copy);
      return text.includes("no matching policies") && text;
    });
    expect(said).to.include(gone.digest);
  });

  for (const [how, patch] of [
    ["removing the key", '{"data":{"dev.chainguard.enable-cip-cache":null}}'],
    ['setting "false"', '{"data":{"dev.chainguard.enable-cip-cache":"false"}}'],
  ] as const) {
    it(`${how} turns it off: nothing is written, and what is there is not believed`, async () => {
      await paste(COMMANDS);
      await turned(true);
      const seal = await trial(image.pinned);
      await at.cluster.kubectl(["patch", ...CONFIG, "--type=merge", "-p", patch]);
      await turned(false);
      await at.restartWebhook();
      const sealed = workload("Pod", "kept", image.pinned, 1, {
        annotations: { "clusterimagepolicies.chainguard.dev/cache": seal },
      });
      const spent = await cost(at, async () => {
        expect(sealOf(await at.dryRun(sealed))).to.equal(seal);
      });
      expect(spent).to.equal(VERIFICATION);
    });
  }
});

describe("docs/claims.md", () => {
  const text = readFileSync(join(ROOT, "docs/claims.md"), "utf8");

  it("has a row for each of the 45 claims", () => {
    const rows = [...text.matchAll(/^\| (\d+) \|/gm)].map(([, number]) => Number(number));
    expect(rows).to.deep.equal(Array.from({ length: 45 }, (_, index) => index + 1));
  });

  it("names only tests that exist, by their titles", () => {
    const files = new Map(
      readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".test.ts"))
        .map((name) => [name.slice(name.lastIndexOf("/") + 1), readFileSync(join(ROOT, "test", name), "utf8")]),
    );
    const named = [...text.matchAll(/`([a-z0-9-]+\.test\.ts)` "([^"]+)"/g)];
    expect(named.length).to.be.greaterThan(40);
    for (const [, file = "", title = ""] of named) {
      const titles = [...(files.get(file) ?? "").matchAll(/\b(?:it|describe)\(\s*(["'`])(.*?)\1/gs)].map(
        ([, , found = ""]) => found,
      );
      expect(
        titles.some((found) => found.includes(title)),
        `${file} "${title}"`,
      ).to.equal(true);
    }
  });
});
