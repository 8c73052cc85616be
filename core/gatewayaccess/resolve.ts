import type { SecretContent } from "../cacheregistry/credentials.ts";
import type { RegistryIdentity } from "../cacheregistry/types.ts";
import { formatAccessDocument } from "./document.ts";
import {
  ACCESS_FILE,
  accessSecretName,
  authoritySecretName,
  TLS_CERT_FILE,
  TLS_KEY_FILE,
  UPSTREAMS_FILE,
} from "./names.ts";
import type { PasswordHashes } from "./passwords.ts";
import { authorityFiles, gatewayServerNames, givenPair, ownCertificates, type ServingPair } from "./tls.ts";
import type { AccessProblem, GatewaySpec } from "./types.ts";
import { directUpstreams, formatUpstreams, type UpstreamSpec } from "./upstreams.ts";
import { readUsers, type SecretLookup } from "./users.ts";

/** Everything that the gateway's access is decided from. */
export interface AccessInput {
  readonly registry: RegistryIdentity;
  readonly spec: GatewaySpec;
  /** `spec.upstreams`. */
  readonly upstreams?: readonly UpstreamSpec[];
  /** The system namespace. */
  readonly namespace: string;
  /** Secrets of that namespace, those of `accessSecretName` and `authoritySecretName` among them. */
  readonly secret: SecretLookup;
  readonly hashes: PasswordHashes;
  readonly now: Date;
}

/** What the objects of a gateway say of access (core/cacheregistry/gateway.ts), and what the platform should know. */
export interface GatewayAccess {
  /** The files of the Secret that is mounted into the gateway, as text. */
  readonly files: Readonly<Record<string, string>>;
  /** Whether the gateway serves over TLS. */
  readonly tls: boolean;
  /** Of a self-signed gateway: the files of its authority's Secret, and the certificates to trust. */
  readonly authority?: { readonly files: Readonly<Record<string, string>>; readonly certificates: string };
  /** What is wrong with Secrets that spec names. What is right is in force all the same. */
  readonly problems: readonly AccessProblem[];
  /** When a certificate is to be renewed: look again then. */
  readonly renewAt?: Date;
}

type Tls = Pick<GatewayAccess, "authority" | "renewAt"> & {
  readonly pair?: ServingPair;
  readonly problem?: AccessProblem;
};

/**
 * Who is let in by which password (as hashes), what upstreams are asked with, and the certificate to serve with. Deterministic but for new keys: at rest equal input
 * gives equal output, so nothing is written. Users whose Secret is missing or unusable are let in no more; a serving certificate whose
 * Secret is unusable stays what it was, so that a broken renewal does not end the pulls.
 */
export async function accessDocument(input: AccessInput): Promise<GatewayAccess> {
  const { registry, spec, secret, hashes } = input;
  const { users, problems } = await readUsers(spec, registry.uid, secret, hashes);
  const { pair, problem, ...rest } = resolveTls(input);
  return {
    files: {
      [ACCESS_FILE]: formatAccessDocument({ users }),
      [UPSTREAMS_FILE]: formatUpstreams(directUpstreams(input.upstreams ?? [], secret)),
      ...(pair && { [TLS_CERT_FILE]: pair.certificate, [TLS_KEY_FILE]: pair.key }),
    },
    tls: spec.tls !== undefined,
    problems: [...problems, ...(problem === undefined ? [] : [problem])],
    ...rest,
  };
}

function resolveTls(input: AccessInput): Tls {
  const { registry, spec, namespace, secret, now } = input;
  if (spec.tls?.selfSigned !== undefined) {
    const names = gatewayServerNames(registry.name, spec.pullHost, namespace);
    const present = authorityFiles(secret(authoritySecretName(registry.name)));
    const { files, pair, authorities, renewAt } = ownCertificates(present, names, now);
    return { pair, renewAt, authority: { files, certificates: authorities } };
  }
  const name = spec.tls?.secretRef?.name;
  return name === undefined ? {} : given(name, input);
}

function given(name: string, { registry, secret, now }: AccessInput): Tls {
  const found = secret(name);
  const read = found === undefined ? undefined : givenPair(found, now);
  if (read?.kind === "pair") return { pair: read.pair };
  const kept = mountedPair(secret(accessSecretName(registry.name)));
  const still = kept === undefined ? "the gateway can't serve" : "the gateway goes on with the certificate it has";
  const problem: AccessProblem =
    read === undefined
      ? {
          reason: "SecretNotFound",
          message: `Secret "${name}" of spec.inCluster.tls.secretRef does not exist in the system namespace: create it there; until then ${still}`,
        }
      : {
          reason: "SecretInvalid",
          message: `${read.message} (spec.inCluster.tls.secretRef); until it is replaced ${still}`,
        };
  return { problem, ...(kept && { pair: kept }) };
}

function mountedPair(secret: SecretContent | undefined): ServingPair | undefined {
  const [certificate, key] = [secret?.data?.[TLS_CERT_FILE], secret?.data?.[TLS_KEY_FILE]];
  if (certificate === undefined || key === undefined) return undefined;
  const text = (base64: string) => Buffer.from(base64, "base64").toString("utf8");
  return { certificate: text(certificate), key: text(key) };
}
