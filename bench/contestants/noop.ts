import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { freePorts } from "../../hack/testcluster/controlplane.ts";
import { selfSigned } from "../../test/support/self-signed.ts";
import type { Bed, Contestant } from "../contestant.ts";
import { makeNamespace, removeNamespace } from "../namespace.ts";

const NAME = "bench-noop";
const KINDS = [
  { kind: "MutatingWebhookConfiguration", plural: "mutatingwebhookconfigurations", path: "/mutate" },
  { kind: "ValidatingWebhookConfiguration", plural: "validatingwebhookconfigurations", path: "/validate" },
] as const;
const CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1";
const RULES = [
  { apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE", "UPDATE"] },
  {
    apiGroups: ["apps"],
    apiVersions: ["v1"],
    resources: ["deployments", "replicasets"],
    operations: ["CREATE", "UPDATE"],
  },
];

/** A mutating and a validating webhook that read the review and allow it: the floor for any pair of webhooks in this language. */
export const noop: Contestant = {
  name: "noop",
  version: () => Promise.resolve(`node ${process.versions.node}`),
  warm: true,
  baseline: true,
  async start(bed) {
    const [port = 0] = await freePorts(1);
    const tls = selfSigned();
    let server = await serve(port, tls);
    await makeNamespace(bed);
    await configure(bed, port, tls.cert);
    return {
      get pids() {
        return server.pid === undefined ? [] : [server.pid];
      },
      async restart() {
        await end(server);
        server = await serve(port, tls);
      },
      async stop() {
        for (const { plural } of KINDS)
          await bed.api.must({ method: "DELETE", path: `${CONFIGURATIONS}/${plural}/${NAME}` });
        await end(server);
        await removeNamespace(bed);
      },
    };
  },
};

async function serve(port: number, tls: { readonly key: string; readonly cert: string }): Promise<ChildProcess> {
  const server = spawn(process.execPath, [join(import.meta.dirname, "noop-server.ts")], {
    env: { PATH: process.env["PATH"], PORT: String(port), TLS_KEY: tls.key, TLS_CERT: tls.cert },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const last = (): void => void server.kill("SIGKILL");
  process.once("exit", last);
  server.once("exit", () => process.off("exit", last));
  await once(server.stdout, "data");
  return server;
}

async function end(server: ChildProcess): Promise<void> {
  const ended = once(server, "exit");
  server.kill("SIGKILL");
  await ended;
}

async function configure({ api, namespace }: Bed, port: number, certificate: string): Promise<void> {
  for (const { kind, plural, path } of KINDS) {
    const webhook = {
      name: "noop.bench.entrepot.dev",
      clientConfig: {
        url: `https://127.0.0.1:${port}${path}`,
        caBundle: Buffer.from(certificate).toString("base64"),
      },
      rules: RULES,
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
      admissionReviewVersions: ["v1"],
      sideEffects: "None",
      failurePolicy: "Fail",
    };
    const body = {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind,
      metadata: { name: NAME },
      webhooks: [webhook],
    };
    await api.must({ method: "POST", path: `${CONFIGURATIONS}/${plural}`, body });
  }
}
