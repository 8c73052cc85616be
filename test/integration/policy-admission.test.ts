// Policies and trust roots themselves, before a real API server that asks our endpoints; the engine is scripted.
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { checkRepository } from "../../adapters/trust/check.ts";
import { type AdmissionConfig, readConfig } from "../../core/admission/config.ts";
import {
  CLUSTER_IMAGE_POLICIES,
  type ClusterImagePolicyObject,
  TRUST_ROOTS,
  type TrustRootObject,
} from "../../crds/index.ts";
import { type ClusterHandle, type CommandResult, sharedCluster } from "../support/cluster.ts";
import { SAMPLES } from "../support/conformance.ts";
import { install } from "../support/install.ts";
import { adminClient, eventually } from "../support/kube.ts";
import { type PolicyWebhook, startPolicyWebhook } from "../support/policy-webhook.ts";

const RUN = `padm-${randomBytes(3).toString("hex")}`;
const STATIC = { images: [{ glob: "**" }], authorities: [{ static: { action: "pass" } }] };

describe("policies before the API server", function () {
  this.timeout(120_000);
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let webhook: PolicyWebhook;
  let config: AdmissionConfig = readConfig({}).config;
  const configMaps = new Map<string, Readonly<Record<string, string>>>();

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    client = await adminClient(cluster);
    await install(cluster, "crds");
    webhook = await startPolicyWebhook(client, RUN, {
      current: () => ({ config }),
      systemNamespace: "cosign-system",
      configMaps: (name) => configMaps.get(name),
      checkRepository,
      engine: {
        async check({ language, source }) {
          if (source.includes("SLOW")) throw new Error("the policy engine did not answer within 2000 ms");
          return source.includes("BROKEN") ? `failed to compile the ${language} policy with error: BROKEN` : undefined;
        },
      },
    });
    await eventually("the webhook is asked", async () => {
      const { stderr } = await apply("probe", { images: [] }, ["--dry-run=server"]);
      return stderr.includes("validating.clusterimagepolicy.sigstore.dev");
    });
  });

  after(async function () {
    this.timeout(120_000);
    await webhook?.close();
    for (const resource of [CLUSTER_IMAGE_POLICIES, TRUST_ROOTS]) {
      const { items } = (await client?.list(resource)) ?? { items: [] };
      for (const { metadata } of items) if (metadata.name.startsWith(RUN)) await client.delete(resource, metadata.name);
    }
    await client?.close();
  });

  const object = (name: string, spec: object, kind = "ClusterImagePolicy", metadata: object = {}) => ({
    apiVersion: `policy.sigstore.dev/${kind === "TrustRoot" ? "v1alpha1" : "v1beta1"}`,
    kind,
    metadata: { name: `${RUN}-${name}`, ...metadata },
    spec,
  });
  const kubectl = (argv: readonly string[], input?: object): Promise<CommandResult> =>
    cluster.run([cluster.program("kubectl"), ...argv], input === undefined ? {} : { input: JSON.stringify(input) });
  const apply = (name: string, spec: object, argv: readonly string[] = [], kind?: string) =>
    kubectl(["apply", ...argv, "-f", "-"], object(name, spec, kind));
  const read = (name: string) => client.get<ClusterImagePolicyObject>(CLUSTER_IMAGE_POLICIES, `${RUN}-${name}`);

  describe("policy-controller's samples", () => {
    const files = (kind: string) => {
      const folder = join(SAMPLES, kind);
      return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
    };
    if (!existsSync(SAMPLES)) {
      it("are taken and refused alike", function () {
        console.log(
          "      skipped: policy-controller's samples are not here (set ENTREPOT_CONFORMANCE to their folder)",
        );
        this.skip();
      });
    }
    const create = (file: string) => kubectl(["create", "--dry-run=server", "-f", file]);
    for (const file of [...files("valid"), ...files("e2e")]) {
      it(`${file.slice(SAMPLES.length + 1)} is taken, without a warning`, async () => {
        const { code, stderr } = await create(file);
        expect(code, stderr).to.equal(0);
        expect(stderr).to.equal("");
      });
    }
    for (const file of files("invalid")) {
      it(`${file.slice(SAMPLES.length + 1)} is refused with its words`, async () => {
        const { code, stderr } = await create(file);
        const lines = [...readFileSync(file, "utf8").matchAll(/^# ERROR:\s*(.*)$/gm)].map(([, line = ""]) =>
          line.trim(),
        );
        expect(code).to.not.equal(0);
        expect(lines).to.not.be.empty;
        for (const line of lines) expect(stderr).to.include(line);
      });
    }
  });

  describe("defaults", () => {
    const spec = {
      images: [{ glob: "**" }],
      authorities: [{ keyless: { identities: [{ issuer: "i", subject: "s" }] } }, { static: { action: "pass" } }],
    };

    it("are written into the object, and into no list", async () => {
      await apply("defaults", spec);
      expect((await read("defaults")).spec).to.deep.equal({ ...spec, mode: "enforce" });
    });

    it("are no difference from the file: to apply, to diff, to server-side apply", async () => {
      await apply("stable", spec);
      const { metadata } = await read("stable");
      expect((await apply("stable", spec)).stdout).to.include("unchanged");
      const { code, stdout } = await kubectl(["diff", "-f", "-"], object("stable", spec));
      expect(code, stdout).to.equal(0);
      for (const name of ["stable", "stable-ssa", "stable-ssa"]) {
        const applied = await apply(name, spec, ["--server-side", "--force-conflicts"]);
        expect(applied.code, applied.stderr).to.equal(0);
      }
      expect((await read("stable")).metadata.generation).to.equal(metadata.generation);
      const first = await read("stable-ssa");
      await apply("stable-ssa", spec, ["--server-side"]);
      expect((await read("stable-ssa")).metadata.resourceVersion).to.equal(first.metadata.resourceVersion);
    });

    it("of a trust root are where its targets are", async () => {
      const root = Buffer.from('{"signatures":[]}').toString("base64");
      const { code, stderr } = await apply(
        "root",
        { remote: { mirror: "https://tuf.example.com", root } },
        [],
        "TrustRoot",
      );
      expect(code, stderr).to.equal(0);
      const stored = await client.get<TrustRootObject>(TRUST_ROOTS, `${RUN}-root`);
      expect(stored.spec?.remote).to.include({ targets: "targets", trustedRootTarget: "trusted_root.json" });
    });
  });

  describe("CUE, Rego and CEL", () => {
    const judged = (policy: object) => ({ ...STATIC, policy });

    it("that does not compile is refused, with the engine's words", async () => {
      const { code, stderr } = await apply("broken", judged({ type: "cel", data: "BROKEN" }));
      expect(code).to.not.equal(0);
      expect(stderr).to.include('admission webhook "validating.clusterimagepolicy.sigstore.dev" denied the request');
      expect(stderr).to.include("validation failed: invalid cel policy: spec.policy.data\n");
      expect(stderr).to.include("failed to compile the cel policy with error: BROKEN");
    });

    it("of an attestation, likewise", async () => {
      const attestations = [{ name: "scan", predicateType: "https://x", policy: { type: "rego", data: "BROKEN" } }];
      const spec = { images: STATIC.images, authorities: [{ key: { kms: "hashivault://x" }, attestations }] };
      const { stderr } = await apply("attestation", spec);
      expect(stderr).to.include(
        "invalid rego policy: spec.authorities[0].attestations.policy.data\nattestation scan: ",
      );
    });

    it("in a ConfigMap that is there is compiled; one that is not there is a warning", async () => {
      const spec = judged({ type: "cue", configMapRef: { name: "m", key: "cue" } });
      const missing = await apply("map", spec);
      expect(missing.code, missing.stderr).to.equal(0);
      expect(missing.stderr).to.include("Warning: invalid value: m: spec.policy.configMapRef.name");
      configMaps.set("m", { cue: "BROKEN" });
      expect((await apply("map-broken", spec)).stderr).to.include("invalid cue policy: spec.policy.configMapRef");
      configMaps.set("m", { cue: "a: 1" });
      const found = await apply("map-found", spec);
      expect([found.code, found.stderr]).to.deep.equal([0, ""]);
    });

    it("that cannot be judged now is taken with a warning", async () => {
      const { code, stderr } = await apply("slow", judged({ type: "cue", data: "SLOW" }));
      expect(code).to.equal(0);
      expect(stderr).to.include("Warning: the cue policy could not be compiled now: spec.policy.data");
      expect(stderr).to.include("Warning: the policy engine did not answer within 2000 ms");
    });
  });

  describe("what is there already", () => {
    it("is not refused for what it was, only for what it becomes", async () => {
      const { failOnEmptyAuthorities } = config;
      config = { ...config, failOnEmptyAuthorities: false };
      const spec = { images: STATIC.images, policy: { type: "cue", data: "a: 1" } };
      expect((await apply("empty", spec)).stderr).to.equal("");
      config = { ...config, failOnEmptyAuthorities };
      const labelled = await kubectl(["label", "cip", `${RUN}-empty`, "team=a"]);
      expect(labelled.code, labelled.stderr).to.equal(0);
      expect(labelled.stderr).to.include("Warning: missing field(s): spec.authorities");
      const changed = await apply("empty", { ...spec, images: [{ glob: "*" }] });
      expect(changed.code).to.not.equal(0);
      expect(changed.stderr).to.include("validation failed: missing field(s): spec.authorities");
    });

    it("can go, whatever it is", async () => {
      config = { ...config, failOnEmptyAuthorities: false };
      const finalizers = ["entrepot.dev/test"];
      const spec = { images: STATIC.images, policy: { type: "cue", data: "a: 1" } };
      const created = await kubectl(["create", "-f", "-"], object("going", spec, undefined, { finalizers }));
      expect(created.code, created.stderr).to.equal(0);
      config = readConfig({}).config;
      await client.delete(CLUSTER_IMAGE_POLICIES, `${RUN}-going`);
      await client.mergePatch(CLUSTER_IMAGE_POLICIES, `${RUN}-going`, { metadata: { finalizers: null } });
      const gone = await client.get(CLUSTER_IMAGE_POLICIES, `${RUN}-going`).catch(String);
      expect(String(gone)).to.match(/not found|NOT_FOUND/i);
    });
  });

  it("a TUF repository that is none is refused", async () => {
    const root = Buffer.from('{"signatures":[]}').toString("base64");
    const mirrorFS = Buffer.from([0x1f, 0x8b, 0x08, 0]).toString("base64");
    const { code, stderr } = await apply("tuf", { repository: { root, mirrorFS } }, [], "TrustRoot");
    expect(code).to.not.equal(0);
    expect(stderr).to.include("failed to construct a TUF client: spec.repository.mirrorFS");
  });

  describe("an unknown field", () => {
    const unknown = { ...STATIC, authorites: [], images: [{ glob: "**", tag: "v1" }] };

    it("is an error of kubectl, and a warning of it where asked", async () => {
      const strict = await apply("unknown", unknown, ["--dry-run=server"]);
      expect(strict.code).to.not.equal(0);
      expect(strict.stderr).to.include('unknown field "spec.authorites"');
      const warned = await apply("unknown", unknown, ["--dry-run=server", "--validate=warn"]);
      expect(warned.code, warned.stderr).to.equal(0);
      expect(warned.stderr).to.include('Warning: unknown field "spec.authorites"');
      expect(warned.stderr).to.include('Warning: unknown field "spec.images[0].tag"');
    });

    it("is a warning to any client, asked for or not, and pruned", async () => {
      const path = "/apis/policy.sigstore.dev/v1beta1/clusterimagepolicies";
      for (const query of ["", "?fieldValidation=Warn"]) {
        const raw = ["create", "--raw", `${path}${query}`, "-v=8", "-f", "-"];
        const { code, stdout, stderr } = await kubectl(raw, object(`raw${query.length}`, unknown));
        expect(code, stderr).to.equal(0);
        expect(stderr).to.match(/Warning:.*unknown field \\?"spec\.authorites\\?"/);
        expect(stdout).to.not.include("authorites");
      }
    });
  });
});
