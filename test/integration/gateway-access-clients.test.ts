import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import { eventually } from "../support/kube.ts";
import { AccessStage, basicAuth } from "./gateway-access-harness.ts";
import { Cleanup, Distribution } from "./gateway-harness.ts";

const PRIVATE = "private.local:5000";
const OPEN = "open.local:5000";
const PASSWORD = "clients-password";

interface Ran {
  readonly status: number | null;
  readonly output: string;
}

/** The programs that people and nodes pull with, each as it is, with credentials and without. */
describe("Clients of the gateway that asks for credentials", () => {
  const cleanup = new Cleanup();
  const directory = mkdtempSync(join(tmpdir(), "entrepot-clients-"));
  cleanup.add(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  let stage: AccessStage;
  let host: string;

  before(async function () {
    this.timeout(0);
    const withAuth = await Distribution.start(cleanup, { auth: true });
    const open = await Distribution.start(cleanup);
    await withAuth.pushImage("acme/app", "v1", randomBytes(100_000));
    await open.pushImage("acme/app", "v1", randomBytes(100_000));
    const [privateProxy, openProxy] = [
      await Distribution.start(cleanup, { upstream: withAuth }),
      await Distribution.start(cleanup, { upstream: open }),
    ];
    stage = new AccessStage(cleanup, {
      spec: { clients: { secretRefs: [{ name: "ci" }], serviceAccounts: {} } },
      upstreams: [{ host: PRIVATE, credentials: { secretRef: { name: "upstream" } } }],
      origins: { [PRIVATE]: privateProxy.origin, [OPEN]: openProxy.origin },
    });
    await stage.open();
    stage.secrets.set("ci", basicAuth("ci", "ci", PASSWORD));
    await stage.render({ clients: { secretRefs: [{ name: "ci" }] } });
    await stage.rule("private", `${PRIVATE}/acme/app`, "private/app");
    await stage.rule("open", `${OPEN}/acme/app`, "open/app");
    await stage.start();
    await stage.answers(200, "/v2/open/app/manifests/v1");
    host = new URL(stage.origin).host;
  });
  after(() => cleanup.run());

  function run(program: string, args: readonly string[], env: Record<string, string> = {}): Ran {
    const ran = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, ...env }, timeout: 60_000 });
    return { status: ran.status, output: `${ran.stdout}${ran.stderr}${ran.error?.message ?? ""}` };
  }

  function installed(program: string): boolean {
    return spawnSync(program, ["--version"]).error === undefined;
  }

  async function pullsAs(pull: (repository: string, login?: { user: string; password: string }) => Ran): Promise<void> {
    const token = await stage.token("default", "puller", "entrepot-cache");
    for (const login of [
      { user: "ci", password: PASSWORD },
      { user: "token", password: token },
    ]) {
      const ran = pull("private/app", login);
      expect(ran.status, ran.output).to.equal(0);
    }
    const anonymous = pull("private/app");
    expect(anonymous.status, "control: without credentials").to.not.equal(0);
    expect(anonymous.output).to.match(/unauthorized|401|credentials/i);
    expect(pull("private/app", { user: "ci", password: "wrong" }).status, "control: a wrong password").to.not.equal(0);
    const open = pull("open/app");
    expect(open.status, `what is open, without credentials: ${open.output}`).to.equal(0);
  }

  it("skopeo (and so CRI-O and Podman) pulls", async function () {
    if (!installed("skopeo")) {
      console.error("      skipped: skopeo through the gateway: skopeo is not installed");
      this.skip();
    }
    let count = 0;
    await pullsAs((repository, login) =>
      run("skopeo", [
        "copy",
        "--src-tls-verify=false",
        login === undefined ? "--src-no-creds" : `--src-creds=${login.user}:${login.password}`,
        `docker://${host}/${repository}:v1`,
        `dir:${join(directory, `skopeo-${++count}`)}`,
      ]),
    );
  });

  it("skopeo logs in with a right password only", function () {
    if (!installed("skopeo")) this.skip();
    const login = (password: string): Ran =>
      run("skopeo", [
        "login",
        "--tls-verify=false",
        "-u",
        "ci",
        "-p",
        password,
        "--authfile",
        join(directory, "auth.json"),
        host,
      ]);
    expect(login(PASSWORD).output).to.include("Login Succeeded");
    expect(login("wrong").status).to.not.equal(0);
  });

  it("crane pulls", async function () {
    this.timeout(0); // the first time on a machine crane is built
    const crane = await ensureTool(settingsFrom(process.env), "crane");
    let count = 0;
    await pullsAs((repository, login) => {
      const config = join(directory, `docker-${++count}`);
      mkdirSync(config);
      const auth = login === undefined ? {} : { auths: { [host]: { username: login.user, password: login.password } } };
      writeFileSync(join(config, "config.json"), JSON.stringify(auth));
      const args = ["pull", "--insecure", `${host}/${repository}:v1`, join(config, "image.tar")];
      return run(crane, args, { DOCKER_CONFIG: config });
    });
  });

  it("containerd pulls", async function () {
    this.timeout(120_000);
    if (!installed("containerd") || !installed("ctr") || process.getuid?.() !== 0) {
      console.error("      skipped: containerd through the gateway: it is not installed, or this is not root");
      this.skip();
    }
    const socket = join(directory, "containerd.sock");
    const config = join(directory, "containerd.toml");
    const disabled = ["io.containerd.grpc.v1.cri"];
    writeFileSync(
      config,
      `version = 2\nroot = "${directory}/root"\nstate = "${directory}/state"\ndisabled_plugins = ${JSON.stringify(disabled)}\n[grpc]\naddress = "${socket}"\n`,
    );
    const daemon: ChildProcess = spawn("containerd", ["--config", config], { stdio: "ignore" });
    cleanup.add(async () => {
      if (daemon.exitCode !== null) return;
      daemon.kill("SIGTERM");
      await once(daemon, "exit");
    });
    await eventually(
      "containerd answers",
      () => existsSync(socket) && run("ctr", ["-a", socket, "version"]).status === 0,
    );
    let count = 0;
    await pullsAs((repository, login) =>
      run("ctr", [
        ...["-a", socket, "-n", `pull-${++count}`, "content", "fetch", "--plain-http"], // a namespace of its own: nothing is there yet
        ...(login === undefined ? [] : ["--user", `${login.user}:${login.password}`]),
        `${host}/${repository}:v1`,
      ]),
    );
  });
});
