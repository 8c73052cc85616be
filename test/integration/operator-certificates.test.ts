import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import type { ConnectedKubeClient } from "../../adapters/kube/client.ts";
import { Resources } from "../../adapters/kube/resources.ts";
import type { KubeObject } from "../../adapters/kube/types.ts";
import { silentLog } from "../../adapters/telemetry/log.ts";
import { DEFAULT_CERTIFICATE_RULE } from "../../core/certificates/decide.ts";
import { ADMISSION_NAME, UPDATES_NAME } from "../../core/webhookconfig/desired.ts";
import { matchConditions } from "../../core/webhookconfig/match.ts";
import { READS_NOTHING } from "../../core/webhookconfig/reads.ts";
import { REWRITING_NAME, type RewriteMode } from "../../core/webhookconfig/rewriting.ts";
import { OPT_IN } from "../../core/webhookconfig/scope.ts";
import { removeWebhooks } from "../../hack/local/product.ts";
import { certificateReconciler } from "../../operator/certificates/reconciler.ts";
import type { SecretObject } from "../../operator/resources.ts";
import {
  type WebhookConfigurationDependencies,
  webhookConfigurationReconciler,
} from "../../operator/webhookconfigurations/reconciler.ts";
import { type ClusterHandle, requireNoOperator, sharedCluster } from "../support/cluster.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { adminClient, freshNamespace } from "../support/kube.ts";

const DAY = 86_400_000;
const RESOURCES = [Resources.mutatingWebhookConfigurations, Resources.validatingWebhookConfigurations];

/** A live webhook configuration, as far as it is looked into. */
type Configuration = KubeObject & {
  readonly webhooks: readonly {
    readonly rules: readonly { readonly operations: readonly string[] }[];
    readonly clientConfig: { readonly caBundle: string };
  }[];
};

describe("Certificates and webhook configurations over the years, on a real API server", function () {
  this.timeout(120_000);
  const signal = new AbortController().signal;
  const clock = new FakeClock(new Date());
  let cluster: ClusterHandle;
  let client: ConnectedKubeClient;
  let namespace: string;
  let secrets: SecretObject[] = [];
  let configurations: Configuration[] = [];
  let rewriteImages: RewriteMode = "labelled";

  before(async function () {
    this.timeout(0);
    cluster = await sharedCluster();
    requireNoOperator(this, cluster);
    client = await adminClient(cluster);
    namespace = await freshNamespace(client, "certificates");
    await removeWebhooks(cluster);
  });

  after(async () => {
    if (client === undefined) return;
    await removeWebhooks(cluster);
    await cluster.kubectl(["delete", "namespace", namespace, "--wait=false"]);
    await client.close();
  });

  /** What informers would know by now. */
  async function look(): Promise<void> {
    const ours = ({ metadata }: KubeObject) => metadata.labels?.["app.kubernetes.io/managed-by"] === "entrepot";
    secrets = [...(await client.list<SecretObject>(Resources.secrets, { namespace })).items];
    const lists = await Promise.all(RESOURCES.map((resource) => client.list<Configuration>(resource)));
    configurations = lists.flatMap(({ items }) => items.filter(ours));
  }

  const objects = {
    get: (key: string) => secrets.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === key),
    list: () => secrets,
  };
  const common = () => ({ client, namespace, secrets: objects, configurations: () => configurations, log: silentLog });
  const issue = () =>
    certificateReconciler({ ...common(), configurationCount: 6, rule: DEFAULT_CERTIFICATE_RULE, clock });
  const publish = (more: Partial<WebhookConfigurationDependencies> = {}) =>
    webhookConfigurationReconciler({
      ...common(),
      servicePort: 443,
      scope: OPT_IN,
      policies: { list: () => [] },
      rewriteImages: () => rewriteImages,
      ...more,
    });

  async function turn(reconcile: typeof issue | typeof publish) {
    await look();
    const result = await reconcile()("singleton", signal);
    await look();
    return result;
  }

  function file(name: string): string {
    return Buffer.from(objects.get(`${namespace}/webhook-certs`)?.data?.[name] ?? "", "base64").toString();
  }

  function bundles(): readonly string[] {
    return configurations.flatMap(({ webhooks }) =>
      webhooks.map(({ clientConfig }) => Buffer.from(clientConfig.caBundle, "base64").toString()),
    );
  }

  function authorities(bundle: string): readonly X509Certificate[] {
    return bundle
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .filter((pem) => pem.trim() !== "")
      .map((pem) => new X509Certificate(pem));
  }

  /** Whether the API server, by the configurations that it has, accepts what the webhook serves. */
  function isTrustedByAll(): boolean {
    const serving = new X509Certificate(file("server-cert.pem"));
    return bundles().every((bundle) =>
      authorities(bundle).some((ca) => serving.checkIssued(ca) && serving.verify(ca.publicKey)),
    );
  }

  it("begin with an authority that all configurations trust", async () => {
    await turn(publish); // nothing to publish yet: no configuration may be made
    expect(configurations).to.have.length(0);
    await turn(issue);
    await turn(publish);
    expect(configurations).to.have.length(7);
    expect(isTrustedByAll()).to.equal(true);
    expect(await turn(issue))
      .to.have.property("requeueAfterMs")
      .greaterThan(60_000);
  });

  it("write nothing at rest", async () => {
    const versions = () => [...secrets, ...configurations].map(({ metadata }) => metadata.resourceVersion);
    const before = versions();
    for (let again = 0; again < 3; again += 1) {
      await turn(issue);
      await turn(publish);
    }
    expect(versions()).to.deep.equal(before);
  });

  /** The configurations by which the API server asks the webhooks about an operation on workloads. */
  function asking(operation: string): readonly string[] {
    const asks = ({ webhooks }: Configuration) =>
      webhooks.some(({ rules }) => rules.some(({ operations }) => operations.includes(operation)));
    const admission = configurations.filter(({ metadata }) => [ADMISSION_NAME, UPDATES_NAME].includes(metadata.name));
    return admission.filter(asks).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  }

  /** The version before: one pair for both operations, under the conditions. */
  async function asBefore(): Promise<void> {
    for (const resource of RESOURCES) {
      await client.delete(resource, UPDATES_NAME);
      const { webhooks, ...rest } = await client.get<Configuration>(resource, ADMISSION_NAME);
      const both = webhooks.map((webhook) => ({
        ...webhook,
        rules: webhook.rules.map((rule) => ({ ...rule, operations: ["CREATE", "UPDATE"] })),
        matchConditions: matchConditions(READS_NOTHING),
      }));
      await client.replace<KubeObject>(resource, { ...rest, webhooks: both } as KubeObject);
    }
    await look();
  }

  it("take UPDATEs over from the version before without a moment in which nobody is asked", async () => {
    await asBefore();
    const old = [
      "MutatingWebhookConfiguration policy.sigstore.dev",
      "ValidatingWebhookConfiguration policy.sigstore.dev",
    ];
    expect(asking("UPDATE")).to.deep.equal(old);

    const writes: string[] = [];
    const note = async <T extends KubeObject>(verb: string, written: Promise<T>): Promise<T> => {
      const object = await written;
      writes.push(`${verb} ${object.kind} ${object.metadata.name}`);
      await look();
      for (const kind of ["Mutating", "Validating"])
        for (const operation of ["CREATE", "UPDATE"])
          expect(asking(operation).join(), `${operation} after ${writes.at(-1)}`).to.include(kind);
      return object;
    };
    const live = configurations;
    await publish({
      configurations: () => live,
      client: {
        get: client.get.bind(client),
        create: (resource, object, options) => note("create", client.create(resource, object, options)),
        replace: (resource, object, options) => note("replace", client.replace(resource, object, options)),
        delete: client.delete.bind(client),
      },
    })("singleton", signal);
    const updates = old.map((name) => name.replace(ADMISSION_NAME, UPDATES_NAME));
    expect(writes).to.deep.equal([...updates.map((name) => `create ${name}`), ...old.map((name) => `replace ${name}`)]);
    await look();
    expect(asking("UPDATE")).to.deep.equal(updates);
    expect(asking("CREATE")).to.deep.equal(old);
  });

  it("change the serving certificate in the last third of its life, by the same authority", async () => {
    const before = file("server-cert.pem");
    await clock.advance(21 * DAY);
    await turn(issue);
    expect(file("server-cert.pem")).to.not.equal(before);
    expect(isTrustedByAll()).to.equal(true);
  });

  it("change the authority without a moment in which the webhook is not trusted", async () => {
    await clock.advance(224 * DAY); // 245 days: past two thirds of a year; the serving certificate has run out meanwhile
    await turn(issue); // the authority joins
    const old = bundles()[0] ?? "";
    expect(authorities(file("ca-cert.pem"))).to.have.length(2);
    expect(isTrustedByAll()).to.equal(true);
    const served = file("server-cert.pem");

    await turn(publish); // old and new are trusted
    for (const bundle of bundles()) expect(authorities(bundle)).to.have.length(2);
    expect(bundles()[0]).to.contain(old);
    expect(isTrustedByAll()).to.equal(true);

    await turn(issue); // only now is the new one used
    expect(file("server-cert.pem")).to.not.equal(served);
    expect(isTrustedByAll()).to.equal(true);
    expect(
      new X509Certificate(file("server-cert.pem")).checkIssued(authorities(file("ca-cert.pem"))[0] as X509Certificate),
    ).to.equal(true);
  });

  it("forget the old authority when it has expired", async () => {
    await clock.advance(125 * DAY); // 370 days
    for (let again = 0; again < 4; again += 1) {
      await turn(issue);
      await turn(publish);
      expect(isTrustedByAll()).to.equal(true);
    }
    for (const bundle of bundles()) expect(authorities(bundle)).to.have.length(1);
  });

  it("do without the configuration of rewriting while rewriting is off, and make it with the authority of then", async () => {
    const rewriting = () => configurations.find(({ metadata }) => metadata.name === REWRITING_NAME);
    rewriteImages = "off";
    await turn(publish);
    expect(rewriting()).to.equal(undefined);
    expect(configurations).to.have.length(6);

    await clock.advance(21 * DAY); // the serving certificate is due: it waits for all that there should be, and for no more
    const served = file("server-cert.pem");
    await turn(issue);
    expect(file("server-cert.pem")).to.not.equal(served);

    rewriteImages = "all";
    await turn(publish);
    expect(rewriting()?.webhooks).to.have.length(1);
    expect(isTrustedByAll()).to.equal(true);
  });

  it("lose no key when two processes write at once", async () => {
    await clock.advance(300 * DAY);
    await look();
    const results = await Promise.allSettled([issue()("singleton", signal), issue()("singleton", signal)]);
    expect(results.map(({ status }) => status).sort()).to.deep.equal(["fulfilled", "rejected"]);
  });
});
