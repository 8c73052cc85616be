import { type Fields, fieldsOf } from "../../core/json.ts";
import type { FoundProject } from "../../core/product/harbor.ts";
import type { FoundEndpoint } from "../../core/product/harbor-endpoint.ts";
import { ProductError } from "./errors.ts";
import { endpointOf, integerOf, listOf, malformed, projectOf, textOf } from "./harbor-answers.ts";
import type { HarborAnswer, HarborCall, HarborHttp } from "./harbor-http.ts";

/** The hard limit on a project's storage. */
export interface FoundQuota {
  readonly id: number;
  /** Bytes; -1 for none. */
  readonly hard: number;
}

/** A registry endpoint as it is written. The password goes along always: a changed `url` without it would blank the stored one. */
export interface EndpointWrite {
  readonly name: string;
  readonly type: string;
  readonly url: string;
  readonly ca: string;
  readonly description: string;
  readonly username: string;
  readonly password: string;
}

/** What became of a write for which Harbor asks the upstream: `failed` is its HTTP 500. */
export type EndpointOutcome = "done" | "exists" | "unhealthy" | "failed";

/** A proxy cache project as it is made. */
export interface ProjectWrite {
  readonly name: string;
  readonly registryId: number;
  /** Bytes; -1 for no limit. */
  readonly storage: number;
  readonly metadata: Readonly<Record<string, string>>;
}

const PAGE_SIZE = 100; // the API's maximum
const PAGE_LIMIT = 100;
const AS_NAME = { "x-is-resource-name": "true" }; // else a name of digits would be taken for an id
const WRITE_REFUSALS = [400, 409, 500];

/** The calls of Harbor's API (v2.0, swagger of v2.15.2) that a cache needs. All throw `ProductError`. */
export class HarborApi {
  readonly #http: HarborHttp;

  constructor(http: HarborHttp) {
    this.#http = http;
  }

  /** All endpoints whose name contains `part`. */
  async endpoints(part: string, signal: AbortSignal): Promise<readonly FoundEndpoint[]> {
    const call: HarborCall = { what: "list registry endpoints", method: "GET", path: "/registries" };
    return (await this.#pages(call, { q: `name=~${part}` }, signal)).map(endpointOf);
  }

  /** The endpoint of exactly that name. */
  async endpoint(name: string, signal: AbortSignal): Promise<FoundEndpoint | undefined> {
    const call: HarborCall = { what: `look for registry endpoint "${name}"`, method: "GET", path: "/registries" };
    const found = await this.#pages(call, { q: `name=${name}` }, signal);
    return found.map(endpointOf).find((endpoint) => endpoint.name === name);
  }

  /** Harbor asks the upstream before it answers. */
  async createEndpoint(write: EndpointWrite, signal: AbortSignal): Promise<EndpointOutcome> {
    const { name, type, url, ca, description, username, password } = write;
    const body = {
      name,
      type,
      url,
      insecure: false,
      description,
      ...(ca !== "" && { ca_certificate: ca }),
      ...(username !== "" && { credential: { type: "basic", access_key: username, access_secret: password } }),
    };
    const what = `make registry endpoint "${name}"`;
    const call: HarborCall = { what, method: "POST", path: "/registries", body, accept: WRITE_REFUSALS };
    return outcomeOf(what, await this.#http.call(call, signal));
  }

  /** Writes everything but the type, which Harbor does not change; asks the upstream as `createEndpoint` does. */
  async updateEndpoint(id: number, write: EndpointWrite, signal: AbortSignal): Promise<EndpointOutcome> {
    const { name, url, ca, description, username, password } = write;
    const body = {
      name,
      url,
      insecure: false,
      description,
      ca_certificate: ca,
      credential_type: "basic",
      access_key: username,
      access_secret: password,
    };
    const what = `change registry endpoint "${name}"`;
    const call: HarborCall = { what, method: "PUT", path: `/registries/${id}`, body, accept: WRITE_REFUSALS };
    return outcomeOf(what, await this.#http.call(call, signal));
  }

  /** Whether Harbor gets an answer from an upstream without any credentials; undefined when it fails at that itself. */
  async reaches(write: Pick<EndpointWrite, "type" | "url" | "ca">, signal: AbortSignal): Promise<boolean | undefined> {
    const { type, url, ca } = write;
    const body = { type, url, insecure: false, ...(ca !== "" && { ca_certificate: ca }) };
    const what = `ask whether ${url} answers`;
    const call: HarborCall = { what, method: "POST", path: "/registries/ping", body, accept: [400, 500] };
    const { status } = await this.#http.call(call, signal);
    return status === 500 ? undefined : status !== 400;
  }

  /** False when projects or replications still use it. */
  async deleteEndpoint({ id, name }: Pick<FoundEndpoint, "id" | "name">, signal: AbortSignal): Promise<boolean> {
    const what = `delete registry endpoint "${name}"`;
    const call: HarborCall = { what, method: "DELETE", path: `/registries/${id}`, accept: [404, 412] };
    return (await this.#http.call(call, signal)).status !== 412;
  }

  /** The project of exactly that name. A listing, because the API does not say what a missing project is answered with. */
  async project(name: string, signal: AbortSignal): Promise<FoundProject | undefined> {
    const call: HarborCall = { what: `look for project "${name}"`, method: "GET", path: "/projects" };
    const found = await this.#pages(call, { q: `name=${name}` }, signal);
    return found.map(projectOf).find((project) => project.name === name);
  }

  /** False when a project of that name is there. */
  async createProject({ name, registryId, storage, metadata }: ProjectWrite, signal: AbortSignal): Promise<boolean> {
    const what = `make project "${name}"`;
    const body = { project_name: name, registry_id: registryId, storage_limit: storage, metadata };
    const call: HarborCall = { what, method: "POST", path: "/projects", body, accept: [400, 409] };
    const answer = await this.#http.call(call, signal);
    if (answer.status === 400 && answer.complaint.includes("unsupported registry type"))
      throw new ProductError(
        "PRODUCT_REFUSED",
        `Harbor's installation permits no proxy cache projects for this kind of upstream (project "${name}"); add it to PERMITTED_REGISTRY_TYPES_FOR_PROXY_CACHE of Harbor's core`,
        { reason: "UnsupportedUpstream" },
      );
    if (answer.status === 400) throw refused(what, answer);
    return answer.status !== 409;
  }

  /** Writes these settings of a project and leaves its others alone. */
  async updateProject(name: string, metadata: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    const path = `/projects/${encodeURIComponent(name)}`;
    const what = `change project "${name}"`;
    await this.#http.call({ what, method: "PUT", path, headers: AS_NAME, body: { metadata } }, signal);
  }

  /** `full`: it has repositories, and nothing was done. */
  async deleteProject(name: string, signal: AbortSignal): Promise<"gone" | "full"> {
    const path = `/projects/${encodeURIComponent(name)}`;
    const what = `delete project "${name}"`;
    const call: HarborCall = { what, method: "DELETE", path, headers: AS_NAME, accept: [404, 412] };
    return (await this.#http.call(call, signal)).status === 412 ? "full" : "gone";
  }

  /** At most `limit` (up to 100) repositories of a project, without the project's name, and how many there are. */
  async repositories(
    project: string,
    limit: number,
    signal: AbortSignal,
  ): Promise<{ readonly names: readonly string[]; readonly total: number }> {
    const what = `list the repositories of project "${project}"`;
    const path = `/projects/${encodeURIComponent(project)}/repositories`;
    const query = { page: "1", page_size: String(limit) };
    const answer = await this.#http.call({ what, method: "GET", path, query }, signal);
    const names = listOf(what, answer).map((entry) => {
      const name = textOf(what, entry, "name");
      if (!name.startsWith(`${project}/`)) throw malformed(what, "answers with a repository of another project");
      return name.slice(project.length + 1);
    });
    return { names, total: answer.total ?? names.length };
  }

  /** Deletes a repository with all its artifacts. */
  async deleteRepository(project: string, repository: string, signal: AbortSignal): Promise<void> {
    const what = `delete repository "${project}/${repository}"`;
    // Encoded twice, as the API wants names that contain slashes.
    const name = encodeURIComponent(encodeURIComponent(repository));
    const path = `/projects/${encodeURIComponent(project)}/repositories/${name}`;
    await this.#http.call({ what, method: "DELETE", path, accept: [404] }, signal);
  }

  /** The quota of a project; undefined where Harbor keeps none. */
  async quota(projectId: number, signal: AbortSignal): Promise<FoundQuota | undefined> {
    const call: HarborCall = { what: `read the quota of project ${projectId}`, method: "GET", path: "/quotas" };
    const query = { reference: "project", reference_id: String(projectId) };
    const [quota] = await this.#pages(call, query, signal);
    if (quota === undefined) return undefined;
    const hard = fieldsOf(quota["hard"])?.["storage"];
    return { id: integerOf(call.what, quota, "id"), hard: typeof hard === "number" ? hard : -1 };
  }

  /** Sets the hard limit of a quota, in bytes; -1 for none. */
  async setQuota(id: number, bytes: number, signal: AbortSignal): Promise<void> {
    const body = { hard: { storage: bytes } };
    await this.#http.call({ what: `set quota ${id}`, method: "PUT", path: `/quotas/${id}`, body }, signal);
  }

  async #pages(
    call: HarborCall,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<readonly Fields[]> {
    const all: Fields[] = [];
    for (let page = 1; page <= PAGE_LIMIT; page++) {
      const paged = { ...query, page: String(page), page_size: String(PAGE_SIZE) };
      const items = listOf(call.what, await this.#http.call({ ...call, query: paged }, signal));
      all.push(...items);
      if (items.length < PAGE_SIZE) return all;
    }
    throw malformed(call.what, `gives more than ${PAGE_LIMIT * PAGE_SIZE} entries`);
  }
}

function refused(what: string, { status, code }: HarborAnswer): ProductError {
  const message = `Harbor answered HTTP ${status} (${code}) to: ${what}; see Harbor's own log (core) for the cause`;
  return new ProductError("PRODUCT_REFUSED", message);
}

function outcomeOf(what: string, answer: HarborAnswer): EndpointOutcome {
  const { status, complaint } = answer;
  if (status < 300) return "done";
  if (status === 409) return "exists";
  if (status === 500) return "failed";
  if (complaint.includes("the registry is unhealthy")) return "unhealthy";
  throw refused(what, answer);
}
