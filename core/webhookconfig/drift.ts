import { canonicalJson } from "../json.ts";
import type { WebhookConfiguration } from "./desired.ts";

interface LiveConfiguration {
  readonly metadata: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly uid: string }[];
  };
  readonly webhooks?: unknown;
}

/**
 * Whether a live configuration differs from what it should be. Exact on purpose, unlike server-side apply: a field that someone
 * adds (a match condition, an `objectSelector`) can open the door as wide as a changed one.
 */
export function hasDrifted(wanted: WebhookConfiguration, live: LiveConfiguration): boolean {
  const labels = live.metadata.labels ?? {};
  return (
    canonicalJson(wanted.webhooks) !== canonicalJson(live.webhooks) ||
    !Object.entries(wanted.metadata.labels).every(([key, value]) => labels[key] === value) ||
    !wanted.metadata.ownerReferences.every(({ uid }) =>
      live.metadata.ownerReferences?.some((owner) => owner.uid === uid),
    )
  );
}

/** Whether every webhook of a live configuration already trusts `authority` (a PEM certificate). */
export function trusts(live: LiveConfiguration, authority: string): boolean {
  if (!Array.isArray(live.webhooks) || live.webhooks.length === 0) return false;
  return live.webhooks.every((webhook: unknown) => {
    const bundle = (webhook as { clientConfig?: { caBundle?: unknown } } | null)?.clientConfig?.caBundle;
    return typeof bundle === "string" && Buffer.from(bundle, "base64").toString("utf8").includes(authority.trim());
  });
}
