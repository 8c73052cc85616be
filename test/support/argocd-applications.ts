import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { ApiServer } from "./api-server.ts";
import { ARGOCD_NAMESPACE } from "./argocd.ts";
import type { ClusterHandle } from "./cluster.ts";
import { eventually } from "./kube.ts";

const PATH = `/apis/argoproj.io/v1alpha1/namespaces/${ARGOCD_NAMESPACE}/applications`;
const REFRESH = "argocd.argoproj.io/refresh";
const WAIT_MS = 60_000;
const NUDGE_MS = 3_000;

interface Resource {
  readonly kind: string;
  readonly name: string;
  readonly status?: string;
  readonly message?: string;
  readonly health?: { readonly status: string; readonly message?: string };
}

/** An Application as far as these tests look at it. */
export interface Application {
  readonly metadata: {
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly status?: {
    readonly sync?: { readonly status: string; readonly revision?: string };
    readonly health?: { readonly status: string };
    readonly resources?: readonly Resource[];
    readonly history?: readonly object[];
    readonly conditions?: readonly { readonly type: string; readonly message: string }[];
    readonly operationState?: {
      readonly phase: string;
      readonly message?: string;
      readonly startedAt: string;
      readonly syncResult?: { readonly revision?: string; readonly resources?: readonly Resource[] };
    };
  };
}

export interface ApplicationOptions {
  readonly namespace: string;
  /** The annotation `argocd.argoproj.io/compare-options`. */
  readonly compare?: string;
  readonly syncOptions?: readonly string[];
}

/** A Git repository, and Applications of Argo CD that sync its folders, each the one of its name. */
export class Applications {
  readonly #api: ApiServer;
  readonly #dir: string;

  private constructor(api: ApiServer, dir: string) {
    this.#api = api;
    this.#dir = dir;
  }

  static async open(cluster: ClusterHandle): Promise<Applications> {
    const dir = mkdtempSync(join(tmpdir(), "entrepot-git-"));
    const all = new Applications(await ApiServer.connect(cluster.kubeconfig), dir);
    await all.#git("init", "--quiet", "--initial-branch=main");
    return all;
  }

  async close(): Promise<void> {
    await this.#api.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #git(...args: readonly string[]): Promise<string> {
    const env = { PATH: process.env["PATH"], HOME: this.#dir, GIT_CONFIG_NOSYSTEM: "1" };
    return (await promisify(execFile)("git", [...args], { cwd: this.#dir, env })).stdout.trim();
  }

  /** Commits `objects` as everything that the Application `name` consists of; gives the revision. */
  async commit(name: string, objects: readonly object[]): Promise<string> {
    const path = join(this.#dir, name, "objects.json");
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
    await this.#git("add", "--all");
    await this.#git("-c", "user.name=test", "-c", "user.email=test", "commit", "--quiet", "-m", name);
    return await this.#git("rev-parse", "HEAD");
  }

  /** Makes an Application that syncs by itself, once for a revision, prunes, puts drift right, and takes what it has synced along when it is deleted. */
  async create(name: string, { namespace, compare, syncOptions = [] }: ApplicationOptions): Promise<void> {
    const body = {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Application",
      metadata: {
        name,
        annotations: { ...(compare !== undefined && { "argocd.argoproj.io/compare-options": compare }) },
        finalizers: ["resources-finalizer.argocd.argoproj.io"],
      },
      spec: {
        project: "default",
        source: { repoURL: `file://${this.#dir}`, targetRevision: "main", path: name },
        destination: { server: "https://kubernetes.default.svc", namespace },
        syncPolicy: { automated: { prune: true, selfHeal: true }, retry: { limit: 0 }, syncOptions },
      },
    };
    await this.#api.must({ method: "POST", path: PATH, body });
  }

  async read(name: string): Promise<Application> {
    return (await this.#api.must({ method: "GET", path: `${PATH}/${name}` })) as Application;
  }

  async #ask(name: string): Promise<void> {
    const body = { metadata: { annotations: { [REFRESH]: "hard" } } };
    await this.#api.must({ method: "PATCH", path: `${PATH}/${name}`, body });
  }

  /** Has Argo CD compare it with Git anew, its cache left aside; gives it as it then is. */
  async refresh(name: string): Promise<Application> {
    await this.#ask(name);
    return await eventually(`${name} is refreshed`, async () => {
      const application = await this.read(name);
      return application.metadata.annotations?.[REFRESH] === undefined && application;
    });
  }

  /** Waits until `is` holds of it, and has Argo CD look again meanwhile. */
  async until(name: string, what: string, is: (application: Application) => boolean): Promise<Application> {
    let last: Application | undefined;
    let asked = performance.now();
    return await eventually(
      `Application ${name}: ${what}`,
      async () => {
        last = await this.read(name);
        if (is(last)) return last;
        if (performance.now() - asked > NUDGE_MS) {
          await this.#ask(name);
          asked = performance.now();
        }
        return false;
      },
      WAIT_MS,
      100,
    ).catch((thrown: unknown) => {
      throw new Error(`${String(thrown)}; it is ${JSON.stringify(last?.status)}`);
    });
  }

  /** Waits until it is in sync with a revision, with everything done, and of that health. */
  synced(name: string, revision: string, health = "Healthy"): Promise<Application> {
    return this.until(name, `Synced and ${health}`, ({ status }) => {
      const { sync, operationState } = status ?? {};
      const isSynced = sync?.status === "Synced" && sync.revision === revision;
      return isSynced && status?.health?.status === health && operationState?.phase === "Succeeded";
    });
  }

  /** Asks for its deletion, with everything that it has synced. */
  async delete(name: string): Promise<void> {
    await this.#api.must({ method: "DELETE", path: `${PATH}/${name}` });
  }

  /** Resolves when it is gone. */
  async gone(name: string): Promise<void> {
    await eventually(
      `Application ${name} is gone`,
      async () => (await this.#api.send({ method: "GET", path: `${PATH}/${name}` })).status === 404,
      WAIT_MS,
      100,
    );
  }
}
