// Names in caches through both policy webhooks, with scripted registries and owners (a fake: test/support/scripted-admission.ts).
import { expect } from "chai";
import type { CacheNames } from "../../core/cachenames/types.ts";
import { HOST, namedRule } from "../support/named-rules.ts";
import { namesOf } from "../support/rewrite-samples.ts";
import {
  APP,
  annotation,
  type Change,
  imageOf,
  type Json,
  nothing,
  Outside,
  owned,
  type Replica,
  replica,
  SIGNED,
  UNSIGNED,
  workload,
} from "../support/scripted-admission.ts";

const CACHED = `${HOST}/gh/app:v1`;
const VENDOR = "vendor.example.com/gh/app:v1";
const names = namesOf([
  namedRule("ghcr.io/team/*", "gh/*", { name: "gh" }),
  namedRule("ghcr.io/team/*", "gh/*", { name: "at-vendor", registry: "vendor", host: "vendor.example.com" }),
]);
const PASS = { authorities: [{ static: { action: "pass" } }] };
const FAIL = { authorities: [{ static: { action: "fail", message: "withdrawn" } }] };

describe("an image under its name in a cache", () => {
  let outside: Outside;
  beforeEach(() => {
    outside = new Outside();
  });
  const start = (change: Change = {}) => replica(outside, { names, ...change });
  const messageOf = ({ response }: Awaited<ReturnType<Replica["send"]>>) => response.status?.message ?? "";
  const admit = (by: Replica, image: string, metadata: object = {}) =>
    by.send("CREATE", workload("Pod", "p", image, metadata));

  /** An admitted Deployment and ReplicaSet, as Pods of it find them. */
  async function rollout(by: Replica, image: string): Promise<Json> {
    const { object: deployment, response } = await by.send("CREATE", workload("Deployment", "app", image));
    expect(response.allowed).to.equal(true);
    const copied = { annotations: { ...deployment.metadata.annotations }, ...owned("app", "Deployment") };
    outside.owners.set("app", deployment).set("app-1", workload("ReplicaSet", "app-1", image, copied));
    outside.asked = { ...nothing };
    return deployment;
  }

  /** The same Pod with another image, as the rewriting webhook leaves it before the policy webhook is called again. */
  const renamed = (pod: Json, image: string): Json => ({ ...pod, spec: workload("Pod", "p", image)["spec"] });
  const child = (image: string) => workload("Pod", "p", image, owned("app-1", "ReplicaSet"));

  it("finds what was sealed on its Deployment under the upstream's: no request, the annotation as it was", async () => {
    const first = await start();
    const deployment = await rollout(first, APP);
    for (const by of [first, await start()]) {
      const { object: pod } = await by.send("CREATE", child(APP));
      expect(imageOf(pod)).to.equal(`${APP}@${SIGNED}`);
      expect(annotation(pod)).to.equal(annotation(deployment));
      outside.asked = { ...nothing };
      for (const replica of [by, await start()]) {
        const again = await replica.send("CREATE", renamed(pod, `${CACHED}@${SIGNED}`));
        expect(again.response.allowed).to.equal(true);
        expect(again.object).to.deep.equal(renamed(pod, `${CACHED}@${SIGNED}`));
      }
      expect(outside.asked).to.deep.equal(nothing);
    }
  });

  it("with another digest is verified anew, and refused by both names", async () => {
    const first = await start();
    await rollout(first, APP);
    const { object: pod } = await first.send("CREATE", child(APP));
    const refused = await first.send("CREATE", renamed(pod, `${CACHED}@${UNSIGNED}`));
    expect(outside.asked.verify).to.equal(1);
    expect(messageOf(refused)).to.equal(
      `validation failed: failed policy: signed: spec.containers[0].image\n${CACHED}@${UNSIGNED} (ghcr.io/team/app) ` +
        `signature key validation failed for authority key for ghcr.io/team/app@${UNSIGNED}: no signatures found`,
    );
    expect(outside.events[0]?.note).to.include(
      `${HOST}/gh/app@${UNSIGNED} (ghcr.io/team/app) in spec.containers[0].image`,
    );
  });

  it("seals what its upstream's name finds, and the other way round", async () => {
    outside.tags.set(CACHED, SIGNED);
    const first = await start();
    await rollout(first, CACHED);
    const { response, object } = await (await start()).send("CREATE", child(`${APP}@${SIGNED}`));
    expect(response.allowed).to.equal(true);
    expect(outside.asked).to.include({ resolve: 0, verify: 0 });
    expect(annotation(object)).to.be.a("string");
  });

  it("finds nothing sealed under another policy than now", async () => {
    const first = await start();
    const deployment = await rollout(first, APP);
    const changed = await start({ spec: { images: [{ glob: "ghcr.io/team/*" }] } });
    const { annotations } = deployment.metadata;
    const pod = workload("Pod", "p", `${CACHED}@${SIGNED}`, { ...(annotations && { annotations }) });
    expect((await changed.send("CREATE", pod)).response.allowed).to.equal(true);
    expect(outside.asked.verify).to.equal(1);
  });

  for (const [from, to] of [
    [APP, CACHED],
    [CACHED, APP],
  ] as const) {
    it(`takes no tag's digest from another name: ${from} says nothing of ${to}`, async () => {
      outside.tags.set(from, SIGNED).set(to, UNSIGNED);
      const first = await start();
      await rollout(first, from);
      outside.tags.set(from, UNSIGNED); // a revision keeps the digest that was sealed
      for (const by of [first, await start()]) {
        outside.asked = { ...nothing };
        const pod = await by.send("CREATE", child(to));
        expect(outside.asked.resolve).to.be.greaterThan(0);
        expect(imageOf(pod.object)).to.equal(`${to}@${UNSIGNED}`);
        expect(pod.response.allowed).to.equal(false);
        const control = await by.send("CREATE", child(from));
        expect(control.response.allowed).to.equal(true);
        expect(imageOf(control.object)).to.equal(`${from}@${SIGNED}`);
      }
    });
  }

  it("has no use for a pin when its rule leads to another upstream by now", async () => {
    outside.tags.set(CACHED, SIGNED);
    await rollout(await start(), CACHED);
    outside.tags.set(CACHED, UNSIGNED);
    const moved = namesOf([namedRule("ghcr.io/team/other", "gh/app")]);
    const { response, object } = await (await start({ names: moved })).send("CREATE", child(CACHED));
    expect(imageOf(object)).to.equal(`${CACHED}@${UNSIGNED}`);
    expect(response.allowed).to.equal(false);
  });

  it("must satisfy the policies of both names", async () => {
    const own = { images: [{ glob: `${HOST}/**` }] };
    const both = await start({ others: [own] });
    expect((await admit(both, `${CACHED}@${SIGNED}`)).response.allowed).to.equal(true);
    const failing = await start({ others: [{ ...own, ...FAIL }] });
    expect(messageOf(await admit(failing, `${CACHED}@${SIGNED}`))).to.include("failed policy: other-0");
    expect((await admit(failing, `${APP}@${SIGNED}`)).response.allowed).to.equal(true);
    const upstreamFails = await start({ spec: FAIL, others: [{ ...own, ...PASS }] });
    expect(messageOf(await admit(upstreamFails, CACHED)))
      .to.include("failed policy: signed")
      .and.include("withdrawn");
    const withoutRules = await start({ spec: FAIL, others: [{ ...own, ...PASS }], names: namesOf([]) });
    expect((await admit(withoutRules, CACHED)).response.allowed).to.equal(true);
  });

  it("pushed by hand into a registry's product has no policy by the upstream's name alone, and is told what to do", async () => {
    const pushed = await start({ spec: PASS });
    const refused = await admit(pushed, `${VENDOR}@${UNSIGNED}`);
    expect(messageOf(refused)).to.equal(
      `validation failed: no matching policies: spec.containers[0].image\n${VENDOR}@${UNSIGNED} (ghcr.io/team/app) ` +
        'ClusterImagePolicy "signed" passes ghcr.io/team/app by its name alone, and not what others may push to CacheRegistry "vendor" ' +
        'under the name that CacheRule "at-vendor" gives it; write a policy for vendor.example.com/gh/app, or pull it through an ' +
        "in-cluster CacheRegistry",
    );
    expect(outside.events[0]?.note).to.include("no matching policies");
    expect((await admit(pushed, `${CACHED}@${UNSIGNED}`)).response.allowed, "nobody pushes there").to.equal(true);
    const named = await start({ spec: PASS, others: [{ ...PASS, images: [{ glob: "vendor.example.com/gh/*" }] }] });
    expect((await admit(named, VENDOR)).response.allowed).to.equal(true);
    const allow = await start({ spec: PASS, data: { "no-match-policy": "allow" } });
    expect((await admit(allow, VENDOR)).response.allowed).to.equal(true);
    const warn = await start({ spec: PASS, data: { "no-match-policy": "warn" } });
    const warned = await admit(warn, VENDOR);
    expect(warned.response).to.include({ allowed: true });
    expect(warned.response.warnings?.[1]).to.include('"signed" passes ghcr.io/team/app by its name alone');
    expect(outside.asked).to.include({ resolve: 0, verify: 0 });
  });

  it("signed is as good in a registry's product as at its upstream, and unsigned as bad", async () => {
    const strict = await start();
    expect((await admit(strict, `${VENDOR}@${SIGNED}`)).response.allowed).to.equal(true);
    expect(messageOf(await admit(strict, `${VENDOR}@${UNSIGNED}`))).to.include("failed policy: signed");
  });

  it("gains nothing by what the Pod says its image was called, and is told of it at most", async () => {
    const strict = await start({ others: [{ ...PASS, images: [{ glob: "docker.io/trusted/**" }] }] });
    for (const image of [`quay.io/evil/app@${UNSIGNED}`, `${CACHED}@${UNSIGNED}`]) {
      for (const claimed of [`docker.io/trusted/app@${UNSIGNED}`, `${APP}@${SIGNED}`]) {
        const annotations = { "entrepot.dev/original-images": JSON.stringify({ c: claimed }) };
        const forged = await admit(strict, image, { annotations });
        expect(forged.response.allowed).to.equal(false);
        const told = / the Pod says that the image was called docker\.io\/trusted\/app .* if it is out of date$/;
        expect(messageOf(forged).replace(told, "")).to.equal(messageOf(await admit(strict, image)));
      }
    }
  });

  it("that runs is not refused for want of a policy when its Pod is only touched", async () => {
    const condition = { policy: { type: "cue", data: "a: 1", includeObjectMeta: true }, ...PASS };
    const running = workload("Pod", "p", `${VENDOR}@${SIGNED}`);
    const touched = { ...running, metadata: { ...running.metadata, labels: { a: "b" } } };
    const by = await start({ spec: condition });
    const { response } = await by.send("UPDATE", touched, { oldObject: running });
    expect(outside.asked.evaluate).to.equal(1);
    expect(response.allowed).to.equal(true);
  });

  it("that leads through too many caches is refused as one that can't be judged", async () => {
    const step = (from: string, to: string) => namedRule(`${from}.example.com/*`, "*", { host: `${to}.example.com` });
    const chain: CacheNames = namesOf([..."abcde"].map((from, index) => step(from, "bcdef"[index] ?? "")));
    const by = await start({ names: chain, data: { "no-match-policy": "allow" } });
    expect(messageOf(await admit(by, "f.example.com/app"))).to.match(
      /^validation failed: too many names: f\.example\.com\/app: spec\.containers\[0\]\.image\nCacheRules give it more than 4/,
    );
    expect((await admit(by, "e.example.com/app")).response.allowed).to.equal(true);
  });
});
