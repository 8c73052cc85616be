import { Resources } from "../adapters/kube/resources.ts";
import type { KubeClient } from "../adapters/kube/types.ts";
import type { SecretObject } from "./resources.ts";

const LABELS = { "app.kubernetes.io/name": "entrepot", "app.kubernetes.io/managed-by": "entrepot" } as const;

/** The text of those entries of a Secret that are there. */
export function secretFiles(
  secret: SecretObject | undefined,
  names: readonly string[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = secret?.data?.[name];
      return value === undefined ? [] : [[name, Buffer.from(value, "base64").toString("utf8")]];
    }),
  );
}

/** What to write where. */
export interface SecretWrite {
  readonly name: string;
  readonly namespace: string;
  /** The Secret as it was read: the write fails with CONFLICT if it is no longer so, and with ALREADY_EXISTS if it was not there. */
  readonly live: SecretObject | undefined;
  readonly files: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * Writes a Secret of key material whole, never over a version that was not read: of two processes that both believe to lead, one loses
 * the race and no key is lost.
 */
export async function putSecret(client: Pick<KubeClient, "create" | "replace">, write: SecretWrite): Promise<void> {
  const { name, namespace, live, files, annotations, signal } = write;
  const data = Object.fromEntries(
    Object.entries(files).map(([key, text]) => [key, Buffer.from(text, "utf8").toString("base64")]),
  );
  const common = { apiVersion: "v1", kind: "Secret", type: "Opaque", data };
  if (live === undefined) {
    const metadata = { name, namespace, labels: LABELS, ...(annotations && { annotations }) };
    await client.create<SecretObject>(Resources.secrets, { ...common, metadata }, { signal });
    return;
  }
  const metadata = {
    ...live.metadata,
    labels: { ...live.metadata.labels, ...LABELS },
    ...(annotations && { annotations }),
  };
  await client.replace<SecretObject>(
    Resources.secrets,
    { ...common, ...(live.type !== undefined && { type: live.type }), metadata },
    { signal },
  );
}
