import { freePorts } from "../../hack/testcluster/controlplane.ts";
import { endDaemons, findDaemons, startDaemon } from "../../hack/testcluster/processes.ts";
import { settingsFrom } from "../../hack/testcluster/settings.ts";
import { ensureTool, toolVersion } from "../../hack/testcluster/tools.ts";
import { eventually } from "../../test/support/kube.ts";
import type { Bed, Contestant } from "../contestant.ts";
import { makeNamespace, removeNamespace } from "../namespace.ts";
import { type KyvernoInstallation, kyvernoInstallation } from "./kyverno-installation.ts";

const DAEMON = "kyverno";
const POLICY = "bench";
const POLICIES = "/apis/kyverno.io/v1/clusterpolicies";
/** Room for 1000 images. The flag's default, 1000, is described as a number of keys, but each takes 57 of it, and 17 of them fill it. */
const CACHE_SIZE = 57_000;
const START_MS = 120_000;
const WEBHOOKS = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
/** There once Kyverno serves and leads; from then on it checks policies itself. */
const POLICY_WEBHOOK =
  "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/kyverno-policy-validating-webhook-cfg";

/**
 * The real admission controller of Kyverno as its own manifest runs it, but for where it listens and the size of its cache, with one
 * ClusterPolicy that verifies every image of the bed by its key. `cache`: its cache of verified images, which is on unless told otherwise.
 * Stopping it leaves its CRDs, which do nothing by themselves: removing all 22 would keep the API server busy into the next contestant's turn.
 */
export function kyverno(cache: boolean): Contestant {
  return {
    name: cache ? "kyverno-cache" : "kyverno",
    version: () => Promise.resolve(toolVersion(settingsFrom(process.env), "kyverno")),
    warm: cache,
    async start(bed) {
      const { cluster } = bed;
      const { settings } = cluster;
      const installation = await kyvernoInstallation(settings);
      for (const manifests of [installation.crds, installation.objects])
        await cluster.kubectl(["apply", "--server-side", "--validate=false", "-f", "-"], manifests);
      const pid = await run(bed, installation, cache);
      await makeNamespace(bed);
      await enforce(bed);
      return {
        pids: [pid],
        async stop() {
          const running = findDaemons(settings.dir).filter(({ name }) => name === DAEMON);
          await endDaemons(running, settings.dir, "SIGKILL"); // first: while it lives it puts its webhook configurations back
          await cluster.kubectl(["delete", WEBHOOKS, "-l", "webhook.kyverno.io/managed-by=kyverno"]);
          await cluster.kubectl(["delete", `clusterpolicy/${POLICY}`]);
          const objects = cluster.kubectl(["delete", "--ignore-not-found", "-f", "-"], installation.objects);
          await Promise.all([removeNamespace(bed), objects]);
        },
      };
    },
  };
}

async function run({ cluster }: Bed, { args, env }: KyvernoInstallation, cache: boolean): Promise<number> {
  const { settings } = cluster;
  const [https = 0, metrics = 0] = await freePorts(2);
  // Go's flags: the last one counts.
  const here = [
    `--kubeconfig=${cluster.kubeconfig}`,
    `--serverIP=127.0.0.1:${https}`,
    "--webhookServerHost=127.0.0.1",
    `--webhookServerPort=${https}`,
    `--metricsPort=${metrics}`,
    "--controllerRuntimeMetricsAddress=0",
    `--imageVerifyCacheEnabled=${cache}`,
    `--imageVerifyCacheMaxSize=${CACHE_SIZE}`,
  ];
  return startDaemon(settings.dir, {
    name: DAEMON,
    argv: [await ensureTool(settings, "kyverno"), ...args, ...here],
    env: { ...env, TUF_ROOT: settings.dir },
    log: cluster.logPath(DAEMON),
  });
}

/** Resolves when Kyverno has called its policy ready, which is when its webhook configurations cover it. */
async function enforce(bed: Bed): Promise<void> {
  const { api, cluster } = bed;
  let last = "nothing";
  const taken = async () => {
    if ((await api.send({ method: "GET", path: POLICY_WEBHOOK })).status !== 200) return false;
    const { status, message } = await api.send({ method: "POST", path: POLICIES, body: policy(bed) });
    last = message; // for a moment Kyverno is called already and has no certificate yet: status 500
    if (status >= 400 && status < 500) throw new Error("Kyverno refuses the policy");
    return status === 201;
  };
  await eventually("Kyverno takes the policy", taken, START_MS).catch((error: Error) => {
    throw new Error(`${error.message}; it last said: ${last} (see ${cluster.logPath(DAEMON)})`, { cause: error });
  });
  await cluster.kubectl(["wait", "--for=condition=Ready", `clusterpolicy/${POLICY}`, `--timeout=${START_MS}ms`]);
}

function policy({ registry, publicKey, namespace }: Bed): object {
  const keys = { publicKeys: publicKey, rekor: { ignoreTlog: true }, ctlog: { ignoreSCT: true } };
  const signed = {
    imageReferences: [`${registry}/*`],
    attestors: [{ entries: [{ keys }] }],
    failureAction: "Enforce",
    mutateDigest: true,
    verifyDigest: true,
    required: true,
  };
  const match = { any: [{ resources: { kinds: ["Pod"], namespaces: [namespace] } }] };
  return {
    apiVersion: "kyverno.io/v1",
    kind: "ClusterPolicy",
    metadata: { name: POLICY },
    spec: { background: false, rules: [{ name: "signed", match, verifyImages: [signed] }] },
  };
}
