import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { whyNoNode } from "../../hack/testcluster/probe.ts";
import { findDaemons } from "../../hack/testcluster/processes.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { readRecord } from "../../hack/testcluster/state.ts";
import { type ClusterHandle, sharedCluster } from "../support/cluster.ts";

const TOOL = join(import.meta.dirname, "../../hack/cluster");

/** The tool as a person uses it, on a cluster of its own. */
function toolFor(name: string) {
  const settings = settingsFrom(process.env, { name });
  const env: NodeJS.ProcessEnv = { ...process.env, ENTREPOT_CLUSTER: name };
  delete env["KUBECONFIG"];
  delete env["ENTREPOT_INSIDE"];
  const run = (...args: string[]) => spawnSync(TOOL, args, { env, encoding: "utf8" });
  return {
    settings,
    run,
    start: (...args: string[]) => spawn(TOOL, args, { env, stdio: "ignore" }),
    succeed: (...args: string[]) => {
      const ran = run(...args);
      expect(ran.status, `${args.join(" ")}\n${ran.stdout}${ran.stderr}`).to.equal(0);
      return ran.stdout;
    },
    processes: () => findDaemons(settings.dir),
    remove: () => {
      run("down");
      rmSync(settings.dir, { recursive: true, force: true });
    },
  };
}

async function eventually(what: string, holds: () => boolean, deadlineMs = 60_000): Promise<void> {
  for (const end = Date.now() + deadlineMs; !holds(); await delay(20))
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
}

describe("the test cluster", function () {
  this.timeout(120_000);
  before(async function () {
    this.timeout(0);
    await sharedCluster(); // builds the tools, the first time on a machine
  });

  describe("./hack/cluster up --no-node --bare", () => {
    const tool = toolFor(`tool-${process.pid}`);
    after(tool.remove);

    it("gives a working API server, registry and kubectl; a second up changes nothing", async () => {
      tool.succeed("up", "--no-node", "--bare");
      tool.succeed("exec", "--", "kubectl", "create", "namespace", "kept");
      const registry = tool.succeed("registry").trim();
      expect((await fetch(`http://${registry}/v2/`)).status).to.equal(200);
      const before = tool
        .processes()
        .map(({ pid }) => pid)
        .sort();

      tool.succeed("up", "--no-node", "--bare");
      expect(
        tool
          .processes()
          .map(({ pid }) => pid)
          .sort(),
      ).to.deep.equal(before);
      expect(tool.succeed("exec", "--", "kubectl", "get", "namespaces", "--output=name")).to.contain("namespace/kept");
      expect(tool.succeed("logs", "registry")).to.contain('"GET /v2/ HTTP/1.1" 200');
    });

    it("passes on the exit code of what it runs, and words for a component that is none", () => {
      expect(tool.run("exec", "--", "sh", "-c", "exit 7").status).to.equal(7);
      const logs = tool.run("logs", "kublet");
      expect(logs.status).to.equal(1);
      expect(logs.stderr).to.contain('no log of "kublet"').and.contain("kube-apiserver");
    });

    it("leaves no process after down", () => {
      tool.succeed("down");
      expect(tool.processes()).to.deep.equal([]);
      expect(tool.run("exec", "--", "kubectl", "version").stderr).to.contain("./hack/cluster up");
    });

    it("starts after an up that was killed half-way", async () => {
      const killed = tool.start("up", "--no-node", "--bare");
      await eventually("etcd runs, the first part", () => tool.processes().some(({ name }) => name === "etcd"));
      killed.kill("SIGKILL");
      await once(killed, "close");
      expect(readRecord(tool.settings.dir), "it was not whole yet").to.equal(undefined);
      const left = tool.processes().map(({ pid }) => pid);
      expect(left).not.to.deep.equal([]);

      tool.succeed("up", "--no-node", "--bare");
      tool.succeed("exec", "--", "kubectl", "get", "namespaces");
      expect(tool.processes().map(({ pid }) => pid)).not.to.include.members(left);
    });

    it("starts anew when a part of it has died", () => {
      const etcd = tool.processes().find(({ name }) => name === "etcd");
      expect(etcd).not.to.equal(undefined);
      process.kill(etcd?.pid ?? 0, "SIGKILL");
      tool.succeed("up", "--no-node", "--bare");
      tool.succeed("exec", "--", "kubectl", "get", "namespaces");
    });

    it("is not disturbed by a process that merely looks like one of its own", async () => {
      const bystander = spawn("sleep", ["60"], {
        env: { ENTREPOT_COMPONENT: `${tool.settings.dir}-other#etcd` },
        stdio: "ignore",
      });
      tool.succeed("down");
      expect(bystander.exitCode).to.equal(null);
      bystander.kill();
      await once(bystander, "close");
    });
  });

  describe("what tests do with it", () => {
    let cluster: ClusterHandle;
    before(async function () {
      cluster = await sharedCluster();
      if (cluster.isOurs) return;
      console.error("      skipped: what tests do with the test cluster: KUBECONFIG names an existing one");
      this.skip();
    });

    it("loses nothing when its API server is killed and started again", async () => {
      await cluster.kubectl(["create", "configmap", "survivor", "--from-literal=a=b"]);
      await cluster.stop("kube-apiserver", "SIGKILL");
      expect(
        (await cluster.run([cluster.program("kubectl"), "get", "configmap", "survivor"])).code,
        "while it is down",
      ).not.to.equal(0);
      await cluster.start("kube-apiserver");
      expect(await cluster.kubectl(["get", "configmap", "survivor", "--output=jsonpath={.data.a}"])).to.equal("b");
      await cluster.kubectl(["delete", "configmap", "survivor"]);
    });

    it("pushes images with a digest of their own, and reads who asked the registry for what", async () => {
      const [one, two] = await Promise.all([
        cluster.pushImage({ repository: "cluster-test/one" }),
        cluster.pushImage({ repository: "cluster-test/two" }),
      ]);
      expect(one.digest).not.to.equal(two.digest);
      const manifest = await fetch(`http://${cluster.registry}/v2/cluster-test/one/manifests/${one.digest}`, {
        headers: { accept: "application/vnd.oci.image.manifest.v1+json", "user-agent": "cluster-test" },
      });
      expect(manifest.status).to.equal(200);
      await manifest.body?.cancel();
      const mine = cluster.requests().filter((request) => request.userAgent === "cluster-test");
      expect(mine.map(({ method, path, status }) => `${method} ${path} ${status}`)).to.deep.equal([
        `GET /v2/cluster-test/one/manifests/${one.digest} 200`,
      ]);
    });

    it("starts a registry that asks for a password, stops it and starts it again with its images", async () => {
      const registry = await cluster.startRegistry({ name: "cluster-test", auth: true });
      const image = await cluster.pushImage({ repository: "private/app", tag: "v1", to: registry });
      const url = `http://${registry.address}/v2/private/app/manifests/${image.digest}`;
      const status = async (headers: Record<string, string>) => {
        const response = await fetch(url, {
          headers: { accept: "application/vnd.oci.image.manifest.v1+json", ...headers },
        });
        await response.body?.cancel();
        return response.status;
      };
      const user = registry.user ?? { username: "", password: "" };
      const good = { authorization: `Basic ${Buffer.from(`${user.username}:${user.password}`).toString("base64")}` };
      expect(await status({}), "without a user").to.equal(401);
      expect(
        await status({ authorization: `Basic ${Buffer.from("test:wrong").toString("base64")}` }),
        "a wrong one",
      ).to.equal(401);
      expect(await status(good)).to.equal(200);
      await registry.stop("SIGKILL");
      expect(await status(good).catch(() => "refused")).to.equal("refused");
      await registry.start();
      expect(await status(good)).to.equal(200);
      await registry.stop();
    });
  });

  describe("./hack/cluster up, with a node", () => {
    const tool = toolFor(`node-${process.pid}`);
    before(async function () {
      const reason = process.env["ENTREPOT_INSIDE"] ? "this runs inside a cluster" : await whyNoNode(tool.settings);
      if (reason === undefined) return;
      console.error(`      skipped: the test cluster with a node: ${reason}`);
      this.skip();
    });
    after(tool.remove);

    it("comes up Ready, and again after its first process was killed", () => {
      tool.succeed("up", "--bare");
      tool.succeed("exec", "--", "kubectl", "wait", "--for=condition=Ready", "node/node1", "--timeout=60s");
      const first = tool.processes().find(({ name, argv }) => name === "box" && argv[0] === "unshare");
      process.kill(first?.pid ?? 0, "SIGKILL");

      tool.succeed("up", "--bare");
      tool.succeed("exec", "--", "kubectl", "wait", "--for=condition=Ready", "node/node1", "--timeout=60s");
      tool.succeed("down");
      expect(tool.processes()).to.deep.equal([]);
    });
  });
});
