// Both systems side by side, and the playing of scenarios on them.
import { randomBytes } from "node:crypto";
import type { ClusterImagePolicySpec } from "../../../crds/types.ts";
import { LocalProduct } from "../../../hack/local/product.ts";
import { ApiServer } from "../api-server.ts";
import { sharedCluster } from "../cluster.ts";
import { Cosign } from "../cosign.ts";
import { type PolicyController, policyController } from "../policy-controller.ts";
import { startRegistry, type TestRegistry } from "../registry.ts";
import { type ImageKind, Images, type Keys } from "./images.ts";
import type { Place, PlacedImage, Row, Scenario } from "./model.ts";
import { type Answer, Side } from "./side.ts";

/** The answers to one row. */
export interface Pair {
  readonly theirs: Answer;
  readonly ours: Answer;
}

const AT_ONCE = 4; // policy-controller admits some 20 a second, whatever it is given

/** policy-controller and the product, each with an API server of its own, and one registry for both. */
export class Stage {
  readonly theirs: Side;
  readonly ours: Side;
  readonly controller: PolicyController;
  readonly #product: LocalProduct;
  readonly #cosign: Cosign;
  readonly #registry: TestRegistry;
  readonly #guarded: TestRegistry;
  readonly #images: Images;
  readonly #keys: Keys;
  readonly #run = randomBytes(3).toString("hex");
  readonly #namespaces: string[] = [];
  readonly #policies = new Set<string>();

  private constructor(parts: {
    readonly sides: readonly [theirs: Side, ours: Side];
    readonly controller: PolicyController;
    readonly product: LocalProduct;
    readonly cosign: Cosign;
    readonly registry: TestRegistry;
    readonly guarded: TestRegistry;
    readonly keys: Keys;
  }) {
    const { sides, cosign, registry, guarded, keys } = parts;
    [this.theirs, this.ours] = sides;
    this.controller = parts.controller;
    this.#product = parts.product;
    this.#cosign = cosign;
    this.#registry = registry;
    this.#guarded = guarded;
    this.#keys = keys;
    this.#images = new Images(registry, cosign, keys);
  }

  /** Starts everything; skips the suite, by name, where policy-controller cannot run. Call it in `before` with `this.timeout(0)`. */
  static async open(context: Mocha.Context): Promise<Stage> {
    const controller = await policyController(context);
    const cluster = await sharedCluster();
    const product = await LocalProduct.start(cluster);
    const cosign = await Cosign.create();
    const keys = { a: await cosign.generateKeyPair("a"), b: await cosign.generateKeyPair("b") };
    const ours = new Side("entrepot", await ApiServer.connect(cluster.kubeconfig));
    return new Stage({
      sides: [new Side("policy-controller", controller.api), ours],
      ...{ controller, product, cosign, keys },
      registry: await startRegistry(),
      guarded: await startRegistry({ auth: true }),
    });
  }

  /** The metrics pages of both. */
  metrics(): Promise<readonly [theirs: string, ours: string]> {
    return Promise.all([this.controller.metrics(), this.#product.metrics("webhook")]);
  }

  /** A namespace that takes part, on both sides, with policies in force: name → spec. */
  async begin(
    name: string,
    policies: Readonly<Record<string, ClusterImagePolicySpec>>,
    config: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const namespace = `compare-${this.#run}-${name}`;
    this.#namespaces.push(namespace);
    for (const policy of [...Object.keys(policies), `${namespace}-ready`]) this.#policies.add(policy);
    const both = this.sides.map(async (side) => {
      await side.configure(config);
      await side.createNamespace(namespace);
      for (const [policy, spec] of Object.entries(policies)) {
        const { status, message } = await side.createPolicy(policy, spec);
        if (status >= 300) throw new Error(`${side.name}: ${message}`);
      }
      await side.include(namespace);
      await side.barrier(namespace, `${namespace}-ready`, config);
    });
    await Promise.all(both);
    return namespace;
  }

  /** Images and keys under a name of one's own. */
  place(name: string, images: readonly ImageKind[]): Promise<Place> {
    return this.#place({ name, images, policies: () => ({}), rows: [] });
  }

  get sides(): readonly [Side, Side] {
    return [this.theirs, this.ours];
  }

  /** The operator first: while it lives it puts the webhook configurations back, and with them every write waits for nobody. */
  async close(): Promise<void> {
    this.#cosign.dispose();
    await this.ours.deletePolicies([...this.#policies]);
    await this.#product.remove();
    for (const { api } of this.sides) {
      for (const name of this.#namespaces) await api.send({ method: "DELETE", path: `/api/v1/namespaces/${name}` });
    }
    await this.ours.api.close();
    await Promise.all([this.#registry.stop(), this.#guarded.stop()]);
  }

  /** Plays scenarios that share a configuration, all at once. Gives the answers by scenario and row. */
  async play(scenarios: readonly Scenario[]): Promise<ReadonlyMap<Row, Pair>> {
    const namespace = `compare-${this.#run}-${this.#namespaces.length}`;
    const exempt = `${namespace}-exempt`;
    this.#namespaces.push(namespace, exempt);
    const places = new Map<Scenario, Place>();
    for (const scenario of scenarios) places.set(scenario, await this.#place(scenario));
    const marker = `${namespace}-ready`;
    const names = [...places].flatMap(([scenario, place]) => policyNames(scenario, place));
    for (const name of [...names, marker]) this.#policies.add(name);
    const data = scenarios[0]?.config ?? {};
    await Promise.all(this.sides.map((side) => this.#prepare(side, { namespace, exempt, marker, data, places })));
    const rows = scenarios.flatMap((scenario) => scenario.rows.map((row) => ({ scenario, row })));
    const answers = new Map<Row, Pair>();
    await inParallel([...rows.entries()], async ([index, { scenario, row }]) => {
      const place = places.get(scenario) as Place;
      const where = row.exempt === true ? exempt : namespace;
      const object = row.ask(place);
      const ask = (side: Side) => side.ask(where, object, `row-${index}`, row);
      const [theirs, ours] = await Promise.all([ask(this.theirs), ask(this.ours)]);
      answers.set(row, { theirs, ours });
    });
    await Promise.all(this.sides.map((side) => side.deletePolicies([...names, marker])));
    return answers;
  }

  async #prepare(
    side: Side,
    {
      namespace,
      exempt,
      marker,
      data,
      places,
    }: {
      readonly namespace: string;
      readonly exempt: string;
      readonly marker: string;
      readonly data: Readonly<Record<string, string>>;
      readonly places: ReadonlyMap<Scenario, Place>;
    },
  ): Promise<void> {
    await side.configure(data);
    await side.createNamespace(namespace);
    await side.createNamespace(exempt);
    await side.putData(
      "Secret",
      { "guarded-registry": this.#dockerConfig() },
      namespace,
      "kubernetes.io/dockerconfigjson",
    );
    let index = 0;
    for (const [scenario, place] of places) {
      await side.putData("Secret", scenario.secrets?.(place) ?? {});
      await side.putData("ConfigMap", scenario.configMaps?.(place) ?? {});
      for (const [name, spec] of Object.entries(scenario.policies(place))) {
        const { status, message } = await side.createPolicy(`${scenario.name}-${name}`, spec);
        if (status >= 300) console.error(`      ${side.name} refuses policy ${scenario.name}-${name}: ${message}`);
      }
      for (const row of scenario.rows) {
        if (row.before !== undefined) await side.prepare(namespace, row.before(place), `row-${index}`);
        index += 1;
      }
    }
    const expected = [...places].flatMap(([scenario, place]) => (scenario.unready ? [] : policyNames(scenario, place)));
    const unready = await side.unready(expected);
    if (unready.length > 0) console.error(`      not Ready with ${side.name}: ${unready.join(", ")}`);
    await side.include(namespace);
    await side.barrier(namespace, marker, data);
  }

  async #place(scenario: Scenario): Promise<Place> {
    const place = async (registry: TestRegistry, kinds: readonly ImageKind[]) => {
      const placed = new Map<ImageKind, PlacedImage>();
      for (const kind of kinds) {
        const repository = `${scenario.name}/${kind}`;
        placed.set(
          kind,
          placedImage(`${registry.host}/${repository}`, await this.#images.put(kind, registry, repository)),
        );
      }
      return (kind: ImageKind) => {
        const image = placed.get(kind);
        if (image === undefined) throw new Error(`scenario ${scenario.name} has no image "${kind}" there`);
        return image;
      };
    };
    const prefix = `${this.#registry.host}/${scenario.name}`;
    return {
      prefix,
      glob: `${prefix}/**`,
      keys: this.#keys,
      image: await place(this.#registry, scenario.images),
      guarded: await place(this.#guarded, scenario.guarded ?? []),
    };
  }

  #dockerConfig(): Readonly<Record<string, string>> {
    const { host, user = { username: "", password: "" } } = this.#guarded;
    const auth = Buffer.from(`${user.username}:${user.password}`).toString("base64");
    return { ".dockerconfigjson": JSON.stringify({ auths: { [`http://${host}`]: { ...user, auth } } }) };
  }
}

function placedImage(name: string, digest: string): PlacedImage {
  return { name, digest, tagged: `${name}:v1`, pinned: `${name}@${digest}`, both: `${name}:v1@${digest}` };
}

function policyNames(scenario: Scenario, place: Place): readonly string[] {
  return Object.keys(scenario.policies(place)).map((name) => `${scenario.name}-${name}`);
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
