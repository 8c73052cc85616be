// Programs that read a sealed Deployment and write it back whole: real API server, controllers, registry and cosign.
import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { isKubeError } from "../../adapters/kube/errors.ts";
import { Informer } from "../../adapters/kube/informer.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { CACHE_ANNOTATION } from "../../core/cache/record.ts";
import { adminClient, eventually, rejectsWith } from "../support/kube.ts";
import { cost, manifest, settled } from "./byte-stability-objects.ts";
import { Inheritance } from "./inheritance-harness.ts";

const DEPLOYMENTS = { group: "apps", version: "v1", plural: "deployments", kind: "Deployment", namespaced: true };
const ROUNDS = 20;

describe("byte stability when whole objects are written back", () => {
  let at: Inheritance;
  let client: ConnectedKubeClient;

  before(async function () {
    this.timeout(0);
    at = await Inheritance.open("writers");
    client = await adminClient(at.cluster);
  });

  after(async function () {
    this.timeout(120_000);
    await client?.close();
    await at?.close();
  });

  async function deployed(name: string) {
    const { reference } = await at.signed(`writers/${name}`);
    await at.apply(manifest(name, reference));
    const { seal, resourceVersion } = await settled(at, name);
    if (seal === undefined) throw new Error(`${name} carries no annotation`);
    return { seal, resourceVersion, reference };
  }

  const read = (name: string) => client.get<KubeObject>(DEPLOYMENTS, name, { namespace: at.name });
  const write = (object: KubeObject) => client.replace(DEPLOYMENTS, object);

  function annotated(object: KubeObject, seal: string | undefined, more: Readonly<Record<string, string>> = {}) {
    const { [CACHE_ANNOTATION]: _, ...others } = object.metadata.annotations ?? {};
    const annotations = { ...others, ...more, ...(seal !== undefined && { [CACHE_ANNOTATION]: seal }) };
    return { ...object, metadata: { ...object.metadata, annotations } };
  }

  async function withoutMemoryAndRegistry(work: () => Promise<void>): Promise<void> {
    await at.cluster.stop("registry");
    try {
      await at.restartWebhook();
      await work();
    } finally {
      await at.cluster.start("registry");
    }
  }

  it("a PUT of what was read moves nothing and asks nobody", async () => {
    const before = await deployed("same");
    const spent = await cost(at, async () => {
      await write(await read("same"));
    });
    expect(await settled(at, "same")).to.deep.equal({ seal: before.seal, resourceVersion: before.resourceVersion });
    expect(spent).to.equal(0);
  });

  for (const [name, what, seal] of [
    ["dropping", "drops the annotation", () => undefined],
    ["editing", "edits it", (sealed: string) => sealed.replace("expires:", "expired:")],
  ] as const) {
    it(`a PUT that ${what}, with the registry off and nothing remembered: it is as it was`, async () => {
      const before = await deployed(name);
      const spent = await cost(at, () =>
        withoutMemoryAndRegistry(async () => {
          const { metadata } = await write(annotated(await read(name), seal(before.seal)));
          expect(metadata.annotations?.[CACHE_ANNOTATION]).to.equal(before.seal);
          if (name === "dropping") expect(metadata.resourceVersion).to.equal(before.resourceVersion);
        }),
      );
      expect(spent).to.equal(0);
    });
  }

  it("`kubectl replace` of the file from Git: the same", async () => {
    const before = await deployed("replaced");
    await withoutMemoryAndRegistry(async () => {
      await at.cluster.kubectl(
        ["-n", at.name, "replace", "-f", "-"],
        JSON.stringify(manifest("replaced", before.reference)),
      );
    });
    expect((await settled(at, "replaced")).seal).to.equal(before.seal);
  });

  it("a PUT that brings the annotation of the image before: that of the present image stays", async () => {
    const before = await deployed("older");
    const { reference } = await at.signed("writers/older", "v2");
    await at.apply(manifest("older", reference));
    const { seal } = await settled(at, "older");
    expect(seal).to.not.equal(before.seal);
    const spent = await cost(at, async () => {
      await write(annotated(await read("older"), before.seal));
    });
    expect((await settled(at, "older")).seal).to.equal(seal);
    expect(spent).to.equal(0);
  });

  it("a PUT from a stale read is a conflict, as without us; read again, it goes in", async () => {
    await deployed("stale");
    const stale = await read("stale");
    const { seal } = await settled(at, "stale");
    await at.kubectl("label", "deployment/stale", "touched=yes");
    await rejectsWith("CONFLICT", write(annotated(stale, undefined, { mine: "1" })));
    const { metadata } = await write(annotated(await read("stale"), undefined, { mine: "1" }));
    expect(metadata.annotations).to.include({ mine: "1", [CACHE_ANNOTATION]: seal });
  });

  /** A controller that `ROUNDS` times writes what `next` makes of what it sees. Gives how many of its writes changed anything. */
  async function control(name: string, next: (seen: KubeObject, round: number) => KubeObject) {
    const scope = { namespace: at.name, fieldSelector: `metadata.name=${name}` };
    const informer = new Informer<KubeObject>({ client, resource: DEPLOYMENTS, scope, log: silentLog });
    const ending = new AbortController();
    const running = informer.run(ending.signal);
    await informer.synced;
    let [written, changes] = [0, 0];
    const now = () => informer.get(`${at.name}/${name}`);
    const version = (object: KubeObject | undefined) => Number(object?.metadata.resourceVersion);
    try {
      while (written < ROUNDS) {
        const object = now();
        if (object === undefined) throw new Error(`${name} is gone`);
        const answer = await write(next(object, written)).catch((thrown: unknown) => {
          if (isKubeError(thrown, "CONFLICT")) return undefined;
          throw thrown;
        });
        const wanted = answer === undefined ? version(object) + 1 : version(answer);
        await eventually("what is newer", () => version(now()) >= wanted);
        if (answer === undefined) continue;
        written += 1;
        if (wanted !== version(object)) changes += 1;
      }
    } finally {
      ending.abort();
      await running;
    }
    return changes;
  }

  it(`a controller that writes a status annotation ${ROUNDS} times: the seal's bytes never change, nobody is asked`, async () => {
    const { seal } = await deployed("gentle");
    const spent = await cost(at, () =>
      control("gentle", (object, round) => {
        expect(object.metadata.annotations?.[CACHE_ANNOTATION]).to.equal(seal);
        return annotated(object, seal, { round: String(round) });
      }),
    );
    expect((await settled(at, "gentle")).seal).to.equal(seal);
    expect(spent).to.equal(0);
  });

  it(`a controller that removes every annotation but its own, ${ROUNDS} times: a fixed point at once, no fight`, async () => {
    const { seal } = await deployed("jealous");
    let changes = 0;
    const spent = await cost(at, async () => {
      changes = await control("jealous", (object) => annotated(object, undefined, { mine: "only" }));
    });
    expect(changes, "writes that changed anything: the first, which brings its own").to.equal(1);
    expect((await settled(at, "jealous")).seal).to.equal(seal);
    expect(spent).to.equal(0);
  });
});
