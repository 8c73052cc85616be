import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureTool } from "../../hack/testcluster/tools.ts";
import type { ClusterHandle } from "./cluster.ts";

const CHART = "apiVersion: v2\nname: app\nversion: 1.0.0\n";

const TEMPLATE = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {app: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  strategy: {type: Recreate}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {name: app, image: {{ .Values.image | quote }}}
`;

/** The values of the chart. */
export interface Values {
  readonly image: string;
  readonly replicas: number;
}

/** The real Helm (v4), with a chart of one Deployment that is named after its release. */
export class Helm {
  readonly #cluster: ClusterHandle;
  readonly #binary: string;
  readonly #dir: string;
  readonly #namespace: string;

  private constructor(cluster: ClusterHandle, binary: string, namespace: string) {
    this.#cluster = cluster;
    this.#binary = binary;
    this.#namespace = namespace;
    this.#dir = mkdtempSync(join(tmpdir(), "entrepot-helm-"));
    mkdirSync(join(this.#dir, "chart/templates"), { recursive: true });
    writeFileSync(join(this.#dir, "chart/Chart.yaml"), CHART);
    writeFileSync(join(this.#dir, "chart/templates/app.yaml"), TEMPLATE);
  }

  /** Builds Helm first if this machine has none yet: call it in `before` with `this.timeout(0)`. */
  static async create(cluster: ClusterHandle, namespace: string): Promise<Helm> {
    return new Helm(cluster, await ensureTool(cluster.settings, "helm"), namespace);
  }

  /** The folder of the chart. */
  get chart(): string {
    return join(this.#dir, "chart");
  }

  /** Runs helm; rejects with its words if it fails; gives what it prints. */
  async run(...args: readonly string[]): Promise<string> {
    const env = { HOME: this.#dir, HELM_CACHE_HOME: this.#dir, HELM_CONFIG_HOME: this.#dir, HELM_DATA_HOME: this.#dir };
    const { code, stdout, stderr } = await this.#cluster.run([this.#binary, "-n", this.#namespace, ...args], { env });
    if (code !== 0) throw new Error(`helm ${args.join(" ")}: ${stderr.trim()}`);
    return stdout;
  }

  dispose(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** The values as arguments. */
export function valueFlags({ image, replicas }: Values): readonly string[] {
  return ["--set-string", `image=${image}`, "--set", `replicas=${replicas}`];
}
