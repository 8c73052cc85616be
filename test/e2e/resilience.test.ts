import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { eventually, NS, Stage } from "../support/e2e.ts";

describe("failures in the middle of the work", () => {
  let stage: Stage;
  let image: { readonly reference: string };

  before(async function () {
    stage = await Stage.open(this);
    await stage.setFlag(true);
    await stage.namespace("e2e-fail");
    await stage.policy("e2e-fail", "fail");
    image = await stage.signedImage("fail/app");
    await stage.kubectl("-n", "e2e-fail", "create", "deployment", "app", `--image=${image.reference}`, "--replicas=2");
    await stage.kubectl("-n", "e2e-fail", "rollout", "status", "deployment/app", "--timeout=60s");
    await stage.apply(registry);
  });

  after(async () => {
    if (stage === undefined) return;
    await stage.kubectl("delete", "namespace", "e2e-fail", "--wait=false");
    await stage.kubectl("delete", "clusterimagepolicy", "e2e-fail", "--ignore-not-found");
    await stage.kubectl("delete", "cacherule", "-l", "e2e=fail", "--timeout=60s");
    await stage.kubectl("delete", "cacheregistry", "e2e-fail", "--timeout=60s");
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
    await stage.kubectl("-n", "e2e-fail", "rollout", "status", "deployment/app", "--timeout=90s");
  };

  it("a killed operator: the rule that was applied meanwhile becomes Ready", async () => {
    for (const pod of await stage.pods("operator"))
      await stage.kubectl("-n", NS, "delete", "pod", pod, "--force", "--grace-period=0");
    await stage.apply(rule("one"));
    await stage.wait("condition=Ready", "cacherule/one", 90);
  });

  it("a restarted webhook loses no admission, and its seals need no registry", async () => {
    const before = stage.webhookRequests("fail/app").length;
    const restart = stage.kubectl("-n", NS, "rollout", "restart", "deployment/webhook");
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
    await restart;
    await stage.kubectl("-n", NS, "rollout", "status", "deployment/webhook", "--timeout=120s");
    await pause(6_000); // the drain of the last old replica: its end is what would lose an admission
    ending = true;
    await Promise.all(workers);
    expect(failures).to.deep.equal([]);
    expect(created).to.be.greaterThan(20);
    const unowned = stage.webhookRequests("fail/app").length;
    await scale(8);
    expect(stage.webhookRequests("fail/app").slice(unowned)).to.deep.equal([]);
    expect(unowned).to.be.at.least(before);
  });

  it("both webhook replicas killed: admission comes back by itself, and a scaled Deployment still asks no registry", async () => {
    for (const pod of await stage.pods("webhook"))
      await stage.kubectl("-n", NS, "delete", "pod", pod, "--force", "--grace-period=0");
    const before = stage.webhookRequests("fail/app").length;
    await stage.kubectl("-n", "e2e-fail", "scale", "deployment", "app", "--replicas=12");
    await eventually("12 Pods", 120_000, async () => {
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
    await stage.wait("condition=Ready", "cacherule/two", 90);
    await stage.wait("condition=Ready", "cacherule/one", 30);
    const before = stage.webhookRequests("fail/app").length;
    await scale(14);
    expect(stage.webhookRequests("fail/app").slice(before)).to.deep.equal([]);
    await stage.policy("e2e-fail", "fail", "warn");
    await stage.policy("e2e-fail", "fail", "enforce");
  });

  it("all that while nothing restarted that was not killed (but a leader that lost its lease, which ends itself)", async () => {
    const restarts = await stage.kubectl(
      "-n",
      NS,
      "get",
      "pods",
      "-l",
      "app.kubernetes.io/component in (webhook,gateway,cache)",
      "-o",
      "jsonpath={.items[*].status.containerStatuses[*].restartCount}",
    );
    expect(restarts.split(" ").filter((count) => count !== "0" && count !== "")).to.deep.equal([]);
  });
});
