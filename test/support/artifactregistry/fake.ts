import { type KeyObject, verify } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { type Fields, fieldsOf, parseJson, stringField } from "../../../core/json.ts";
import { selfSigned } from "../self-signed.ts";
import type { Contract, Understood } from "./contract.ts";

export interface Reply {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body: string | Buffer;
}

/** What goes wrong with a request, after or in place of what it asks for. */
export type Fault =
  | Reply
  /** The server does it, and the connection is cut before the answer. */
  | "lose the answer"
  | "hang"
  /** Headers come, the body never ends. */
  | "drip";

interface Operation {
  readonly name: string;
  readonly finish: () => Fields;
  readonly metadata: Fields;
}

/** An error as Google's APIs give it (AIP-193). */
export function rpcError(
  code: number,
  status: string,
  message = "SECRET-BODY",
  details: readonly Fields[] = [],
): Reply {
  const headers = { "content-type": "application/json; charset=UTF-8" };
  return { status: code, headers, body: JSON.stringify({ error: { code, message, status, details } }) };
}

/**
 * FAKE of Artifact Registry's REST API, over TLS on loopback. Every request and every answer of its own (but injected faults) is held
 * against the vendor's contract. It never ran beside Artifact Registry itself. What it rejects beyond the contract: a repository that exists
 * (409), tokens that were not signed with the service account's key, and upstreams and credentials that do not work, in the words of
 * terraform-provider-google issues 17589 and 20803.
 */
export class FakeArtifactRegistry {
  readonly identity = selfSigned();
  readonly deviations: string[] = [];
  /** `VERB path?query` of every request. */
  readonly requests: string[] = [];
  readonly repositories = new Map<string, Fields>();
  /** How many images a repository has, by its name. */
  readonly images = new Map<string, number>();
  /** Upstream hosts that do not answer, and user names that upstreams refuse. */
  readonly unreachable = new Set<string>();
  readonly refusedUsers = new Set<string>();
  /** Operations never end. */
  stuck = false;
  fault: (request: string) => Fault | undefined = () => undefined;
  /** Changes answers after they were checked, e.g. to lower-case enums. */
  distort: (answer: Fields) => Fields = (answer) => answer;
  readonly #contract: Contract;
  readonly #serviceAccount: KeyObject;
  readonly #operations = new Map<string, Operation>();
  #server: Server | undefined;
  #made = 0;

  constructor(contract: Contract, serviceAccount: KeyObject) {
    this.#contract = contract;
    this.#serviceAccount = serviceAccount;
  }

  get writes(): readonly string[] {
    return this.requests.filter((request) => !request.startsWith("GET "));
  }

  async start(): Promise<string> {
    this.#server = createServer(this.identity, (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => this.#serve(request, response, Buffer.concat(chunks).toString()));
    }).listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    return `https://localhost:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    this.#server?.close();
    if (this.#server !== undefined) await once(this.#server, "close");
  }

  #serve(request: IncomingMessage, response: ServerResponse, text: string): void {
    const line = `${request.method} ${request.url}`;
    this.requests.push(line);
    const fault = this.fault(line);
    if (fault === "hang") return;
    if (fault === "drip") {
      response.writeHead(200, { "content-type": "application/json" }).write("{");
      return;
    }
    const injected = fault !== undefined && fault !== "lose the answer";
    const { status, headers = {}, body } = injected ? fault : this.#reply(request, text);
    if (fault === "lose the answer") request.socket.destroy();
    else response.writeHead(status, headers).end(body);
  }

  #reply({ method, url = "", headers }: IncomingMessage, text: string): Reply {
    const understood = this.#contract.understand(method ?? "", url, text);
    if (understood === undefined) {
      this.deviations.push(`no method for ${method} ${url}`);
      return rpcError(404, "NOT_FOUND");
    }
    this.deviations.push(...understood.deviations);
    const refusal = this.#refusedToken(headers.authorization ?? "");
    const answer = refusal ?? this.#answer(understood, new URL(url, "https://fake").pathname);
    if (isReply(answer)) return answer;
    this.deviations.push(...this.#contract.answerDeviations(understood.method, answer));
    const encoded = this.#contract.encode(understood.method, understood.query, this.distort(answer));
    return { status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(encoded) };
  }

  /** A JWT that the service account signed for itself (AIP-4111), for the scope of the cloud platform and at most an hour. */
  #refusedToken(authorization: string): Reply | undefined {
    const [head = "", payload = "", signature = ""] = authorization.replace(/^Bearer /, "").split(".");
    const signed = verify(
      "sha256",
      Buffer.from(`${head}.${payload}`),
      this.#serviceAccount,
      Buffer.from(signature, "base64url"),
    );
    const claims = parseJson(Buffer.from(payload, "base64url").toString());
    const isForUs = (stringField(claims, "scope") ?? "")
      .split(" ")
      .includes("https://www.googleapis.com/auth/cloud-platform");
    const left = Number(fieldsOf(claims)?.["exp"]) - Date.now() / 1_000;
    return signed && isForUs && left > 0 && left <= 3_600 ? undefined : rpcError(401, "UNAUTHENTICATED");
  }

  #answer({ method, query, body }: Understood, path: string): Fields | Reply {
    const name = path.replace(/^\/v1\//, "");
    const found = this.repositories.get(name);
    switch (method.id.replace("artifactregistry.projects.locations.", "")) {
      case "repositories.create":
        return this.#create(`${name}/${query.get("repositoryId")}`, body as Fields);
      case "repositories.get":
        return found ?? rpcError(404, "NOT_FOUND");
      case "repositories.list":
        return { repositories: [...this.repositories.values()].slice(0, Number(query.get("pageSize") ?? 100)) };
      case "repositories.patch":
        return found === undefined ? rpcError(404, "NOT_FOUND") : this.#patch(name, found, body as Fields, query);
      case "repositories.delete":
        if (found === undefined) return rpcError(404, "NOT_FOUND");
        return this.#operate(name, () => {
          this.repositories.delete(name);
          this.images.delete(name);
          return { "@type": "type.googleapis.com/google.protobuf.Empty" };
        });
      case "repositories.dockerImages.list":
        return this.#listImages(name.replace(/\/dockerImages$/, ""), query);
      case "operations.get":
        return this.#progress(name);
      default:
        this.deviations.push(`the fake has no ${method.id}`);
        return rpcError(501, "UNIMPLEMENTED");
    }
  }

  #listImages(repository: string, query: URLSearchParams): Fields {
    const count = Math.min(this.images.get(repository) ?? 0, Number(query.get("pageSize") ?? 100));
    const dockerImages = Array.from({ length: count }, (_, index) => ({
      name: `${repository}/dockerImages/nginx@sha256:${String(index).padStart(64, "0")}`,
    }));
    return count === 0 ? {} : { dockerImages };
  }

  #upstreamProblem(repository: Fields): Reply | undefined {
    const remote = fieldsOf(repository["remoteRepositoryConfig"]);
    const uri = stringField(fieldsOf(fieldsOf(remote?.["dockerRepository"])?.["customRepository"]), "uri") ?? "";
    const user = stringField(
      fieldsOf(fieldsOf(remote?.["upstreamCredentials"])?.["usernamePasswordCredentials"]),
      "username",
    );
    const refuse = (why: string): Reply =>
      rpcError(400, "INVALID_ARGUMENT", `Failed to validate remote upstream: ${why} SECRET-BODY`);
    if (user !== undefined && this.refusedUsers.has(user))
      return refuse("failed to fetch bearer token; generic::unauthenticated: Unauthorized error returned");
    if (this.unreachable.has(uri)) return refuse("generic::invalid_argument: no such host");
    if (/\/\/[^/]*\.pkg\.dev/.test(uri))
      return refuse("Artifact Registry repositories not supported as custom remote repository URI");
    return undefined;
  }

  #create(name: string, body: Fields): Fields | Reply {
    if (this.repositories.has(name)) return rpcError(409, "ALREADY_EXISTS");
    const problem = this.#upstreamProblem(body);
    if (problem !== undefined) return problem;
    this.#made++;
    const createTime = new Date(Date.UTC(2026, 0, 1, 0, 0, this.#made)).toISOString().replace("000Z", "123456Z");
    const registryUri = name.replace(/^projects\/(.+)\/locations\/(.+)\/repositories\//, "$2-docker.pkg.dev/$1/");
    this.repositories.set(name, { ...body, name, createTime, updateTime: createTime, registryUri, sizeBytes: "0" });
    return this.#operate(name, () => ({
      "@type": "type.googleapis.com/google.devtools.artifactregistry.v1.Repository",
      ...this.repositories.get(name),
    }));
  }

  /** As AIP-134: only what the mask names, and that as a whole. */
  #patch(name: string, found: Fields, body: Fields, query: URLSearchParams): Fields | Reply {
    const mask = query.get("updateMask")?.split(",") ?? [];
    if (mask.length === 0) this.deviations.push("a PATCH without an update mask replaces everything");
    const changed = structuredClone(found) as Record<string, unknown>;
    for (const path of mask) {
      const steps = path.split(".");
      const last = steps.pop() ?? "";
      let [to, from]: (Record<string, unknown> | undefined)[] = [changed, body as Record<string, unknown>];
      for (const step of steps) {
        to = to?.[step] as Record<string, unknown> | undefined;
        from = from?.[step] as Record<string, unknown> | undefined;
      }
      if (to === undefined) this.deviations.push(`the mask's ${path} is not there`);
      else if (from?.[last] === undefined) delete to[last];
      else to[last] = from[last];
    }
    const problem = this.#upstreamProblem(changed);
    if (problem !== undefined) return problem;
    this.repositories.set(name, changed);
    return changed;
  }

  #operate(repository: string, finish: () => Fields): Fields {
    const name = `${repository.replace(/\/repositories\/.*/, "")}/operations/${this.#operations.size}-fake`;
    const metadata = { "@type": "type.googleapis.com/google.devtools.artifactregistry.v1.OperationMetadata" };
    this.#operations.set(name, { name, finish, metadata });
    return { name, metadata };
  }

  #progress(name: string): Fields | Reply {
    const operation = this.#operations.get(name);
    if (operation === undefined) return rpcError(404, "NOT_FOUND");
    const { metadata, finish } = operation;
    return this.stuck ? { name, metadata } : { name, metadata, done: true, response: finish() };
  }
}

function isReply(answer: Fields | Reply): answer is Reply {
  return typeof answer["status"] === "number" && "body" in answer;
}
