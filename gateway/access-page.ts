import type { AccessPolicy } from "../core/gateway/policy.ts";
import type { AccessDocument } from "../core/gatewayaccess/types.ts";

/** The body of `GET /-/access`: what this gateway goes by at this moment. It names Secrets, and holds nothing of them. */
export interface AccessPage {
  /** False before the CacheRegistry is known: then nothing is served. */
  readonly known: boolean;
  /** The generation of the CacheRegistry that is in force here. */
  readonly generation?: number;
  readonly anonymous?: boolean;
  /** Upstream hosts whose content is given to clients with credentials only. */
  readonly privateHosts?: readonly string[];
  /** The Secrets whose users this gateway knows. */
  readonly secrets?: readonly string[];
}

/** What this gateway knows of who may pull. */
export function accessPage(policy: AccessPolicy | undefined, document: AccessDocument | undefined): AccessPage {
  if (policy === undefined) return { known: false };
  const { generation, anonymous, privateHosts } = policy;
  const secrets = (document?.users ?? []).map(({ secret }) => secret).filter((name) => policy.secrets.has(name));
  return { known: true, generation, anonymous, privateHosts: [...privateHosts].sort(), secrets };
}
