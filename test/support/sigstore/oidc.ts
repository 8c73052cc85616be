import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { serveLoopback } from "./loopback.ts";

const AUDIENCE = "sigstore";
const KEY_ID = "test";
const ALGORITHM = "RS256";

/** What a token says about its bearer, and so what Fulcio writes into the certificate. */
export type Bearer =
  /** The address becomes the certificate's e-mail name. */
  | { readonly kind: "email"; readonly address: string }
  /** `https://kubernetes.io/namespaces/<namespace>/serviceaccounts/<name>`. */
  | { readonly kind: "kubernetes"; readonly namespace: string; readonly serviceAccount: string }
  /** `https://github.com/<repository>/<file>@<ref>`, and what started the run in extensions of its own. */
  | { readonly kind: "github"; readonly repository: string; readonly file: string; readonly ref: string };

/** An OpenID Connect provider that says of anyone what it is told, with one issuer for each kind of bearer. */
export interface OidcProvider {
  /** The issuer as tokens and certificates name it. */
  issuer(kind: Bearer["kind"]): string;
  /** A token for Fulcio, valid for five minutes. */
  token(bearer: Bearer): Promise<string>;
  stop(): Promise<void>;
}

/** One that ends as a cluster's own does, so that a policy which asks for `.*kubernetes.default.*` finds it. */
const PATHS: Readonly<Record<Bearer["kind"], string>> = {
  email: "/accounts",
  kubernetes: "/kubernetes.default.svc",
  github: "/actions",
};

/** The commit that GitHub tokens speak of. */
export const COMMIT = "5c3b1d7f0a2e4c6d8f9b0a1c2d3e4f5061728394";

export async function startOidcProvider(): Promise<OidcProvider> {
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM);
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: KEY_ID, alg: ALGORITHM, use: "sig" }] };
  const server = await serveLoopback((_method, path) => {
    if (path === "/keys") return { body: JSON.stringify(keys) };
    const issuer = Object.values(PATHS).find((known) => path === `${known}/.well-known/openid-configuration`);
    return issuer === undefined ? undefined : { body: JSON.stringify(discovery(server.origin, issuer)) };
  });
  const issuer = (kind: Bearer["kind"]) => `${server.origin}${PATHS[kind]}`;
  return {
    issuer,
    token: (bearer) =>
      new SignJWT(claims(bearer))
        .setProtectedHeader({ alg: ALGORITHM, kid: KEY_ID })
        .setIssuer(issuer(bearer.kind))
        .setAudience(AUDIENCE)
        .setIssuedAt()
        .setExpirationTime("5m")
        .sign(privateKey),
    stop: () => server.stop(),
  };
}

/** OpenID Connect Discovery 1.0, section 3: what it requires. */
function discovery(origin: string, path: string): object {
  return {
    issuer: `${origin}${path}`,
    authorization_endpoint: `${origin}/none`,
    token_endpoint: `${origin}/none`,
    jwks_uri: `${origin}/keys`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [ALGORITHM],
  };
}

function claims(bearer: Bearer): JWTPayload {
  switch (bearer.kind) {
    case "email":
      return { sub: bearer.address, email: bearer.address, email_verified: true };
    case "kubernetes":
      return {
        sub: `system:serviceaccount:${bearer.namespace}:${bearer.serviceAccount}`,
        "kubernetes.io": { namespace: bearer.namespace, serviceaccount: { name: bearer.serviceAccount } },
      };
    case "github":
      return workflow(bearer);
  }
}

/** The claims that Fulcio requires of GitHub's tokens. */
function workflow({ repository, file, ref }: Extract<Bearer, { kind: "github" }>): JWTPayload {
  const path = `${repository}/${file}@${ref}`;
  const [owner = ""] = repository.split("/");
  return {
    sub: `repo:${repository}:ref:${ref}`,
    job_workflow_ref: path,
    job_workflow_sha: COMMIT,
    sha: COMMIT,
    event_name: "push",
    repository,
    repository_id: "1",
    repository_owner: owner,
    repository_owner_id: "2",
    repository_visibility: "public",
    workflow: "release",
    workflow_ref: path,
    workflow_sha: COMMIT,
    ref,
    runner_environment: "github-hosted",
    run_id: "3",
    run_attempt: "1",
  };
}
