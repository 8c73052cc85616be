import { expect } from "chai";
import { eventually, NS, PATIENCE_MS, Stage } from "../support/e2e.ts";

describe("failures in the middle of the work", () => {
  let stage: Stage;
  let image: { readonly reference: string };
  /** As they were before anything was killed. */
  let restarts: ReadonlyMap<string, string>;

  before(async function () {
    stage = await Stage.open(this);
    await stage.setFlag(true);
    await stage.namespace("e2e-fail");
    await stage.policy("e2e-fail", "fail");
    image = await stage.signedImage("fail/app");
    await stage.kubectl("-n", "e2e-fail", "create", "deployment", "app", `--image=${image.reference}`, "--replicas=2");
    await stage.rolledOut("app", "e2e-fail");
    await stage.apply(registry);
    restarts = await restartsByPod();
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.kubectl("delete", "namespace", "e2e-fail", "--wait=false");
    await stage.kubectl("delete", "clusterimagepolicy", "e2e-fail", "--ignore-not-found");
    await stage.remove("cacherule", "-l", "e2e=fail");
    await stage.remove("cacheregistry", "e2e-fail");
    stage.close();
  });

  const registry = `
apiVersion: entrepot.dev/v1alpha1
kind: CacheRegistry
metadata: {name: e2e-fail}
spec:
  inCluster:
    pullHost: localhost:30501
    replicas: 1
    service: {type: NodePort, nodePort: 30501}
    storage: {emptyDir: {}}`;

  const rule = (name: string) => `
apiVersion: entrepot.dev/v1alpha1
kind: CacheRule
metadata: {name: ${name}, labels: {e2e: fail}}
spec:
  registryRef: {name: e2e-fail}
  source: registry.local:5000/fail/${name}
  target: ${name}`;

  const scale = async (replicas: number) => {
    await stage.kubectl("-n", "e2e-fail", "scale", "deployment", "app", `--replicas=${replicas}`);
    await stage.rolledOut("app", "e2e-fail");
  };

  async function restartsByPod(): Promise<ReadonlyMap<string, string>> {
    const which = ["-l", "app.kubernetes.io/component in (webhook,gateway,cache)"];
    const output =
      'jsonpath={range .items[*]}{.metadata.name}{"="}{.status.containerStatuses[*].restartCount}{"\\n"}{end}';
    const lines = await stage.kubectl("-n", NS, "get", "pods", ...which, "-o", output);
    return new Map([...lines.matchAll(/^(\S+)=(\d+)$/gm)].map(([, pod = "", count = ""]) => [pod, count]));
  }

  const kill = async (component: string) => {
    for (const pod of await stage.pods(component))
      await stage.kubectl("-n", NS, "delete", "pod", pod, "--force", "--grace-period=0", "--ignore-not-found");
  };

  it("a killed operator: the rule that was applied meanwhile becomes Ready", async () => {
    await kill("operator");
    await stage.apply(rule("one"));
    await stage.wait("condition=Ready", "cacherule/one");
  });

  it("a restarted webhook loses no admission, and its seals need no registry", async () => {
    const before = stage.webhookRequests("fail/app").length;
    const old = await stage.pods("webhook");
    const failures: string[] = [];
    let created = 0;
    let ending = false;
    const load = async (worker: number) => {
      for (let index = 0; !ending; index++) {
        const name = `load-${worker}-${index}`;
        const { code, stderr } = await stage.cluster.run([
          stage.cluster.program("kubectl"),
          "-n",
          "e2e-fail",
          "run",
          name,
          `--image=${image.reference}`,
          "--dry-run=server",
        ]);
        if (code === 0) created += 1;
        else failures.push(stderr);
      }
    };
    const workers = [load(1), load(2), load(3)];
    try {
      await stage.kubectl("-n", NS, "rollout", "restart", "deployment/webhook");
      await stage.rolledOut("webhook", NS);
      await eventually("the end of the old replicas: it is what would lose an admission", PATIENCE_MS, async () => {
        const left = await stage.pods("webhook");
        return left.some((pod) => old.includes(pod)) ? undefined : true;
      });
      const enough = created + 20;
      await eventually("more admissions", PATIENCE_MS, async () => (created > enough ? true : undefined));
    } finally {
      ending = true;
    }
    await Promise.all(workers);
    expect(failures).to.deep.equal([]);
    const unowned = stage.webhookRequests("fail/app").length;
    await scale(8);
    expect(stage.webhookRequests("fail/app").slice(unowned)).to.deep.equal([]);
    expect(unowned).to.be.at.least(before);
  });

  it("both webhook replicas killed: admission comes back by itself, and a scaled Deployment still asks no registry", async () => {
    await kill("webhook");
    const before = stage.webhookRequests("fail/app").length;
    await stage.kubectl("-n", "e2e-fail", "scale", "deployment", "app", "--replicas=12");
    await eventually("12 Pods", PATIENCE_MS, async () => {
      const ready = await stage.kubectl(
        "-n",
        "e2e-fail",
        "get",
        "deployment",
        "app",
        "-o",
        "jsonpath={.status.readyReplicas}",
      );
      return ready === "12" ? true : undefined;
    });
    expect(stage.webhookRequests("fail/app").slice(before)).to.deep.equal([]);
  });

  it("a killed API server: informers heal, new rules become Ready, seals hold, Ready stays", async () => {
    await stage.cluster.restart("kube-apiserver");
    await stage.apply(rule("two"));
    await stage.wait("condition=Ready", "cacherule/two");
    await stage.wait("condition=Ready", "cacherule/one");
    const before = stage.webhookRequests("fail/app").length;
    await scale(14);
    expect(stage.webhookRequests("fail/app").slice(before)).to.deep.equal([]);
    await stage.policy("e2e-fail", "fail", "warn");
    await stage.policy("e2e-fail", "fail", "enforce");
  });

  it("all that while nothing restarted that was not killed (but a leader that lost its lease, which ends itself)", async () => {
    const now = await restartsByPod();
    expect(now.size).to.be.at.least(3);
    for (const [pod, count] of now) expect(count, pod).to.equal(restarts.get(pod) ?? "0");
  });
});
