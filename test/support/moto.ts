import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { withLock } from "../../hack/testcluster/lock.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { eventually } from "./kube.ts";

// All that moto's S3 server imports, each in one version: nothing is resolved, so nothing changes under a test.
const PACKAGES = [
  "moto==5.2.2",
  "blinker==1.9.0",
  "boto3==1.44.5",
  "botocore==1.44.5",
  "certifi==2026.10.18",
  "cffi==2.1.1",
  "charset-normalizer==3.5.2",
  "click==8.5.1",
  "cryptography==50.0.2",
  "flask==3.1.3",
  "flask-cors==6.0.5",
  "idna==3.20",
  "itsdangerous==2.2.0",
  "jinja2==3.1.6",
  "jmespath==1.1.0",
  "markupsafe==3.0.4",
  "py-partiql-parser==0.6.3",
  "pycparser==3.12",
  "python-dateutil==2.9.0.post0",
  "pyyaml==6.0.3",
  "requests==2.34.2",
  "responses==0.26.3",
  "s3transfer==0.19.3",
  "six==1.17.0",
  "urllib3==2.8.0",
  "werkzeug==3.1.9",
  "xmltodict==1.0.4",
];
const INSTALL_LIMIT_MS = 300_000;

/** A server of S3's protocol (moto) on a free port of the loopback interface. It keeps buckets in memory and checks no signature. */
export interface TestBucketServer {
  readonly endpoint: string;
  createBucket(name: string): Promise<void>;
  /** The keys in a bucket. */
  keys(bucket: string): Promise<readonly string[]>;
  stop(): Promise<void>;
}

/** Where moto is installed; undefined where this machine has no Python with pip, or the packages can't be had. */
async function ensureMoto(): Promise<string | undefined> {
  const { cache } = settingsFrom(process.env);
  const folder = join(cache, `moto-${createHash("sha256").update(PACKAGES.join("\n")).digest("hex").slice(0, 12)}`);
  return await withLock(folder, async () => {
    if (existsSync(folder)) return folder;
    const unfinished = `${folder}.tmp`;
    rmSync(unfinished, { recursive: true, force: true });
    const args = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", unfinished, ...PACKAGES];
    try {
      await promisify(execFile)("python3", args, { timeout: INSTALL_LIMIT_MS });
    } catch (thrown) {
      process.stderr.write(`moto can't be installed: ${String(thrown).slice(0, 500)}\n`);
      return undefined;
    }
    renameSync(unfinished, folder);
    return folder;
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exit;
}

/**
 * Starts moto; installs it first if this machine has none yet, so call it in `before` with `this.timeout(0)`. Where it can't be had the running
 * suite is skipped, with a word.
 */
export async function requireBuckets(context: Mocha.Context): Promise<TestBucketServer> {
  const started = await startBucketServer();
  if (started !== undefined) return started;
  console.log("      skipped: no S3-compatible server here (python3 with pip, and the packages of moto)");
  return context.skip();
}

async function startBucketServer(): Promise<TestBucketServer | undefined> {
  const folder = await ensureMoto();
  if (folder === undefined) return undefined;
  const child = spawn("python3", ["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], {
    env: { ...process.env, PYTHONPATH: folder },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("utf8")).slice(-20_000);
  });
  const endpoint = await eventually(
    `moto says where it listens: ${said}`,
    () => /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0],
    60_000,
  );
  return {
    endpoint,
    async createBucket(name) {
      const { status } = await fetch(`${endpoint}/${name}`, { method: "PUT" });
      if (status !== 200) throw new Error(`moto made no bucket ${name}: ${status}`);
    },
    async keys(bucket) {
      const text = await (await fetch(`${endpoint}/${bucket}?list-type=2`)).text();
      return [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = ""]) => key);
    },
    stop: () => ended(child),
  };
}
