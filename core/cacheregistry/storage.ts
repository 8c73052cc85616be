import type { Reason } from "../../crds/index.ts";
import { isFields, parseJson, stringField } from "../json.ts";
import type { SecretContent } from "./credentials.ts";
import type { InClusterStorage, StorageCredentials } from "./types.ts";

/** The credentials that storage needs: none, or what its Secret holds, or why that can't be used (without a byte of it). */
export type ReadStorageCredentials =
  | { readonly kind: "none" }
  | { readonly kind: "credentials"; readonly credentials: StorageCredentials }
  | {
      readonly kind: "problem";
      readonly reason: Extract<Reason, "SecretNotFound" | "SecretInvalid">;
      readonly message: string;
    };

/** Where the key of a Google service account is in the proxy's container. */
export const STORAGE_KEY_DIRECTORY = "/etc/distribution-storage";
export const STORAGE_KEY_FILE = "storage-key.json";

const SIZE_LIMIT = 64 * 1024; // characters of base64
const BASE64 = /^[A-Za-z0-9+/]{4,}={0,2}$/;

/** Whether the content is in a service that all Pods reach, and not on a volume. */
export function isObjectStorage({ s3, azure, gcs }: InClusterStorage): boolean {
  return s3 !== undefined || azure !== undefined || gcs !== undefined;
}

/** The access modes of a claim. */
export function accessModes(storage: InClusterStorage): readonly string[] {
  return storage.persistentVolumeClaim?.accessModes ?? ["ReadWriteOnce"];
}

/** Whether one node at a time can hold the volume: a second Pod would wait for the first to go. */
export function isExclusive(storage: InClusterStorage): boolean {
  return storage.persistentVolumeClaim !== undefined && !accessModes(storage).includes("ReadWriteMany");
}

/** The Secret, in the system namespace, that storage is opened with; undefined where Pods have an identity of their own, or files. */
export function storageSecretName({ s3, azure, gcs }: InClusterStorage): string | undefined {
  return (s3 ?? azure ?? gcs)?.secretRef?.name;
}

class SecretProblem extends Error {}

/** The text of one key, as it must be: there, not empty, without the newline that `echo` leaves. */
function textOf({ metadata, data }: SecretContent, key: string): string {
  const encoded = data?.[key] ?? "";
  const where = `Secret "${metadata.name}" for storage`;
  if (encoded.length > SIZE_LIMIT)
    throw new SecretProblem(`${where}: the key ${key} is larger than ${SIZE_LIMIT} bytes`);
  const text = Buffer.from(encoded, "base64").toString("utf8");
  if (text === "") throw new SecretProblem(`${where} has no key ${key}; add it`);
  return text;
}

function plain(secret: SecretContent, key: string): string {
  const text = textOf(secret, key);
  if (/[\p{Cc}\s]/u.test(text)) {
    throw new SecretProblem(
      `Secret "${secret.metadata.name}" for storage: the key ${key} has white space or a control character, often a newline at the end; write it without`,
    );
  }
  return text;
}

function accountKey(secret: SecretContent): string {
  const key = plain(secret, "accountKey");
  if (BASE64.test(key)) return key;
  throw new SecretProblem(
    `Secret "${secret.metadata.name}" for storage: accountKey is not base64; copy key1 or key2 of the storage account as it is`,
  );
}

function serviceAccountKey(secret: SecretContent): string {
  const text = textOf(secret, "key.json");
  const key = parseJson(text);
  const complete =
    isFields(key) && ["client_email", "private_key"].every((name) => stringField(key, name) !== undefined);
  if (complete && stringField(key, "type") === "service_account") return text;
  throw new SecretProblem(
    `Secret "${secret.metadata.name}" for storage: key.json is not the key of a Google service account (JSON with type service_account, client_email and private_key); create one with gcloud iam service-accounts keys create`,
  );
}

function read(storage: InClusterStorage, secret: SecretContent): StorageCredentials | undefined {
  if (storage.s3 !== undefined) {
    return { kind: "s3", accessKeyId: plain(secret, "accessKeyId"), secretAccessKey: plain(secret, "secretAccessKey") };
  }
  if (storage.azure !== undefined) return { kind: "azure", accountKey: accountKey(secret) };
  return storage.gcs === undefined ? undefined : { kind: "gcs", keyJson: serviceAccountKey(secret) };
}

/**
 * What storage is opened with, from the Secret that `storageSecretName` names; `secret` is undefined when there is none of that name.
 * What is wrong with it is said without quoting it.
 */
export function readStorageCredentials(
  storage: InClusterStorage,
  secret: SecretContent | undefined,
): ReadStorageCredentials {
  const name = storageSecretName(storage);
  if (name === undefined) return { kind: "none" };
  if (secret === undefined) {
    const message = `Secret "${name}" for storage does not exist in the system namespace; create it there`;
    return { kind: "problem", reason: "SecretNotFound", message };
  }
  try {
    const credentials = read(storage, secret);
    return credentials === undefined ? { kind: "none" } : { kind: "credentials", credentials };
  } catch (thrown) {
    if (!(thrown instanceof SecretProblem)) throw thrown;
    return { kind: "problem", reason: "SecretInvalid", message: thrown.message };
  }
}

function s3(storage: NonNullable<InClusterStorage["s3"]>, rootdirectory: string, credentials?: StorageCredentials) {
  const { bucket, region, endpoint, forcePathStyle } = storage;
  return {
    region,
    bucket,
    ...(endpoint !== undefined && {
      regionendpoint: endpoint.replace(/\/$/, ""),
      secure: !endpoint.startsWith("http:"),
    }),
    ...(forcePathStyle !== undefined && { forcepathstyle: forcePathStyle }),
    rootdirectory,
    ...(credentials?.kind === "s3" && { accesskey: credentials.accessKeyId, secretkey: credentials.secretAccessKey }),
  };
}

function azure(
  storage: NonNullable<InClusterStorage["azure"]>,
  rootdirectory: string,
  credentials?: StorageCredentials,
) {
  const { accountName, container, realm } = storage;
  return {
    accountname: accountName,
    container,
    ...(realm !== undefined && { realm }),
    rootdirectory,
    ...(credentials?.kind === "azure"
      ? { credentials: { type: "shared_key" }, accountkey: credentials.accountKey }
      : { credentials: { type: "default_credentials" } }),
  };
}

/**
 * The `storage` driver of a CNCF distribution v3.1.2 (registry/storage/driver/{filesystem,s3-aws,azure,gcs}: their parameters), with
 * `folder` below the root directory. Undefined for storage on a volume. Without credentials the service is opened with the identity
 * that the Pod has. Throws when storage names a Secret and its content is not given: the identity of the node must not step in.
 */
export function objectStorageDriver(
  storage: InClusterStorage,
  folder: string,
  credentials?: StorageCredentials,
): object | undefined {
  const secret = storageSecretName(storage);
  if (secret !== undefined && credentials === undefined) {
    throw new Error(`the content of Secret "${secret}" for storage was not read`);
  }
  const kind = storage.s3 ?? storage.azure ?? storage.gcs;
  const root = kind?.rootDirectory === undefined ? folder : `${kind.rootDirectory}/${folder}`;
  if (storage.s3 !== undefined) return { s3: s3(storage.s3, root, credentials) };
  if (storage.azure !== undefined) return { azure: azure(storage.azure, root, credentials) };
  if (storage.gcs === undefined) return undefined;
  const keyfile = credentials?.kind === "gcs" && { keyfile: `${STORAGE_KEY_DIRECTORY}/${STORAGE_KEY_FILE}` };
  return { gcs: { bucket: storage.gcs.bucket, rootdirectory: root, ...keyfile } };
}
