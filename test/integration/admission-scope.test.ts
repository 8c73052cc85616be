// Who is asked and how strictly: every key of config-policy-controller on a running webhook, namespaces, and what is told of denials.
import { expect } from "chai";
import { type Extra, LocalProduct } from "../../hack/local/product.ts";
import { type ClusterHandle, type CommandResult, sharedCluster } from "../support/cluster.ts";
import { Cosign, type KeyPair } from "../support/cosign.ts";
import { CACHE_JSONPATH, eventually } from "../support/e2e.ts";

const NAMESPACES = ["scope-in", "scope-none", "scope-out", "scope-excluded"];
const STRANGER = `quay.io/scope/stranger@sha256:${"0".repeat(64)}`;
const SECONDS = 90_000;

describe("the scope of enforcement", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let product: LocalProduct;
  const extra: Extra = {};
  let cosign: Cosign;
  let keys: KeyPair;
  let image: { readonly reference: string; readonly digest: string };

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    cosign = await Cosign.create();
    keys = await cosign.generateKeyPair("scope");
    product = await LocalProduct.start(cluster, undefined, extra);
    await cluster.kubectl(["apply", "-f", "-"], base());
    await cluster.kubectl(["wait", "--for=condition=Ready", "cip/scope", "--timeout=90s"]);
    image = await signed("scope/app");
  });

  after(async () => {
    cosign?.dispose();
    await product?.remove();
    if (cluster === undefined) return;
    await cluster.kubectl(["delete", "namespace", ...NAMESPACES, "--wait=false"]);
    await cluster.kubectl(["delete", "cip", "scope", "scope-warn", "--ignore-not-found"]);
  });

  const namespace = (name: string, labels: object) =>
    JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  const base = () => `
${namespace("scope-in", { "policy.sigstore.dev/include": "true" })}
---
${namespace("scope-none", {})}
---
${namespace("scope-out", { "policy.sigstore.dev/include": "false" })}
---
${namespace("scope-excluded", {})}
---
apiVersion: policy.sigstore.dev/v1alpha1
kind: ClusterImagePolicy
metadata: {name: scope}
spec:
  images: [{glob: "${cluster.registry}/scope/**"}]
  authorities: [{key: {data: ${JSON.stringify(keys.publicKey)}}}]
---
apiVersion: policy.sigstore.dev/v1alpha1
kind: ClusterImagePolicy
metadata: {name: scope-warn}
spec:
  mode: warn
  images: [{glob: "quay.io/scope/warned**"}]
  authorities: [{static: {action: fail, message: not for long}}]`;

  async function signed(repository: string, form: "classic" | "bundle" = "classic") {
    const pushed = await cluster.pushImage({ repository, tag: "v1" });
    await cosign.sign(pushed.pinned, keys, form);
    return pushed;
  }

  const kubectl = (...argv: readonly string[]): Promise<CommandResult> =>
    cluster.run([cluster.program("kubectl"), ...argv]);
  const pod = (name: string, reference: string, ns = "scope-in", ...more: readonly string[]) =>
    kubectl("-n", ns, "run", name, `--image=${reference}`, ...more);
  const rehearse = (reference: string, ns?: string, output = "name") =>
    pod("x", reference, ns, "--dry-run=server", "-o", output);
  const annotation = async (reference: string) =>
    (await rehearse(reference, undefined, `jsonpath=${CACHE_JSONPATH}`)).stdout;
  const imageOf = async (reference: string) =>
    (await rehearse(reference, undefined, "jsonpath={.spec.containers[0].image}")).stdout;

  /** Sets the whole configuration, and waits until the webhook acts on it. */
  async function configured(data: Readonly<Record<string, string>>, sign: () => Promise<boolean>): Promise<void> {
    const metadata = { name: "config-policy-controller", namespace: "cosign-system" };
    await cluster.kubectl(
      ["apply", "-f", "-"],
      JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data }),
    );
    await eventually(JSON.stringify(data), SECONDS, async () => (await sign()) || undefined);
  }

  describe("config-policy-controller, live", () => {
    const refused = async () => (await rehearse(STRANGER)).stderr.includes("denied the request");

    it("no-match-policy: deny, warn, allow, and deny for what it does not know", async () => {
      await configured({}, refused);
      expect((await rehearse(STRANGER)).stderr).to.include(
        `validation failed: no matching policies: spec.containers[0].image\n${STRANGER}`,
      );
      await configured({ "no-match-policy": "warn" }, async () =>
        (await rehearse(STRANGER)).stderr.includes("Warning: no matching policies: spec.containers[0].image"),
      );
      await configured({ "no-match-policy": "allow" }, async () => (await rehearse(STRANGER)).stderr === "");
      await configured({ "no-match-policy": "permit" }, refused);
    });

    it("fail-on-empty-authorities", async () => {
      const empty = async () => {
        const object = {
          apiVersion: "policy.sigstore.dev/v1beta1",
          kind: "ClusterImagePolicy",
          metadata: { name: "scope-empty" },
          spec: { images: [{ glob: "**" }] },
        };
        const argv = [cluster.program("kubectl"), "create", "--dry-run=server", "-f", "-"];
        return (await cluster.run(argv, { input: JSON.stringify(object) })).stderr;
      };
      await configured({ "fail-on-empty-authorities": "false" }, async () => (await empty()) === "");
      await configured({ "fail-on-empty-authorities": "true" }, async () =>
        (await empty()).includes("missing field(s): spec.authorities"),
      );
    });

    it("enable-oci11 is taken and changes nothing: a bundle among the referrers counts, always", async () => {
      const { reference } = await signed("scope/referrer", "bundle");
      for (const value of ["false", "true"]) {
        await configured({ "enable-oci11": value }, async () => (await rehearse(reference)).code === 0);
      }
    });

    const FLAG = { "dev.chainguard.enable-cip-cache": "true" };
    it("dev.chainguard.enable-cip-cache", async () => {
      await configured(FLAG, async () => (await annotation(image.reference)).includes("records:"));
      await configured({}, async () => (await annotation(image.reference)) === "");
    });

    it("dev.entrepot.cache-ttl, for what is sealed from then on", async () => {
      const lifetime = async (reference: string) => {
        const text = await annotation(reference);
        const at = (name: string) => Date.parse(new RegExp(`${name}: "?([^"\\n]+)`).exec(text)?.[1] ?? "");
        return (at("expires") - at("issued")) / 1000;
      };
      for (const [index, [text, seconds]] of (
        [
          ["2h", 7_200],
          ["45m", 2_700],
        ] as const
      ).entries()) {
        const { reference } = await signed(`scope/ttl-${index}`);
        // The epoch shows that the webhook has the new configuration before it seals anything under it.
        const data = { ...FLAG, "dev.entrepot.cache-ttl": text, "dev.entrepot.cache-epoch": text };
        await configured(data, async () => (await annotation(image.reference)).includes(`epoch: ${text}`));
        expect(await lifetime(reference)).to.equal(seconds);
      }
    });

    it("dev.entrepot.cache-epoch", async () => {
      for (const epoch of ["spring", "summer"]) {
        const data = { ...FLAG, "dev.entrepot.cache-epoch": epoch };
        await configured(data, async () => (await annotation(image.reference)).includes(`epoch: ${epoch}`));
      }
    });

    it("dev.entrepot.resolve-digests: off, pods, all", async () => {
      const { reference, digest } = image;
      const set = (value: string, sign: () => Promise<boolean>) =>
        configured({ "dev.entrepot.resolve-digests": value }, sign);
      const template = async () => {
        const argv = ["-n", "scope-in", "create", "deployment", "x", `--image=${reference}`, "--dry-run=server"];
        return (await kubectl(...argv, "-o", "jsonpath={.spec.template.spec.containers[0].image}")).stdout;
      };
      await set("off", async () => (await imageOf(reference)) === reference);
      await set("pods", async () => (await imageOf(reference)) === `${reference}@${digest}`);
      expect(await template()).to.equal(reference);
      await set("all", async () => (await template()) === `${reference}@${digest}`);
    });

    it("dev.entrepot.tag-ttl: how long a moved tag stays what it was", async () => {
      const first = await signed("scope/moving");
      const long = { ...FLAG, "dev.entrepot.tag-ttl": "1h", "dev.entrepot.cache-epoch": "long" };
      await configured(long, async () => (await annotation(first.reference)).includes("epoch: long"));
      const second = await signed("scope/moving");
      expect(second.digest).to.not.equal(first.digest);
      expect(await imageOf(first.reference)).to.equal(`${first.reference}@${first.digest}`);
      await configured({ ...FLAG, "dev.entrepot.tag-ttl": "1s" }, async () =>
        (await imageOf(first.reference)).endsWith(second.digest),
      );
    });
  });

  describe("Events", () => {
    const events = async (reason: string) =>
      (await kubectl("-n", "scope-in", "get", "events", "-o", `jsonpath={.items[?(@.reason=="${reason}")].message}`))
        .stdout;

    it("tell of a denial and of a warning, and not of a rehearsal", async () => {
      await rehearse(`quay.io/scope/rehearsed@sha256:${"0".repeat(64)}`);
      await pod("denied", STRANGER);
      await pod("warned", `quay.io/scope/warned@sha256:${"0".repeat(64)}`);
      const denied = await eventually("the Event", SECONDS, async () => (await events("PolicyViolation")) || undefined);
      expect(denied).to.include("no matching policies").and.not.include("rehearsed");
      const warned = await eventually("the Event", SECONDS, async () => (await events("PolicyWarning")) || undefined);
      expect(warned).to.include("policy scope-warn, which only warns: disallowed by static policy: not for long");
    });

    it("are about the ReplicaSet whose Pods are refused", async () => {
      // Admitted while nothing forbids it; refused when its Pods are made.
      await configured({ "no-match-policy": "allow" }, async () => (await rehearse(STRANGER)).stderr === "");
      const created = await kubectl(
        "-n",
        "scope-in",
        "create",
        "deployment",
        "later",
        `--image=${STRANGER}`,
        "--replicas=0",
      );
      expect(created.code, created.stderr).to.equal(0);
      await configured({}, async () => (await rehearse(STRANGER)).code !== 0);
      await kubectl("-n", "scope-in", "scale", "deployment/later", "--replicas=2");
      const described = await eventually("the Event", SECONDS, async () => {
        const { stdout } = await kubectl("-n", "scope-in", "describe", "replicaset", "-l", "app=later");
        return stdout.includes("PolicyViolation") ? stdout : undefined;
      });
      expect(described).to.match(/Warning\s+PolicyViolation\s+\S+\s+entrepot\.dev\/webhook/);
    });
  });

  describe("namespaces", () => {
    const verdicts = async () => {
      const codes = await Promise.all(NAMESPACES.map(async (ns) => (await rehearse(STRANGER, ns)).code === 0));
      return Object.fromEntries(NAMESPACES.map((ns, index) => [ns, codes[index]]));
    };
    const optIn = { "scope-in": false, "scope-none": true, "scope-out": true, "scope-excluded": true };

    it("opt in by their label", async () => expect(await verdicts()).to.deep.equal(optIn));

    it("are all verified in cluster scope, but for those that opted out or are excluded, from the operator's restart on", async () => {
      const restarted = async (env: Readonly<Record<string, string>>, expected: object) => {
        await product.stopPart("operator");
        extra.operator = { env };
        await product.startPart("operator");
        await eventually(
          JSON.stringify(expected),
          SECONDS,
          async () => JSON.stringify(await verdicts()) === JSON.stringify(expected) || undefined,
        );
      };
      const all = { "scope-in": false, "scope-none": false, "scope-out": true };
      await restarted({ ENFORCEMENT: "cluster" }, { ...all, "scope-excluded": false });
      await restarted(
        { ENFORCEMENT: "cluster", EXCLUDED_NAMESPACES: "scope-excluded,other" },
        { ...all, "scope-excluded": true },
      );
      expect((await rehearse(STRANGER, "kube-system")).code).to.equal(0);
      await restarted({}, optIn);
    });
  });
});
