import type { IncomingMessage, ServerResponse } from "node:http";
import { expect } from "chai";
import { type Answering, endless, type FakeRegistry, startFakeRegistry } from "../support/fake-registry.ts";
import { Cleanup, digestOf, OCI_MANIFEST } from "./gateway-harness.ts";
import { Stage, servedRule } from "./refresh-harness.ts";

// What answers here is NO registry (test/support/fake-registry.ts): it does what a hostile or broken one would.
const LAYER = Buffer.from("layer");
const CONFIG = Buffer.from("{}");
const descriptor = (mediaType: string, content: Buffer) => ({
  mediaType,
  digest: digestOf(content),
  size: content.length,
});
const MANIFEST = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor("c", CONFIG),
    layers: [descriptor("l", LAYER)],
  }),
);

type Answers = Partial<Record<"tags" | "manifest" | "blob" | "catalog", Answering>>;

function send(response: ServerResponse, content: Buffer | string, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "content-length": Buffer.byteLength(content), ...headers });
  response.end(content);
}

function registry(answers: Answers): Answering {
  const usual: Required<Answers> = {
    catalog: (_request, response) => response.writeHead(404).end(),
    tags: (_request, response) => send(response, JSON.stringify({ name: "app", tags: ["1.0.0"] })),
    manifest: (request, response) => {
      const headers = { "content-type": OCI_MANIFEST, "docker-content-digest": digestOf(MANIFEST) };
      response.writeHead(200, { ...headers, "content-length": String(MANIFEST.length) });
      response.end(request.method === "HEAD" ? undefined : MANIFEST);
    },
    blob: (request, response) => send(response, (request.url ?? "").endsWith(digestOf(LAYER)) ? LAYER : CONFIG),
  };
  return (request: IncomingMessage, response: ServerResponse) => {
    const url = request.url ?? "";
    const kind = url.includes("/tags/list")
      ? "tags"
      : url.includes("/blobs/")
        ? "blob"
        : url.includes("_catalog")
          ? "catalog"
          : "manifest";
    (answers[kind] ?? usual[kind])(request, response);
  };
}

describe("refresh and a registry that means harm", function () {
  this.timeout(120_000);
  const perTest = new Cleanup();
  afterEach(() => perTest.run());

  const REFRESH = { interval: "1h", tags: [{ glob: "*" }] };
  const start = async (answers: Answers, refresh = REFRESH): Promise<{ fake: FakeRegistry; made: Stage }> => {
    const fake = await startFakeRegistry(registry(answers));
    perTest.add(() => fake.stop());
    const made = new Stage(fake.origin, servedRule(refresh));
    perTest.add(() => made.doors.close());
    return { fake, made };
  };
  /** Two failures in a row are told; that is what they are told with. */
  const warning = async (made: Stage): Promise<string> => {
    await made.run();
    expect(made.said("RefreshFailing"), "one failure is no news").to.deep.equal([]);
    await made.later();
    return made.said("RefreshFailing").join("\n");
  };

  it("is none, to begin with: the fake serves an image", async () => {
    const { made } = await start({});
    await made.run();
    expect(made.cached?.tags).to.have.length(1);
    expect(made.cached?.tags?.[0]).to.include({ tag: "1.0.0", bytes: LAYER.length + CONFIG.length });
  });

  it("a million tags on one page are not read", async () => {
    const page = JSON.stringify({ name: "app", tags: Array.from({ length: 1_000_000 }, (_, i) => `1.0.${i}`) });
    const { fake, made } = await start({ tags: (_request, response) => send(response, page) });
    expect(await warning(made)).to.include("4194304 bytes");
    expect(fake.requests.some(({ url }) => url.includes("/manifests/"))).to.equal(false);
    expect(made.writes).to.deep.equal([]);
  });

  it("of a million tags on pages without end so many are read, and no more than a thousand followed", async () => {
    let next = 0;
    const tags: Answering = (_request, response) => {
      const page = Array.from({ length: 1_000 }, () => `1.0.${next++}`);
      send(response, JSON.stringify({ tags: page }), {
        link: `</v2/app/tags/list?last=${page.at(-1)}&n=1000>; rel="next"`,
      });
    };
    const { fake, made } = await start({ tags });
    await made.run();
    expect(fake.requests.filter(({ url }) => url.includes("/tags/list"))).to.have.length(51);
    expect(fake.requests.filter(({ method }) => method === "HEAD")).to.have.length(1_000);
    expect(made.said("RefreshLimited").join()).to.include("more than 50000 tags").and.include("spec.refresh.keep");
    expect(made.cached?.total).to.equal(50);
    expect(await made.run(), "the next pass is due at once").to.equal(1);
  });

  it("a list that says the same for ever ends", async () => {
    const link = '</v2/app/tags/list?last=1.0.0&n=1000>; rel="next"';
    const { fake, made } = await start({
      tags: (_request, response) => send(response, JSON.stringify({ tags: ["1.0.0"] }), { link }),
    });
    await made.run();
    expect(fake.requests.filter(({ url }) => url.includes("/tags/list"))).to.have.length(2);
    expect(made.tags).to.deep.equal(["app:1.0.0"]);
  });

  it("a next page on another host, or of something else, is not asked for", async () => {
    const { made } = await start({
      tags: (_request, response) =>
        send(response, JSON.stringify({ tags: ["1.0.0"] }), { link: '<http://169.254.169.254/latest>; rel="next"' }),
    });
    expect(await warning(made)).to.include("next page");
  });

  it("names that are no tags are not asked for", async () => {
    const names = ["../../../v2/_catalog", "a b", "a/b", "", "1.0.0", 7, null, "x".repeat(129), "sha256:00"];
    const { fake, made } = await start({
      tags: (_request, response) => send(response, JSON.stringify({ tags: names })),
    });
    await made.run();
    expect(made.tags).to.deep.equal(["app:1.0.0"]);
    const heads = fake.requests.filter(({ method }) => method === "HEAD").map(({ url }) => url);
    expect(heads).to.deep.equal(["/v2/app/manifests/1.0.0"]);
  });

  it("a manifest that is not what its digest says is not held", async () => {
    const announced = { "content-type": OCI_MANIFEST, "docker-content-digest": digestOf(LAYER) };
    const manifest: Answering = (request, response) => {
      response.writeHead(200, { ...announced, "content-length": String(MANIFEST.length) });
      response.end(request.method === "HEAD" ? undefined : MANIFEST);
    };
    const { made } = await start({ manifest });
    expect(await warning(made)).to.include("other content");
    expect(made.tags).to.deep.equal([]);
  });

  for (const [name, content] of Object.entries({
    "other bytes": Buffer.from("LAYER"),
    "too few bytes": LAYER.subarray(0, 2),
    "more bytes": Buffer.from("layer and more"),
    "bytes without end": undefined,
  }))
    it(`a layer of ${name} is not held`, async () => {
      const { fake, made } = await start({
        blob: (request, response) => {
          if (!(request.url ?? "").endsWith(digestOf(LAYER))) send(response, CONFIG);
          else if (content === undefined) endless()(request, response);
          else send(response, content);
        },
      });
      expect(await warning(made)).to.match(/other content|more than 5 bytes/);
      expect(made.tags).to.deep.equal([]);
      expect(fake.bytesWritten()).to.be.below(8 * 1024 * 1024);
      expect(await made.telemetry.metrics()).to.match(
        /refresh_failures_total\{code="(DIGEST_MISMATCH|RESPONSE_TOO_LARGE)"\} 2/,
      );
    });

  it("an index of itself ends", async () => {
    const self = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [descriptor(OCI_MANIFEST, MANIFEST)] }));
    const deep = (inner: Buffer) =>
      Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [descriptor("i", inner)] }));
    const levels = [deep(deep(deep(deep(self)))), deep(deep(deep(self))), deep(deep(self)), deep(self), self];
    const manifest: Answering = (request, response) => {
      const level = levels.find((one) => (request.url ?? "").endsWith(digestOf(one))) ?? levels[0] ?? self;
      response.writeHead(200, { "docker-content-digest": digestOf(level), "content-length": String(level.length) });
      response.end(request.method === "HEAD" ? undefined : level);
    };
    const { made } = await start({ manifest });
    expect(await warning(made)).to.include("indexes in indexes");
  });

  it("asked to come back later, it comes back no sooner", async () => {
    const { fake, made } = await start({
      manifest: (_request, response) => response.writeHead(429, { "retry-after": "10000" }).end(),
    });
    const wait = (await made.run()) ?? 0;
    expect(wait).to.equal(10_000_000);
    const before = fake.requests.length;
    await made.later(9_999_000);
    expect(fake.requests.length).to.equal(before);
    await made.later(2_000);
    expect(fake.requests.length).to.be.above(before);
  });

  it("refused, it says which credentials to look at and shows none", async () => {
    const { made } = await start({ tags: (_request, response) => response.writeHead(403).end() });
    const said = await warning(made);
    expect(said).to.include("spec.pullSecretRef").and.not.include("imagePullSecret");
  });

  it("a rule that was replaced by a namesake while it was looked at is not written to", async () => {
    let swap = (): void => undefined;
    const { made } = await start({
      blob: (request, response) => {
        swap();
        send(response, (request.url ?? "").endsWith(digestOf(LAYER)) ? LAYER : CONFIG);
      },
    });
    swap = () => {
      made.rule = { ...made.rule, metadata: { ...made.rule.metadata, uid: "uid-namesake" } };
    };
    await made.run();
    expect(made.writes).to.deep.equal([]);
    swap = () => undefined;
    await made.run();
    expect(made.tags).to.deep.equal(["app:1.0.0"]);
  });

  it("with a wildcard, only names of the rule's own that the cache lists are looked at", async () => {
    const names = ["hub/app", "hub/other", "elsewhere/app", "hub", "../hub/x", "hub/UPPER"];
    const { fake, made } = await start({
      catalog: (_request, response) => send(response, JSON.stringify({ repositories: names })),
    });
    const wild = servedRule(REFRESH, { source: "upstream.test/team/*", target: "hub/*" });
    const precise = servedRule(undefined, { source: "upstream.test/team/other", target: "hub/other" });
    made.rule = wild;
    made.others = [{ ...precise, metadata: { ...precise.metadata, name: "other", uid: "uid-other" } }];
    await made.run();
    expect(made.tags).to.deep.equal(["hub/app:1.0.0"]);
    expect(
      fake.requests.filter(({ url }) => url.includes("/tags/list")).map(({ url }) => url.split("?")[0]),
    ).to.deep.equal(["/v2/hub/app/tags/list"]);
  });

  it("with a wildcard and a cache that lists nothing, it says so", async () => {
    const { made } = await start({});
    made.rule = servedRule(REFRESH, { source: "upstream.test/team/*", target: "hub/*" });
    await made.run();
    expect(made.said("RefreshLimited").join()).to.include("does not tell which repositories");
  });
});
