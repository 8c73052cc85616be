import type { Clock } from "../../adapters/clock.ts";
import type { KubeClient, KubeObject } from "../../adapters/kube/types.ts";
import type { Log } from "../../adapters/telemetry/log.ts";
import { type CertificateRule, decideCertificates } from "../../core/certificates/decide.ts";
import {
  CA_CERT,
  CA_KEY,
  type CertificateFiles,
  readMaterial,
  SERVER_CERT,
  SERVER_KEY,
} from "../../core/certificates/material.ts";
import { renewCertificates } from "../../core/certificates/renew.ts";
import { WEBHOOK_SERVICE } from "../../core/webhookconfig/desired.ts";
import { trusts } from "../../core/webhookconfig/drift.ts";
import { REWRITING_NAME } from "../../core/webhookconfig/rewriting.ts";
import type { Objects, SecretObject } from "../resources.ts";
import type { Reconcile } from "../runtime/controller.ts";
import { putSecret, secretFiles } from "../secrets.ts";

export const CERTIFICATES_SECRET = "webhook-certs";

/** What the reconciler of the webhook's certificates works with. */
export interface CertificateDependencies {
  readonly client: Pick<KubeClient, "create" | "replace">;
  readonly namespace: string;
  readonly secrets: Objects<SecretObject>;
  /** The live webhook configurations. */
  readonly configurations: () => readonly KubeObject[];
  /** How many there should be, not counting that of rewriting, which may be off. */
  readonly configurationCount: number;
  readonly rule: CertificateRule;
  readonly clock: Clock;
  readonly log: Log;
}

const LONGEST_WAIT_MS = 12 * 3_600_000; // timers end at 24.8 days
const AWAIT_MS = 2_000;

/** The DNS names by which the API server and people call the webhook. */
export function serverNames(namespace: string): readonly [string, ...string[]] {
  const service = `${WEBHOOK_SERVICE}.${namespace}.svc`;
  return [service, `${service}.cluster.local`, `${WEBHOOK_SERVICE}.${namespace}`, WEBHOOK_SERVICE];
}

/**
 * Keeps the Secret `webhook-certs` such that the API server can call the webhook at every moment: our own authority and a serving
 * certificate, each replaced in the last third of its life, one step at a time (core/certificates/decide.ts).
 */
export function certificateReconciler(dependencies: CertificateDependencies): Reconcile {
  const { namespace, secrets, clock, log, rule } = dependencies;
  const names = serverNames(namespace);
  return async (_key, signal) => {
    const secret = secrets.get(`${namespace}/${CERTIFICATES_SECRET}`);
    const present: CertificateFiles = secretFiles(secret, [CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY]);
    const material = readMaterial(present);
    const live = dependencies.configurations();
    const authority = material.authority?.pem;
    const required = live.filter(({ metadata }) => metadata.name !== REWRITING_NAME);
    const trusted =
      authority !== undefined &&
      required.length === dependencies.configurationCount &&
      live.every((configuration) => trusts(configuration, authority));
    const now = clock.now();
    const step = decideCertificates(material, names[0], trusted, now);
    if (step.kind === "keep")
      return { requeueAfterMs: Math.min(LONGEST_WAIT_MS, Math.max(1_000, step.until.getTime() - now.getTime())) };
    const files = renewCertificates(material, step, names, rule, now);
    if (files === undefined) return { requeueAfterMs: AWAIT_MS };
    await putSecret(dependencies.client, { name: CERTIFICATES_SECRET, namespace, live: secret, files, signal });
    log.info("certificates renewed", { secret: CERTIFICATES_SECRET, step: step.kind, reason: step.reason });
    return { requeueAfterMs: AWAIT_MS };
  };
}
