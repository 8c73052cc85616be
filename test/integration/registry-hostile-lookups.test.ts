import { expect } from "chai";
import { parseReference } from "../../core/image/reference.ts";
import type { AuthorityOutcome } from "../../core/policy/types.ts";
import { ANONYMOUS } from "../../core/registry/keychain.ts";
import { OCI_INDEX, OCI_MANIFEST, SIMPLE_SIGNING } from "../../core/registry/media-types.ts";
import {
  type Answering,
  body,
  dripping,
  endless,
  type FakeRegistry,
  redirect,
  silence,
} from "../support/fake-registry.ts";
import { generatePem } from "../support/keys.ts";
import { sha256 } from "../support/registry.ts";
import { selfSigned } from "../support/self-signed.ts";
import { keyAuthority, verifierOf } from "../support/verifying.ts";
import { client, DIGEST, endAll, failure, fake, MANIFEST, MIB, sourceOf, within } from "./registry-harness.ts";

describe("a hostile or broken registry (a fake one)", () => {
  afterEach(endAll);

  describe("that redirects", () => {
    const blobs =
      (to: () => string): Answering =>
      (request, response) =>
        redirect(to())(request, response);

    it("a blob to another host: followed over https, without the credentials", async () => {
      const tls = selfSigned();
      const storage = await fake(body(200, MANIFEST), { tls, name: "localhost" });
      const registry = await fake(
        (request, response) => {
          if (request.headers.authorization === undefined)
            body(401, "", { "www-authenticate": "Basic" })(request, response);
          else redirect(`${storage.origin}/bucket?sig=1`)(request, response);
        },
        { tls, name: "localhost" },
      );
      const keychain = { forRepository: () => [{ username: "u", password: "p" }] };
      const asking = client({ ca: tls.cert, isPlainHttp: () => false });
      expect(await asking.blob({ ...sourceOf(registry), keychain }, DIGEST, 1000, within())).to.deep.equal(MANIFEST);
      expect(registry.requests.at(-1)?.authorization).to.match(/^Basic /);
      expect(storage.requests.map(({ authorization }) => authorization)).to.deep.equal([undefined]);
      expect((await failure(asking.manifest({ ...sourceOf(registry), keychain }, DIGEST, within()))).code).to.equal(
        "REGISTRY_REDIRECT",
      );
      expect(storage.requests).to.have.length(1);
    });

    it("a blob from https to http, or to a metadata address: not followed", async () => {
      const tls = selfSigned();
      for (const [to, code] of [
        ["http://127.0.0.1:1/x", "REGISTRY_REDIRECT"],
        ["https://169.254.169.254/latest/meta-data", "REGISTRY_UNREACHABLE"],
        ["https://[fd00:ec2::254]/latest", "REGISTRY_UNREACHABLE"],
      ] as const) {
        const registry = await fake(
          blobs(() => to),
          { tls, name: "localhost" },
        );
        const error = await failure(
          client({ ca: tls.cert, isPlainHttp: () => false }).blob(sourceOf(registry), DIGEST, 1000, within()),
        );
        expect(error.code, error.message).to.equal(code);
      }
    });

    it("a blob without TLS: only within itself", async () => {
      const other = await fake(body(200, MANIFEST));
      const leaving = await fake(redirect(`${other.origin}/x`));
      expect((await failure(client().blob(sourceOf(leaving), DIGEST, 1000, within()))).code).to.equal(
        "REGISTRY_REDIRECT",
      );
      expect(other.requests).to.deep.equal([]);
      const staying = await fake((request, response) =>
        (request.url === "/elsewhere" ? body(200, MANIFEST) : redirect("/elsewhere"))(request, response),
      );
      expect(await client().blob(sourceOf(staying), DIGEST, 1000, within())).to.deep.equal(MANIFEST);
    });
  });

  describe("that lists referrers", () => {
    const descriptor = { mediaType: OCI_MANIFEST, digest: DIGEST, size: 1 };
    const index = (manifests: readonly unknown[]) =>
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });

    it("in pages without end: some are read, and that there is more is said", async () => {
      const registry = await fake(
        body(200, index([descriptor]), { link: `</v2/team/app/referrers/${DIGEST}?n=1>; rel="next"` }),
      );
      const { descriptors, complete } = await client().referrers(sourceOf(registry), DIGEST, within());
      expect(complete).to.equal(false);
      expect(descriptors.length).to.be.below(20);
      expect(registry.requests.length).to.equal(descriptors.length);
    });

    it("with a next page elsewhere: that host is never asked", async () => {
      const other = await fake(body(200, index([])));
      const registry = await fake(
        body(200, index([descriptor]), { link: `<${other.origin}/v2/team/app/referrers/${DIGEST}?n=1>; rel="next"` }),
      );
      await client().referrers(sourceOf(registry), DIGEST, within());
      expect(other.requests).to.deep.equal([]);
      const path = await fake(body(200, index([descriptor]), { link: '</v2/secret/tags/list>; rel="next"' }));
      expect((await failure(client().referrers(sourceOf(path), DIGEST, within()))).code).to.equal("RESPONSE_MALFORMED");
    });

    it("by the hundred thousand: the list is cut", async () => {
      const registry = await fake(body(200, index(Array.from({ length: 20_000 }, () => descriptor))));
      const { descriptors, complete } = await client().referrers(sourceOf(registry), DIGEST, within());
      expect([descriptors.length, complete]).to.deep.equal([1_000, false]);
    });

    it("as garbage: an error", async () => {
      const registry = await fake(body(200, "<html>"));
      expect((await failure(client().referrers(sourceOf(registry), DIGEST, within()))).code).to.equal(
        "RESPONSE_MALFORMED",
      );
    });
  });

  describe("asked for signatures", () => {
    const keys = [generatePem("P-256").publicKey];
    const authority = keyAuthority(keys);

    async function verify(registry: FakeRegistry, ms = 1_500): Promise<AuthorityOutcome> {
      const reference = parseReference(`${registry.host}/team/app@${DIGEST}`);
      return verifierOf(client())({ reference, digest: DIGEST }, authority, ANONYMOUS, within(ms));
    }

    for (const [what, answering] of [
      ["endless bodies", endless()],
      ["dripping bodies", dripping(20)],
      ["silence", silence],
      ["garbage", body(200, "<html>")],
      ["redirects to another host", redirect("http://127.0.0.1:1/")],
      ["HTTP 500", body(500, "")],
      ["HTTP 401", body(401, "")],
    ] as readonly [string, Answering][]) {
      it(`${what}: undecided within the deadline, naming the registry`, async () => {
        const registry = await fake(answering);
        const started = performance.now();
        const outcome = await verify(registry);
        expect(outcome.kind).to.equal("undecided");
        expect(outcome).to.have.property("message").that.contains(registry.host);
        expect(performance.now() - started).to.be.below(20_000);
      });
    }

    it("10,000 signature layers: few are fetched, none matches, and the message says how many there are", async () => {
      const payload = Buffer.from("{}");
      const layer = (i: number) => ({
        mediaType: SIMPLE_SIGNING,
        digest: i % 2 === 0 ? sha256(payload) : sha256(Buffer.from(String(i))),
        size: 2,
        annotations: { "dev.cosignproject.cosign/signature": Buffer.from(`signature ${i}`).toString("base64") },
      });
      const manifest = JSON.stringify({ schemaVersion: 2, layers: Array.from({ length: 10_000 }, (_, i) => layer(i)) });
      const registry = await fake((request, response) => {
        if (request.url?.includes("/manifests/") === true && request.url.endsWith(".sig"))
          body(200, manifest)(request, response);
        else if (request.url?.includes("/blobs/") === true) body(200, payload)(request, response);
        else body(404, "")(request, response);
      });
      globalThis.gc?.();
      const before = process.memoryUsage().rss;
      const outcome = await verify(registry, 10_000);
      expect(outcome.kind).to.equal("undecided");
      expect(outcome).to.have.property("message").that.contains("of 5001 different signed payloads");
      expect(registry.requests.length).to.be.below(50);
      expect(process.memoryUsage().rss - before).to.be.below(96 * MIB);
    });
  });
});
