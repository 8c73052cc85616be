import { rootCertificates } from "node:tls";
import { Agent, request } from "undici";
import { startDeadline } from "../../adapters/deadline.ts";
import type { Upstream, UpstreamCredentials } from "../../core/cacheregistry/types.ts";
import { upstreamUrl } from "../../core/cacheregistry/upstream.ts";
import type { Challenge } from "../../core/registry/challenge.ts";
import { challengesOf, realmMayHaveCredentials, tokenUrl } from "./challenge.ts";

/**
 * How an upstream answers. `refused`: it answers, and does not take the credentials. `credentials` says whether they were really
 * tried: an upstream that asks for none never sees them.
 */
export type UpstreamHealth =
  | { readonly kind: "reachable"; readonly credentials: "accepted" | "untried" }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "unreachable"; readonly message: string };

const DEADLINE_MS = 10_000;
const BODY_LIMIT = 256 * 1024;
const HEADER_LIMIT = 32 * 1024;

interface Response {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

type Get = (url: string, authorization?: string) => Promise<Response>;

function basic({ username, password }: UpstreamCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
}

/** Errors of sockets and TLS by code: their texts may quote addresses and certificates. */
function failure(thrown: unknown, expired: boolean): string {
  if (expired) return `it did not answer within ${DEADLINE_MS / 1000} s`;
  const code = (thrown as { code?: unknown } | null)?.code;
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "its name can't be resolved; check the host and the cluster's DNS";
    case "ECONNREFUSED":
      return "it refuses the connection; check that it runs and listens on that port";
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return "it does not speak TLS; set plainHTTP: true for it if that is meant to be so";
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return "its certificate is by an authority that is not trusted; give the authority as caBundle";
    case "CERT_HAS_EXPIRED":
      return "its certificate has expired";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "its certificate is for another name";
    default:
      return `the connection failed${typeof code === "string" ? ` (${code})` : ""}`;
  }
}

function judgeStatus(status: number): UpstreamHealth | undefined {
  if (status >= 500) return { kind: "unreachable", message: `it answers /v2/ with HTTP status ${status}` };
  if (status === 404)
    return {
      kind: "unreachable",
      message: "it answers /v2/ with HTTP status 404: there is no registry at this address",
    };
  if (status >= 300 && status < 400) {
    return {
      kind: "unreachable",
      message: `it redirects /v2/ (HTTP status ${status}); name the host that it redirects to`,
    };
  }
  return undefined;
}

async function tryCredentials(
  get: Get,
  upstream: Upstream,
  credentials: UpstreamCredentials,
  challenges: readonly Challenge[],
): Promise<UpstreamHealth> {
  const base = `${upstreamUrl(upstream)}/v2/`;
  const bearer = challenges.find(({ scheme }) => scheme === "bearer");
  const target = bearer === undefined ? base : tokenUrl(bearer);
  const untried: UpstreamHealth = { kind: "reachable", credentials: "untried" };
  if (challenges.length === 0 || target === undefined) return untried;
  if (bearer !== undefined && !realmMayHaveCredentials(base, target)) return untried;
  const { status } = await get(target, basic(credentials));
  if (status === 200) return { kind: "reachable", credentials: "accepted" };
  if (status === 401 || status === 403) {
    return {
      kind: "refused",
      message: `it refuses the user name or password (HTTP status ${status}); put valid ones into the Secret`,
    };
  }
  return untried;
}

/**
 * Asks an upstream registry for `/v2/` (OCI distribution specification, "Determining support"): 200 and 401 mean that it is there. With
 * credentials it goes on as a client would, to the token service that the challenge names (Docker Registry token specification) or
 * with Basic. Bounded: ten seconds in all, 256 KiB per answer; redirects are not followed. Never throws.
 */
export async function probeUpstream(upstream: Upstream, signal: AbortSignal): Promise<UpstreamHealth> {
  const ca = upstream.caBundle === undefined ? {} : { ca: [...rootCertificates, upstream.caBundle] };
  const agent = new Agent({
    connect: { timeout: DEADLINE_MS, ...ca },
    maxResponseSize: BODY_LIMIT,
    maxHeaderSize: HEADER_LIMIT,
  });
  using deadline = startDeadline(DEADLINE_MS, signal);
  const get: Get = async (url, authorization) => {
    const headers = { accept: "application/json", ...(authorization !== undefined && { authorization }) };
    const {
      statusCode,
      headers: answered,
      body,
    } = await request(url, { dispatcher: agent, signal: deadline.signal, headers });
    body.on("error", () => undefined).destroy(); // status and headers are all that is wanted
    return { status: statusCode, headers: answered };
  };
  try {
    const { status, headers } = await get(`${upstreamUrl(upstream)}/v2/`);
    const verdict = judgeStatus(status);
    if (verdict !== undefined) return verdict;
    if (upstream.credentials === undefined) return { kind: "reachable", credentials: "untried" };
    return await tryCredentials(
      get,
      upstream,
      upstream.credentials,
      status === 401 ? challengesOf(headers["www-authenticate"]) : [],
    );
  } catch (thrown) {
    return { kind: "unreachable", message: failure(thrown, deadline.expired) };
  } finally {
    await agent.destroy();
  }
}
