// What a refusal says when the deadline of an admission passes before a cache or an upstream answers; both are scripted.
import { expect } from "chai";
import { type RegistryPorts, throughCaches } from "../../adapters/caches/lookups.ts";
import { startDeadline } from "../../adapters/deadline.ts";
import { RegistryError } from "../../adapters/registry/errors.ts";
import type { CacheNames } from "../../core/cachenames/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { MISSED, Progress } from "../../webhooks/progress.ts";
import { request } from "../support/admission.ts";
import { namedRule } from "../support/named-rules.ts";
import { namesOf } from "../support/rewrite-samples.ts";
import { Outside, replica, SIGNED, workload } from "../support/scripted-admission.ts";

const APP = "ghcr.io/team/app";
const CACHE_HOST = "gateway.example.com";
const rule = namedRule("ghcr.io/team/*", "gh/*");
const signatures = (mode: "cache" | "upstream" | "both", message?: string): CacheNames =>
  namesOf(
    [rule],
    [
      {
        metadata: { name: "main" },
        spec: { inCluster: {}, signatures: mode },
        status: { conditions: message === undefined ? [] : [{ type: "Reachable", status: "False", message }] },
      },
    ],
  );
const forever = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

describe("an admission that ends while registries are asked", () => {
  let answer: (host: string, signal: AbortSignal) => Promise<never>;
  beforeEach(() => {
    answer = (_host, signal) => forever(signal);
  });

  /** What is said of an image when nothing more is going to be answered. */
  async function said(image: string, names: CacheNames, ms = 300): Promise<string> {
    const ports: RegistryPorts = {
      verify: async ({ reference }, _authority, _keychain, signal) => await answer(reference.registry, signal),
      resolve: async ({ registry }, _keychain, signal) => await answer(registry, signal),
      configFiles: async ({ reference }, _keychain, signal) => await answer(reference.registry, signal),
    };
    const enter = async ({ reference }: { reference: { repository: string; asWritten: string } }) => ({
      reference: { ...reference, registry: CACHE_HOST },
      keychain: ANONYMOUS,
    });
    const outside = new Outside();
    outside.ports = throughCaches(ports, { names: () => names, entrances: { enter }, turnMs: 50 });
    const webhook = await replica(outside, { names });
    using deadline = startDeadline(ms);
    const { status } = await webhook.ask("/validations", request(workload("Pod", "p", image)), deadline.signal);
    return status?.message ?? "admitted";
  }

  it("names both places: the cache that took too long, and the upstream that was still being asked", async () => {
    expect(await said(`${APP}@${SIGNED}`, signatures("both"))).to.match(
      /no answer before the admission deadline \(CacheRegistry "main" was asked before: no answer within 0\.05 s; ghcr\.io\/team\/app was still being asked\); try again$/,
    );
    expect(await said(`${APP}:v1`, signatures("both"))).to.match(
      /the tag could not be resolved to a digest: no answer before the admission deadline \(CacheRegistry "main" was asked before: no answer within 0\.05 s; ghcr\.io\/team\/app was still being asked\); try again$/,
    );
  });

  it("names the cache that it was waiting for, and that the upstream's turn had not come", async () => {
    expect(await said(`${APP}@${SIGNED}`, signatures("both"), 25)).to.include(
      '(CacheRegistry "main" was still being asked; ghcr.io/team/app was not asked yet); try again',
    );
    expect(await said(`${APP}@${SIGNED}`, signatures("cache"))).to.include(
      '(CacheRegistry "main" was still being asked); try again',
    );
  });

  it("says why the cache was not asked, or what it answered", async () => {
    expect(await said(`${APP}@${SIGNED}`, signatures("both", "no gateway is ready"))).to.include(
      '(CacheRegistry "main" was not asked: no gateway is ready; ghcr.io/team/app was still being asked)',
    );
    const refused = new RegistryError(
      "REGISTRY_UNREACHABLE",
      { registry: CACHE_HOST, repository: "gh/app" },
      "refused",
    );
    answer = (host, signal) => (host === CACHE_HOST ? Promise.reject(refused) : forever(signal));
    expect(await said(`${APP}:v1`, signatures("both"))).to.include(
      '(CacheRegistry "main" was asked before: gateway.example.com/gh/app: refused; ghcr.io/team/app was still being asked)',
    );
  });

  it("is not told of what work says when nobody waits for it any more, nor of work before, nor of work that is done", async () => {
    const progress = new Progress();
    const first = new AbortController();
    await progress.during("k", first.signal, async (say) => {
      say("the cache was still being asked");
      first.abort();
      say("the upstream was still being asked");
    });
    expect(progress.missed("k")).to.equal(
      "no answer before the admission deadline (the cache was still being asked); try again",
    );
    await progress.during("k", new AbortController().signal, async (say) => {
      expect(progress.missed("k")).to.equal(MISSED);
      say("the cache was still being asked");
    });
    expect(progress.missed("k")).to.equal(MISSED);
  });

  it("says what it always said where there is no cache", async () => {
    for (const image of [`${APP}@${SIGNED}`, `${APP}:v1`])
      expect(await said(image, namesOf([]))).to.match(
        /the registry did not answer before the admission deadline; try again$/,
      );
  });
});
