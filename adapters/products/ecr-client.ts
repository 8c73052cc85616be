import { Readable } from "node:stream";
import type { ECRClient } from "@aws-sdk/client-ecr";
import { networkCodeOf, wordOf } from "../kms/errors.ts";
import { ProductError } from "./errors.ts";

/** How the operator signs in to ECR. */
export type EcrSignIn =
  /** The SDK's default chain: the role of the ServiceAccount (IRSA, EKS Pod Identity), the environment, the node. */
  | { readonly kind: "serviceAccount" }
  /** A role that the identity of the default chain assumes. */
  | { readonly kind: "role"; readonly roleArn: string }
  | {
      readonly kind: "keys";
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken?: string;
    };

export interface EcrSettings {
  readonly region: string;
  readonly accountId: string;
  /** In place of the region's own, as a URL. */
  readonly endpoint?: string;
  readonly signIn: EcrSignIn;
}

const RESPONSE_LIMIT = 1024 * 1024; // 50 rules, or a template with policies of 40 KiB
const CONNECT_MS = 10_000;
const ASSUME_MS = 20_000; // whoever waits has given up after 30 s

async function* limited(body: Readable): AsyncIterable<Buffer> {
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > RESPONSE_LIMIT)
      throw new ProductError("PRODUCT_MALFORMED", `an answer of AWS is longer than ${RESPONSE_LIMIT} bytes`);
    yield chunk;
  }
}

/** Makes a client of the SDK, which has no limit of its own, give up an answer that is too long. */
function limitResponses(stack: ECRClient["middlewareStack"]): void {
  stack.add(
    (next) => async (args) => {
      const result = await next(args);
      const response = result.response as { body?: unknown } | undefined;
      if (response?.body instanceof Readable) response.body = Readable.from(limited(response.body));
      return result;
    },
    { step: "deserialize", priority: "low", name: "limitResponses" },
  );
}

const ONCE = { maxAttempts: 1, requestHandler: { connectionTimeout: CONNECT_MS } } as const;

type Credentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string; expiration?: Date };

/** Gives the credentials of a role, assumed by the identity of the SDK's default chain. The SDK asks again when they are about to expire. */
function assumed(roleArn: string, region: string, own: ECRClient["config"]["credentials"]): () => Promise<Credentials> {
  return async () => {
    const { AssumeRoleCommand, STSClient } = await import("@aws-sdk/client-sts");
    const sts = new STSClient({ region, credentials: own, ...ONCE });
    limitResponses(sts.middlewareStack as unknown as ECRClient["middlewareStack"]);
    try {
      const command = new AssumeRoleCommand({ RoleArn: roleArn, RoleSessionName: "entrepot" });
      const answer = await sts.send(command, { abortSignal: AbortSignal.timeout(ASSUME_MS) });
      const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = answer.Credentials ?? {};
      if (AccessKeyId === undefined || SecretAccessKey === undefined || SessionToken === undefined)
        throw new ProductError("PRODUCT_MALFORMED", "AWS STS answered sts:AssumeRole without credentials");
      return {
        accessKeyId: AccessKeyId,
        secretAccessKey: SecretAccessKey,
        sessionToken: SessionToken,
        ...(Expiration && { expiration: Expiration }),
      };
    } catch (thrown) {
      if (thrown instanceof ProductError) throw thrown;
      const network = networkCodeOf(thrown);
      if (network !== undefined) {
        const unreachable = `cannot talk to AWS STS to assume the role ${roleArn} (${network}); check the operator's way out`;
        throw new ProductError("PRODUCT_UNAVAILABLE", unreachable, { cause: thrown });
      }
      const word = wordOf(thrown instanceof Error ? thrown.name : undefined);
      const message = `the operator's identity can't assume the role ${roleArn} (AssumeRole: ${word}): allow it sts:AssumeRole, and name it in the role's trust policy`;
      throw new ProductError("PRODUCT_UNAUTHENTICATED", message, { cause: thrown });
    } finally {
      sts.destroy();
    }
  };
}

/** A client of the SDK that asks once, connects within ten seconds and reads no more than 1 MiB. Loads the SDK when first called. */
export async function ecrClient({ region, endpoint, signIn }: EcrSettings): Promise<ECRClient> {
  const { ECRClient } = await import("@aws-sdk/client-ecr");
  const base = { region, ...ONCE, ...(endpoint !== undefined && { endpoint }) };
  const own = (): ECRClient => new ECRClient(base);
  const client = ((): ECRClient => {
    switch (signIn.kind) {
      case "serviceAccount":
        return own();
      case "role":
        return new ECRClient({ ...base, credentials: assumed(signIn.roleArn, region, own().config.credentials) });
      case "keys": {
        const { kind: _kind, ...credentials } = signIn;
        return new ECRClient({ ...base, credentials });
      }
    }
  })();
  limitResponses(client.middlewareStack);
  return client;
}
