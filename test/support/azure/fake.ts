import { randomUUID } from "node:crypto";
import { AzureContract } from "./contract.ts";
import {
  type Behaviour,
  failure,
  GROUP,
  json,
  type Kind,
  type Properties,
  REGISTRY,
  REGISTRY_ID,
  type Stored,
  SUBSCRIPTION,
  TENANT,
  TOKEN,
  tokenReply,
} from "./replies.ts";
import { type AzureReply, type AzureRequestSeen, TrustedServer } from "./server.ts";

/**
 * A fake of Azure Resource Manager's cacheRules and credentialSets and of Microsoft Entra ID's token endpoint. It never ran beside Azure.
 * Every request and every answer of its own is held against Azure's description of the API; what does not keep to it is in `deviations`.
 */
export class FakeAzure {
  readonly received: AzureRequestSeen[] = [];
  readonly deviations: string[] = [];
  readonly stored = new Map<string, Stored>();
  /** Repositories that the registry has; they stand in the way of new rules. */
  readonly repositories = new Set<string>();
  behaviour: Behaviour;
  readonly #contract: AzureContract;
  readonly #server: TrustedServer;

  constructor(contract: string, identity?: TrustedServer["identity"]) {
    this.#contract = new AzureContract(contract);
    this.#server = new TrustedServer((request) => this.#answer(request), identity);
    this.behaviour = this.#usual();
  }

  get url(): string {
    return this.#server.url;
  }

  /** Requests that change something: `PUT cacheRules/name`. */
  get writes(): readonly string[] {
    return this.received
      .filter(({ method, path }) => method !== "GET" && !path.includes("/oauth2/"))
      .map(
        ({ method, path }) =>
          `${method} ${path.split("?")[0]?.split("/registries/")[1]?.split("/").slice(1).join("/")}`,
      );
  }

  async start(): Promise<void> {
    await this.#server.start();
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }

  reset(): void {
    this.received.length = 0;
    this.deviations.length = 0;
    this.stored.clear();
    this.repositories.clear();
    this.behaviour = this.#usual();
  }

  rule(name: string): Properties | undefined {
    return this.stored.get(key("cacheRules", name))?.properties;
  }

  set(name: string): Properties | undefined {
    return this.stored.get(key("credentialSets", name))?.properties;
  }

  /** Puts a thing there that somebody else made. */
  put(kind: Kind, name: string, properties: object): Stored {
    const now = new Date().toISOString();
    const stored: Stored = {
      kind,
      name,
      principalId: randomUUID(),
      properties: { provisioningState: "Succeeded", creationDate: now, ...properties },
      modifiedAt: now,
      readsLeft: 0,
    };
    this.stored.set(key(kind, name), stored);
    return stored;
  }

  #usual(): Behaviour {
    return {
      reads: 0,
      health: { status: "Healthy" },
      lowerCase: false,
      pollUrlLength: 0,
      pageSize: 1_000,
      fault: () => undefined,
      login: (request) => tokenReply(request, this.url),
    };
  }

  #answer(request: AzureRequestSeen): AzureReply {
    this.received.push(request);
    if (!request.path.startsWith("/subscriptions/")) return this.behaviour.login(request);
    const fault = this.behaviour.fault(request);
    if (fault !== undefined && fault.cut !== true) return fault;
    const reply = this.#serve(request);
    this.#check(request, reply);
    return fault ?? reply;
  }

  #check({ method, path, text }: AzureRequestSeen, { status, headers = {}, text: answer }: AzureReply): void {
    if (/\/operation(?:Statuses|Results)\//.test(path)) return; // not described
    const requestBody = text === "" ? undefined : (JSON.parse(text) as unknown);
    const body = answer === undefined || answer === "" ? undefined : (JSON.parse(answer.toString()) as unknown);
    this.deviations.push(...this.#contract.deviations({ method, path, requestBody, status, headers, body }));
  }

  #serve(request: AzureRequestSeen): AzureReply {
    const { pathname, searchParams } = new URL(request.path, this.url);
    if (request.headers.authorization !== `Bearer ${TOKEN}`)
      return failure(401, "AuthenticationFailed", "Authentication failed.");
    if (/\/operationStatuses\//.test(pathname))
      return json(200, { status: "Succeeded" }, { "azure-asyncoperation": `${this.url}${request.path}` });
    if (/\/operationResults\//.test(pathname)) return { status: 200 };
    const match = /\/registries\/([^/]+)\/(cacheRules|credentialSets)(?:\/([^/]+))?$/i.exec(pathname);
    const kind = match?.[2] as Kind;
    const name = match?.[3];
    if (match?.[1]?.toLowerCase() !== REGISTRY.toLowerCase()) {
      // As Azure Resource Manager words it: learn.microsoft.com, "Resolve errors for resource not found".
      const message = `The Resource 'Microsoft.ContainerRegistry/registries/${match?.[1]}' under resource group '${GROUP}' was not found.`;
      return failure(404, "ResourceNotFound", message);
    }
    if (name === undefined) return this.#list(kind, Number(searchParams.get("$skiptoken") ?? 0));
    const stored = this.stored.get(key(kind, name));
    switch (request.method) {
      case "GET":
        return this.#get(stored);
      case "PUT":
        return this.#create(kind, name, stored, JSON.parse(request.text) as { properties: Properties });
      case "PATCH":
        return this.#update(stored, JSON.parse(request.text) as { properties: Properties });
      default:
        return this.#delete(stored);
    }
  }

  #progress(stored: Stored): void {
    if (stored.readsLeft-- > 0) return;
    const { properties } = stored;
    if (properties.provisioningState === "Deleting") this.stored.delete(key(stored.kind, stored.name));
    else if (/ing$/.test(properties.provisioningState)) properties.provisioningState = "Succeeded";
  }

  #list(kind: Kind, from: number): AzureReply {
    for (const stored of [...this.stored.values()]) this.#progress(stored);
    const all = [...this.stored.values()].filter((stored) => stored.kind === kind);
    const end = from + this.behaviour.pageSize;
    const nextLink = `${this.url}${REGISTRY_ID}/${kind}?api-version=2025-11-01&$skiptoken=${end}`;
    const value = all.slice(from, end).map((stored) => this.#shown(stored));
    return json(200, { value, ...(end < all.length && { nextLink }) });
  }

  #get(stored: Stored | undefined): AzureReply {
    if (stored !== undefined) this.#progress(stored);
    if (stored === undefined || !this.stored.has(key(stored.kind, stored.name)))
      return failure(404, "NotFound", "The resource was not found.");
    return json(200, this.#shown(stored));
  }

  #create(
    kind: Kind,
    name: string,
    before: Stored | undefined,
    { properties }: { properties: Properties },
  ): AzureReply {
    const refusal = kind === "cacheRules" && before === undefined ? this.#refusal(properties) : undefined;
    if (refusal !== undefined) return refusal;
    const stored = this.put(kind, name, { ...properties, provisioningState: before ? "Updating" : "Creating" });
    return this.#begun(stored, before ? 200 : 201);
  }

  /** Azure/ARO-HCP#2639 and #5176; hashicorp/terraform-provider-azurerm#27983. */
  #refusal({
    sourceRepository = "",
    targetRepository = "",
    credentialSetResourceId,
  }: Properties): AzureReply | undefined {
    const refuse = (code: string): AzureReply =>
      failure(400, "BadRequest", "The request is invalid.", {
        innererror: { code, message: "see https://aka.ms/acr/cache" },
      });
    if (sourceRepository.startsWith("docker.io/") && credentialSetResourceId === undefined)
      return refuse("EnforceDockerAuthentication");
    if (this.repositories.has(targetRepository)) return refuse("TargetRepositoryAlreadyPresentInRegistry");
    const prefix = targetRepository.endsWith("*") ? targetRepository.slice(0, -1) : undefined;
    return prefix !== undefined && [...this.repositories].some((each) => each.startsWith(prefix))
      ? refuse("TargetRepositoryPrefixMatchesExistingRegistries")
      : undefined;
  }

  #update(stored: Stored | undefined, { properties }: { properties: Properties }): AzureReply {
    if (stored === undefined) return failure(404, "NotFound", "The resource was not found.");
    const changed = Object.entries({ ...stored.properties, ...properties }).filter(([, value]) => value !== null);
    stored.properties = { ...(Object.fromEntries(changed) as unknown as Properties), provisioningState: "Updating" };
    stored.modifiedAt = new Date().toISOString();
    return this.#begun(stored, 201); // recorded exchanges 6 and 14
  }

  #begun(stored: Stored, status: number): AzureReply {
    stored.readsLeft = this.behaviour.reads;
    const shown = this.#shown(stored) as { readonly id: string };
    const poll = `${this.url}${shown.id}/operationStatuses/${stored.kind.toLowerCase()}-${randomUUID()}?api-version=2025-11-01&c=`;
    return json(status, shown, { "azure-asyncoperation": poll.padEnd(this.behaviour.pollUrlLength, "x") });
  }

  #delete(stored: Stored | undefined): AzureReply {
    if (stored === undefined) return { status: 204 };
    stored.properties.provisioningState = "Deleting";
    stored.readsLeft = this.behaviour.reads;
    const operation = `${stored.kind.toLowerCase()}-${randomUUID()}`;
    const location = `${this.url}/subscriptions/${SUBSCRIPTION}/providers/Microsoft.ContainerRegistry/locations/WESTUS/operationResults/${operation}?api-version=2025-11-01`;
    return json(202, null, { location }); // its body is the four bytes "null": recorded exchange 17
  }

  #shown(stored: Stored): object {
    const { kind, name, properties, modifiedAt, principalId } = stored;
    const { authCredentials } = properties;
    const state = properties.provisioningState;
    const health = this.behaviour.health as { readonly status: string };
    const fold = (text: string): string => (this.behaviour.lowerCase ? text.toLowerCase() : text);
    const id = `${REGISTRY_ID}/${kind}/${name}`;
    return {
      type: `Microsoft.ContainerRegistry/registries/${kind}`,
      ...(kind === "credentialSets" && { identity: { principalId, tenantId: TENANT, type: fold("systemAssigned") } }),
      id: this.behaviour.lowerCase ? id.replace("resourceGroups", "resourcegroups") : id,
      name,
      systemData: { createdAt: modifiedAt, createdByType: "User", lastModifiedAt: modifiedAt }, // createdAt moves: exchange 14
      properties: {
        ...properties,
        provisioningState: fold(state),
        ...(authCredentials && {
          authCredentials: authCredentials.map((each) => ({
            ...each,
            credentialHealth: { ...health, status: fold(health.status) },
          })),
        }),
      },
    };
  }
}

function key(kind: Kind, name: string): string {
  return `${kind}/${name.toLowerCase()}`;
}
