import type { ArtifactRegistryClient } from "@google-cloud/artifact-registry";
import type { WantedRepository } from "../../core/product/artifactregistry.ts";
import type { FoundRepository } from "../../core/product/artifactregistry-compare.ts";
import { abortable } from "../deadline.ts";
import { type Asked, failureOf, statusError } from "./artifactregistry-errors.ts";
import { PUBLIC_UNIVERSE, type ServiceAccountKey } from "./artifactregistry-key.ts";
import {
  changedFields,
  changedRepository,
  foundRepository,
  newRepository,
  type RepositoryMessage,
} from "./artifactregistry-messages.ts";
import { boundedAdapter, type Exchange, newExchanges } from "./artifactregistry-transport.ts";
import { ProductError } from "./errors.ts";
import type { CallGate } from "./gate.ts";

export interface ArtifactRegistrySettings {
  /** Another server than the public cloud's: `https://host[:port]`. */
  readonly endpoint?: string;
  /** Absent: Application Default Credentials. */
  readonly key?: ServiceAccountKey;
}

/** A long-running operation as it is now. `failed` is why it ended badly. */
export interface RemoteOperation {
  readonly name: string;
  readonly done: boolean;
  readonly failed?: ProductError;
}

const SCOPE = "https://www.googleapis.com/auth/cloud-platform";
/** Whoever asks tries again; the gate's deadline is shorter. */
const ONCE = { retry: null, timeout: 120_000 };

/**
 * Google's SDK for Artifact Registry over REST, each call through the gate. Throws `ProductError`s only. The SDK is loaded here. With a
 * key, calls carry a token that it signs itself: the key leaves the process for nobody, and no token endpoint is called.
 */
export async function openArtifactRegistry(
  settings: ArtifactRegistrySettings,
  gate: CallGate,
  signal: AbortSignal,
): Promise<ArtifactRegistryApi> {
  const place = placeOf(settings);
  const exchanges = newExchanges();
  const transporterOptions = { adapter: boundedAdapter(exchanges) };
  const google = await import("@google-cloud/artifact-registry");
  const open = async (): Promise<ArtifactRegistryClient> => {
    const { key } = settings;
    if (key === undefined)
      return new google.ArtifactRegistryClient({ fallback: true, ...place, clientOptions: { transporterOptions } });
    const { JWT } = await import("google-auth-library");
    const authClient = new JWT({
      email: key.email,
      key: key.privateKey,
      scopes: [SCOPE],
      universeDomain: key.universe,
      transporterOptions,
      ...(key.keyId !== undefined && { keyId: key.keyId }),
    });
    return new google.ArtifactRegistryClient({ fallback: true, ...place, universeDomain: key.universe, authClient });
  };
  const client = await open();
  const api = new ArtifactRegistryApi(client, gate, (exchange, act) => exchanges.run(exchange, act));
  await api.signIn(signal);
  return api;
}

function placeOf({
  endpoint,
  key,
}: ArtifactRegistrySettings): Partial<Record<"apiEndpoint" | "protocol", string>> & { port?: number } {
  const refuse = (why: string): ProductError =>
    new ProductError("PRODUCT_REFUSED", `spec.artifactRegistry.endpoint ${why}`, { reason: "InvalidSpec" });
  if (endpoint === undefined) {
    if (key === undefined || key.universe === PUBLIC_UNIVERSE) return {};
    throw refuse(`is needed: the service account key is of the cloud ${key.universe}, not of Google's public one`);
  }
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url?.protocol !== "https:" || url.username !== "" || url.pathname !== "/" || url.search !== "" || url.hash !== "")
    throw refuse("is no address of a server: write https://host or https://host:port, without a path");
  return { apiEndpoint: url.hostname, port: url.port === "" ? 443 : Number(url.port), protocol: "https" };
}

type InExchange = <T>(exchange: Exchange, act: () => Promise<T>) => Promise<T>;
type OperationRequest = Parameters<ArtifactRegistryClient["operationsClient"]["getOperation"]>[0];
type OperationMessage = Awaited<ReturnType<ArtifactRegistryClient["operationsClient"]["getOperation"]>>[0];

/** The calls that remote repositories need. Names are resource names, `projects/…/repositories/…`. */
export class ArtifactRegistryApi {
  readonly #client: ArtifactRegistryClient;
  readonly #gate: CallGate;
  readonly #inExchange: InExchange;

  constructor(client: ArtifactRegistryClient, gate: CallGate, inExchange: InExchange) {
    this.#client = client;
    this.#gate = gate;
    this.#inExchange = inExchange;
  }

  /** Finds credentials; no token is shown to anybody yet. */
  async signIn(signal: AbortSignal): Promise<void> {
    await this.#call({ what: "sign in", permission: "" }, signal, async () => await this.#client.initialize());
  }

  /** Whether the operator may see the repositories of `parent`: throws if not. */
  async check(parent: string, signal: AbortSignal): Promise<void> {
    const asked = { what: `list the repositories of ${parent}`, permission: "artifactregistry.repositories.list" };
    await this.#call(asked, signal, async () => {
      await this.#client.listRepositories({ parent, pageSize: 1 }, { ...ONCE, autoPaginate: false });
    });
  }

  /** The repository, or undefined when there is none of that name. */
  async get(name: string, signal: AbortSignal): Promise<FoundRepository | undefined> {
    const asked = { what: `read ${name}`, permission: "artifactregistry.repositories.get" };
    return await this.#call(asked, signal, async (exchange) => {
      const message = await this.#client.getRepository({ name }, ONCE).then(
        ([repository]) => repository,
        (thrown: unknown) => {
          if (exchange.status === 404 && exchange.refused === undefined) return undefined;
          throw thrown;
        },
      );
      return message === undefined ? undefined : foundRepository(named(message, name), exchange.noCache === true);
    });
  }

  async create(parent: string, id: string, wanted: WantedRepository, signal: AbortSignal): Promise<RemoteOperation> {
    const asked = createAsked(`${parent}/repositories/${id}`, wanted);
    return await this.#call(asked, signal, async () => {
      const request = { parent, repositoryId: id, repository: newRepository(wanted) };
      const [, message] = await this.#client.createRepository(request, ONCE);
      return operationOf(message as OperationMessage, asked);
    });
  }

  /** Changes `fields`, which are the update mask. */
  async change(
    name: string,
    wanted: WantedRepository,
    found: FoundRepository,
    fields: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const withCredentials = wanted.credentials !== undefined;
    const asked = { what: `change ${name}`, permission: "artifactregistry.repositories.update", withCredentials };
    await this.#call(asked, signal, async () => {
      const paths = [...changedFields(fields)];
      const repository = changedRepository(name, wanted, found, paths);
      await this.#client.updateRepository({ repository, updateMask: { paths } }, ONCE);
    });
  }

  /** Begins to delete the repository with all that is in it; undefined when it is gone already. */
  async delete(name: string, signal: AbortSignal): Promise<RemoteOperation | undefined> {
    const asked = deleteAsked(name);
    return await this.#call(asked, signal, async (exchange) => {
      try {
        const [, message] = await this.#client.deleteRepository({ name }, ONCE);
        return operationOf(message as OperationMessage, asked);
      } catch (thrown) {
        if (exchange.status === 404 && exchange.refused === undefined) return undefined;
        throw thrown;
      }
    });
  }

  /** Whether any image is in the repository. */
  async hasImages(name: string, signal: AbortSignal): Promise<boolean> {
    const asked = { what: `list the images of ${name}`, permission: "artifactregistry.dockerimages.list" };
    return await this.#call(asked, signal, async () => {
      const request = { parent: name, pageSize: 1 };
      const [images] = await this.#client.listDockerImages(request, { ...ONCE, autoPaginate: false });
      return images.length > 0;
    });
  }

  /** How an operation stands; `asked` is what it does. */
  async operation(name: string, asked: Asked, signal: AbortSignal): Promise<RemoteOperation> {
    const reading = { what: `say how "${asked.what}" goes`, permission: asked.permission };
    return await this.#call(reading, signal, async () => {
      const [message] = await this.#client.operationsClient.getOperation({ name } as OperationRequest, ONCE);
      return operationOf(message, asked);
    });
  }

  async #call<T>(asked: Asked, signal: AbortSignal, act: (exchange: Exchange) => Promise<T>): Promise<T> {
    return await this.#gate.run(async (within) => {
      const exchange: Exchange = { signal: within };
      try {
        return await abortable(
          this.#inExchange(exchange, async () => await act(exchange)),
          within,
        );
      } catch (thrown) {
        throw failureOf(thrown, asked, exchange);
      }
    }, signal);
  }
}

/** What creating asks, for the messages of its operation too. */
export function createAsked(name: string, { credentials }: WantedRepository): Asked {
  const permission = "artifactregistry.repositories.create";
  return { what: `create ${name}`, permission, withCredentials: credentials !== undefined };
}

export function deleteAsked(name: string): Asked {
  return { what: `delete ${name}`, permission: "artifactregistry.repositories.delete" };
}

function named(message: RepositoryMessage, name: string): RepositoryMessage {
  const id = (of: string): string => of.slice(of.lastIndexOf("/") + 1);
  if (id(message.name ?? "") === id(name)) return message;
  throw new ProductError("PRODUCT_MALFORMED", `Artifact Registry was asked for ${name} and gave something else`);
}

function operationOf({ name, done, error }: OperationMessage, asked: Asked): RemoteOperation {
  if (!name)
    throw new ProductError("PRODUCT_MALFORMED", `Artifact Registry gave no operation when asked to ${asked.what}`);
  const failed = error ? statusError(error.code ?? 2, error.message ?? "", asked) : undefined;
  return { name, done: done === true, ...(failed && { failed }) };
}
