// What cannot be had from a real API server at will: missing rights, a race.
import { expect } from "chai";
import { KubeError } from "../../adapters/kube/errors.ts";
import type { KubeClient, Resource } from "../../adapters/kube/types.ts";
import { flushCache, flushText } from "../../cli/cache-flush.ts";
import { showCache } from "../../cli/cache-show.ts";
import { workloadKind } from "../../core/admission/workload.ts";
import { newSealKey } from "../../core/cache/keyring.ts";
import { writePublicJwks } from "../../core/cache/publicjwks.ts";
import { CACHE_ANNOTATION, writeRecords } from "../../core/cache/record.ts";
import { Sealer } from "../../core/cache/seal.ts";
import { HOST, MAIN_REGISTRY, namedRule } from "../support/named-rules.ts";

const NOW = new Date("2026-01-01T00:00:00Z");
const DIGEST = `sha256:${"a".repeat(64)}` as const;
const SEALED = {
  cluster: "c",
  epoch: "0",
  records: new Map([
    [
      `ghcr.io/team/app@${DIGEST}`,
      new Map([
        [
          "uid-1",
          {
            policyName: "signed",
            policyUid: "uid-1",
            resourceVersion: "12",
            policyHash: "h",
            issued: NOW.getTime() / 1000,
            expires: NOW.getTime() / 1000 + 3600,
            authorities: { team: { static: true as const } },
          },
        ],
      ]),
    ],
  ]),
  pins: new Map(),
};

const denied = (what: string) => new KubeError("FORBIDDEN", `${what}: User "u" cannot do that`);

describe("show with few rights", () => {
  const key = newSealKey(NOW);
  const deployment = workloadKind("apps", "Deployment");
  if (deployment === undefined) throw new Error("there is no row for Deployments");
  const request = { workload: deployment, name: "app", namespace: "team", systemNamespace: "sys", now: NOW };
  let annotation: string;
  before(async () => {
    annotation = new Sealer({ keys: [key] }).seal(writeRecords(SEALED));
  });

  type Lists = Readonly<Record<string, readonly object[]>>;
  const client = (allowed: readonly string[], spec?: object, lists: Lists = {}): Pick<KubeClient, "get" | "list"> => ({
    async get({ kind }: Resource, name: string) {
      const metadata = { name, namespace: "team", uid: "c", annotations: { [CACHE_ANNOTATION]: annotation } };
      if (!allowed.includes(name)) throw denied(`get ${kind} "${name}"`);
      const data = name === "entrepot-seal-keys-public" ? { "jwks.json": writePublicJwks({ keys: [key] }) } : {};
      const apiVersion = kind === "Deployment" ? "apps/v1" : "v1";
      return { apiVersion, kind, metadata, data, ...(spec && { spec }) } as never;
    },
    async list({ kind, plural }: Resource) {
      const items = lists[kind];
      if (items !== undefined) return { items, resourceVersion: "1" } as never;
      throw denied(`list ${plural}`);
    },
  });

  it("leaves out what it may not read, and says so", async () => {
    const report = await showCache(client(["app", "entrepot-seal-keys-public"]), request);
    expect(report.seal).to.include({ holds: true });
    expect(report.records?.[0]).to.deep.include({ valid: true, hints: [] });
    expect(report.notes).to.have.length(3);
    for (const note of report.notes) expect(note).to.include("not compared").and.include("cannot do that");
  });

  it("says why nothing is known of an ephemeral container", async () => {
    const pod = workloadKind("", "Pod");
    if (pod === undefined) throw new Error("there is no row for Pods");
    const spec = {
      containers: [{ name: "app", image: `ghcr.io/team/app@${DIGEST}` }],
      ephemeralContainers: [{ name: "debugger", image: "ghcr.io/team/tools:v1" }],
    };
    const allowed = client(["app", "entrepot-seal-keys-public"], spec);
    const { notes } = await showCache(allowed, { ...request, workload: pod });
    const about = notes?.filter((note) => note.includes("no record of image"));
    expect(about).to.have.length(1);
    expect(about?.[0]).to.include("ghcr.io/team/tools:v1").and.include("ephemeral container");
  });

  describe("for an image that is written with its name in a cache", () => {
    const cached = `${HOST}/gh/app@${DIGEST}`;
    const keys = ["app", "entrepot-seal-keys-public"];
    const spec = { template: { spec: { containers: [{ name: "app", image: cached }] } } };
    const rule = namedRule("ghcr.io/team/*", "gh/*");
    const notesOf = async (lists: Lists) => {
      const { notes } = await showCache(client(keys, spec, lists), request);
      return notes?.filter((note) => !/^(the cluster's identity is|the epoch is|policies are) not compared/.test(note));
    };

    it("finds the record under the upstream's name, by the CacheRules", async () => {
      expect(await notesOf({ CacheRule: [rule], CacheRegistry: [MAIN_REGISTRY] })).to.deep.equal([]);
    });

    it("misses it where no rule says so, and says which image", async () => {
      for (const rules of [[], [namedRule("quay.io/team/*", "gh/*")]]) {
        const notes = await notesOf({ CacheRule: rules, CacheRegistry: [MAIN_REGISTRY] });
        expect(notes).to.have.length(1);
        expect(notes?.[0]).to.include(`no record of image ${cached}: `);
      }
    });

    it("says that it may not read the rules", async () => {
      const notes = await notesOf({ CacheRegistry: [MAIN_REGISTRY] });
      expect(notes).to.have.length(2);
      expect(notes?.[0]).to.match(/^names in caches are not compared: .*list cacherules/);
      expect(notes?.[1]).to.include(`no record of image ${cached}: `);
    });
  });

  it("does not go without the keys", async () => {
    const thrown = await showCache(client(["app"]), request).catch((error: unknown) => error);
    expect(thrown).to.be.instanceOf(KubeError).and.to.have.property("code", "FORBIDDEN");
  });
});

describe("flush", () => {
  it("sets the epoch also where somebody makes the ConfigMap at the same time", async () => {
    const patches: object[] = [];
    const client = {
      get: async () => {
        throw new KubeError("NOT_FOUND", "none");
      },
      create: async () => {
        throw new KubeError("ALREADY_EXISTS", "there is one by now");
      },
      mergePatch: async (_resource: Resource, name: string, patch: object, options?: object) => {
        patches.push({ name, patch, options });
        return {} as never;
      },
    };
    const flush = await flushCache(client, "sys", NOW);
    const after = "2026-01-01T00:00:00.000Z";
    expect(flush).to.deep.equal({ before: "0", after, created: false, cacheEnabled: false });
    const patch = { data: { "dev.entrepot.cache-epoch": after } };
    expect(patches).to.deep.equal([{ name: "config-policy-controller", patch, options: { namespace: "sys" } }]);
  });

  it("says what it did, and what Git may undo", () => {
    const text = flushText({ before: "0", after: "1", created: false, cacheEnabled: true }, "sys");
    expect(text).to.include("Epoch 0 -> 1 (dev.entrepot.cache-epoch in ConfigMap sys/config-policy-controller)");
    expect(text).to.include("Git").and.not.include("The cache is off");
  });
});
