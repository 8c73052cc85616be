// What `/rewriting` answers, with a scripted API server, and how rarely that is asked.
import { expect } from "chai";
import { KubeError } from "../../adapters/kube/errors.ts";
import type { KubeClient } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { ANNOTATION } from "../../crds/names.ts";
import { PullSecrets } from "../../webhooks/pullsecrets.ts";
import { request } from "../support/admission.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { namedRule } from "../support/named-rules.ts";
import { namesOf, podOf } from "../support/rewrite-samples.ts";
import { type Change, Outside, replica } from "../support/scripted-admission.ts";

const VENDOR = { registry: "vendor", host: "vendor.example.com" };

describe("looking for pull Secrets", () => {
  let clock: FakeClock;
  let asked: string[];
  let answer: (signal: AbortSignal) => Promise<object>;
  let secrets: PullSecrets;
  const never = new AbortController().signal;
  const look = (namespace = "team") => secrets.look(namespace, "pull", never);

  beforeEach(() => {
    clock = new FakeClock();
    asked = [];
    answer = async () => ({});
    const getMetadata = (
      resource: { kind: string },
      name: string,
      options: { namespace: string; signal: AbortSignal },
    ) => {
      asked.push(`${resource.kind} ${options.namespace}/${name}`);
      return answer(options.signal);
    };
    secrets = new PullSecrets({ client: { getMetadata } as unknown as KubeClient, log: silentLog, clock });
  });

  it("asks once for all who ask at the same time, and again after half a minute", async () => {
    expect(await Promise.all([look(), look(), look("other")])).to.deep.equal(["present", "present", "present"]);
    expect(asked).to.deep.equal(["Secret team/pull", "Secret other/pull"]);
    await clock.advance(29_999);
    await look();
    expect(asked).to.have.length(2);
    answer = () => Promise.reject(new KubeError("NOT_FOUND", "none"));
    await clock.advance(2);
    expect(await look()).to.equal("absent");
    await clock.advance(29_999);
    expect(await look()).to.equal("absent");
    expect(asked).to.have.length(3);
    answer = async () => ({});
    await clock.advance(2);
    expect(await look()).to.equal("present");
  });

  it("does not know when the API server does not say, and does not press it", async () => {
    answer = () => Promise.reject(new KubeError("FORBIDDEN", "no"));
    expect(await look()).to.equal("unknown");
    expect(await look()).to.equal("unknown");
    expect(asked).to.have.length(1);
    answer = async () => ({});
    await clock.advance(5_001);
    expect(await look()).to.equal("present");
  });

  it("waits two seconds and no longer", async () => {
    answer = (signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    expect(await look()).to.equal("unknown");
  }).timeout(30_000);

  it("remembers nothing of a question that was given up", async () => {
    answer = (signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const impatient = new AbortController();
    const given = secrets.look("team", "pull", impatient.signal).catch((thrown: unknown) => thrown);
    impatient.abort(new Error("enough"));
    expect(await given).to.be.an("error");
    answer = async () => ({});
    expect(await look()).to.equal("present");
  });
});

describe("the answer of /rewriting", () => {
  const APP = "ghcr.io/team/app:v1";
  const rules = [namedRule("ghcr.io/*", "ghcr/*", VENDOR), namedRule("docker.io/*", "hub/*")];
  const pass = { authorities: [{ name: "s", static: { action: "pass" } }] };
  const ask = async (change: Change, pod: object, more: object = {}) => {
    const outside = new Outside();
    const webhook = await replica(outside, { names: namesOf(rules), ...change });
    const { allowed, warnings, patch } = await webhook.ask("/rewriting", request(pod, more));
    const operations = patch === undefined ? [] : JSON.parse(Buffer.from(patch, "base64").toString());
    return {
      allowed,
      warnings,
      patch: operations as readonly { path: string; value: unknown }[],
      asked: outside.asked,
    };
  };

  it("asks no registry", async () => {
    const { patch, asked } = await ask({}, podOf(["a/b:1"]));
    expect(patch[0]).to.deep.include({ path: "/spec/containers/0/image", value: "localhost:30500/hub/a/b:1" });
    expect(Object.values(asked).reduce((sum, count) => sum + count)).to.equal(0);
  });

  it("renames 500 images, and leaves a Pod with more as it is, with a word", async () => {
    const images = (count: number) => podOf(Array.from({ length: count }, () => "a/b:1"));
    expect((await ask({}, images(500))).patch).to.have.length(501);
    const { allowed, patch, warnings } = await ask({}, images(501));
    expect([allowed, patch]).to.deep.equal([true, []]);
    expect(warnings).to.deep.equal(["images keep the upstreams' names: the Pod has more than 500"]);
  });

  it("is nothing in the system's namespaces", async () => {
    for (const namespace of ["cosign-system", "kube-system"])
      expect((await ask({}, podOf(["a/b:1"]), { namespace })).patch).to.deep.equal([]);
  });

  it("renames where the Secret could not be looked up, and adds none", async () => {
    // The scripted API server fails for what it does not know.
    const { patch, warnings, asked } = await ask({}, podOf([APP]));
    expect(patch.map(({ path }) => path)).to.deep.equal(["/spec/containers/0/image", "/metadata/annotations"]);
    expect(asked.owner).to.equal(1);
    expect(warnings).to.equal(undefined);
  });

  it("keeps an image that would be judged otherwise by its cached name", async () => {
    const { patch, warnings = [] } = await ask({ spec: pass }, podOf([APP]));
    expect(patch).to.have.length(1);
    expect(patch[0]?.value)
      .to.have.property(ANNOTATION.notRewritten)
      .that.includes("write a policy for vendor.example.com");
    expect(warnings[0]).to.match(/^c0: ghcr\.io\/team\/app:v1 is not rewritten: ClusterImagePolicy "signed" passes /);
    const unasked = await ask({ spec: pass, data: { "no-match-policy": "allow" } }, podOf([APP]));
    expect(unasked.patch[0]?.path).to.equal("/spec/containers/0/image");
  });

  it("keeps all images of a Pod where a policy for one of them reads the names in its spec", async () => {
    const reads = (mode: "enforce" | "warn", glob: string, includeSpec = true) => ({
      spec: { ...pass, images: [{ glob }], mode, policy: { type: "cue", data: "a?: 1", includeSpec } },
    });
    const images = podOf(["a/b:1", "quay.io/c/d:1"]);
    for (const glob of ["quay.io/c/*", "docker.io/a/*"]) {
      const { patch, warnings = [] } = await ask(reads("enforce", glob), images);
      expect(
        patch.map(({ path }) => path),
        glob,
      ).to.deep.equal(["/metadata/annotations"]);
      expect(warnings[0]).to.match(/^c0: a\/b:1 is not rewritten: ClusterImagePolicy "signed" reads /);
    }
    const cached = podOf(["a/b:1", "localhost:30500/hub/e/f:1"]);
    expect((await ask(reads("enforce", "docker.io/e/*"), cached)).patch.map(({ path }) => path)).to.deep.equal([
      "/metadata/annotations",
    ]);
    for (const other of [reads("warn", "quay.io/c/*"), reads("enforce", "x/*"), reads("enforce", "quay.io/c/*", false)])
      expect((await ask(other, images)).patch[0]?.path).to.equal("/spec/containers/0/image");
  });

  it("never refuses, whatever goes wrong", async () => {
    const broken = {
      ...namesOf([]),
      cachedAs: () => {
        throw new Error("a mistake of ours");
      },
    };
    const { allowed, warnings, patch } = await ask({ names: broken }, podOf(["a/b:1"]));
    expect({ allowed, warnings, patch }).to.deep.equal({
      allowed: true,
      warnings: ["images keep the upstreams' names: a mistake of ours"],
      patch: [],
    });
  });

  it("names ten of many that are kept", async () => {
    const quay = namesOf([namedRule("quay.io/*", "q/*", { notReady: "no" })]);
    const { warnings = [] } = await ask({ names: quay }, podOf(Array.from({ length: 30 }, () => "quay.io/a/b")));
    expect(warnings).to.have.length(11);
    expect(warnings[10]).to.equal("20 more images are not rewritten");
  });
});
