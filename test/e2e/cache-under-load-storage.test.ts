import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { backendName } from "../../core/cacheregistry/names.ts";
import type { ExtraRegistry } from "../support/cluster.ts";
import { eventually, NS, PATIENCE_MS, Stage } from "../support/e2e.ts";
import { type Observer, PullClient, type Wrong } from "../support/load/client.ts";
import { LoadGenerator } from "../support/load/generator.ts";
import { History, inParallel, type LoadImage, pushImage, pushTarget } from "../support/load/images.ts";
import {
  allReady,
  type LoadRegistry,
  loginSecret,
  pullHost,
  registryManifest,
  removeRegistry,
  ruleManifest,
} from "../support/load/registry.ts";
import { UpstreamDoor } from "../support/load/upstream-door.ts";

const UPSTREAM = "upstream.local:5014";
const MIB = 1024 * 1024;
const IMAGES = 12;
const access = "anonymous: true";

/** Its volume is a file system of 12 MiB: whoever writes more is told that no space is left. */
const FULL: LoadRegistry = {
  name: "e2e-full",
  nodePort: 30511,
  storage: "persistentVolumeClaim: {size: 12Mi, storageClassName: e2e-full}",
  access,
  upstreams: new Map([[UPSTREAM, "e2e-full"]]),
};

const image = (name: string): LoadImage => ({
  upstream: UPSTREAM,
  repository: `big/${name}`,
  name: `big/${name}`,
  tag: "v1",
});

describe("a cache whose storage is full, and an upstream that lies, on a real node", () => {
  const history = new History();
  const images = Array.from({ length: IMAGES }, (_, index) => image(`app-${index}`));
  let stage: Stage;
  let registry: ExtraRegistry;
  let door: UpstreamDoor;
  let volume: string;

  function size(megabytes: number, option = ""): void {
    execFileSync("mount", ["-t", "tmpfs", "-o", `${option}size=${megabytes}m,mode=777`, "tmpfs", volume]);
  }

  before(async function () {
    stage = await Stage.open(this);
    registry = await stage.cluster.startRegistry({ name: "load-big", auth: true, port: 5013 });
    const user = registry.user ?? { username: "", password: "" };
    door = await UpstreamDoor.open(5014, registry.address, user, { username: "cache", password: "only" });
    await inParallel([...images, image("small"), image("layer-lie"), image("manifest-lie")], 4, async (one) => {
      const sizes = one.name.includes("app-") ? [4096, 3 * MIB] : [4096, 32_768];
      await pushImage(pushTarget(registry), one, history, sizes);
    });
    volume = join(stage.cluster.settings.dir, "data/volumes/e2e-full");
    mkdirSync(volume, { recursive: true });
    chmodSync(volume, 0o777);
    size(12);
    await stage.apply(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e-full}
spec: {storageClassName: e2e-full, capacity: {storage: 12Mi}, accessModes: [ReadWriteOnce], hostPath: {path: "${volume}"}}`);
    const rule = { name: FULL.name, source: `${UPSTREAM}/big/*`, target: "big/*" };
    const [secret = ""] = FULL.upstreams.values();
    await stage.apply([loginSecret(secret, door.user), registryManifest(FULL), ruleManifest(FULL, rule)].join(""));
    await allReady(stage, FULL);
    await eventually("the NodePort", PATIENCE_MS, nodePortAnswers);
  });

  /** kube-proxy may open it a second after the rules are Ready. */
  async function nodePortAnswers(): Promise<true | undefined> {
    const client = new PullClient({ host: pullHost(FULL), history });
    const failure = await client.pull({ image: image("small") }, { count: () => undefined, wrong: () => undefined });
    await client.close();
    return failure === undefined ? true : undefined;
  }

  after(async () => {
    if (stage === undefined) return;
    await removeRegistry(stage, FULL);
    await stage.remove("persistentvolume", "e2e-full");
    execFileSync("umount", ["--lazy", volume]);
    door?.close();
    await registry?.stop();
    stage.close();
  });

  /** Starts a load of all the big images. */
  function loadOf(one: LoadRegistry): LoadGenerator {
    const load = new LoadGenerator({ host: pullHost(one), history }, images);
    load.turn();
    load.start(2);
    return load;
  }

  function judge(title: string, load: LoadGenerator): ReadonlyMap<string, number> {
    const { text, answers } = load.turn();
    console.error(`      ${title}: ${text}`);
    expect(load.wrongs).to.deep.equal([]);
    expect(load.malformed).to.deep.equal([]);
    return answers;
  }

  it("no space left: what is cached is served, the rest fails, nothing is wrong; with space everything comes", async () => {
    const load = loadOf(FULL);
    try {
      const short = (answer: string) => !["200", "206"].includes(answer);
      await eventually("a pull that fails for want of space", PATIENCE_MS, async () =>
        [...load.answers.keys()].some(short) ? true : undefined,
      );
      // Asked again, since the proxy writes down which tag was asked for, and answers 500 where another pull holds the last page just then.
      for (const cached of [image("small"), ...[...load.whole].slice(0, 1)])
        await eventually(`${cached.repository}, which is cached`, PATIENCE_MS, async () => {
          const failure = await load.pull(cached);
          if (failure !== undefined) throw new Error(JSON.stringify(failure));
          return true;
        });
      judge("no space", load);
      await eventually("the proxy's log says why", PATIENCE_MS, async () => {
        const log = await stage.kubectl("-n", NS, "logs", `deployment/${backendName(FULL.name, UPSTREAM)}`);
        return log.includes("no space left on device") ? true : undefined;
      });
      await allReady(stage, FULL);
      size(256, "remount,");
      await eventually("every image", PATIENCE_MS, async () => (load.whole.size === IMAGES ? true : undefined));
      load.turn();
      await eventually("more pulls", PATIENCE_MS, async () => ((load.answers.get("200") ?? 0) > 50 ? true : undefined));
      expect([...judge("with space", load).keys()].filter(short)).to.deep.equal([]);
    } finally {
      await load.stop();
    }
  });

  it("a byte changed on the way, of a layer or a manifest: it never arrives whole, and is not kept for the next one", async () => {
    const found: Wrong[] = [];
    const counts: string[] = [];
    const observer: Observer = { count: (answer) => counts.push(answer), wrong: (wrong) => found.push(wrong) };
    const client = new PullClient({ host: pullHost(FULL), history });
    const pull = (name: string) => client.pull({ image: image(name) }, observer);
    try {
      for (const [name, path, kinds] of [
        ["layer-lie", `/blobs/${history.layerOf(image("layer-lie"))}`, ["truncated", "connection"]],
        ["manifest-lie", "/manifest-lie/manifests/v1", ["error"]],
      ] as const) {
        door.spoiled.add(path);
        for (let time = 1; time <= 2; time++) {
          const failure = await pull(name);
          expect(failure?.kind, `pull ${time} of a spoiled image`).to.be.oneOf(kinds);
          expect(found, "content that is another").to.deep.equal([]);
          expect(door.spoiledAnswers, "it was asked for again").to.be.at.least(time);
        }
        console.error(`      ${name}: ${counts.join(", ")}`);
        [door.spoiledAnswers, counts.length] = [0, 0];
        door.spoiled.clear();
        await eventually(`a pull of ${name} when the upstream is honest again`, PATIENCE_MS, async () =>
          (await pull(name)) === undefined ? true : undefined,
        );
        expect(found).to.deep.equal([]);
      }
    } finally {
      await client.close();
    }
  });
});
