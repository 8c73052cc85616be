import {
  type Answer,
  type Call,
  type FakeProject,
  type FakeRegistry,
  FORBIDDEN,
  failure,
  type HarborState,
  INTERNAL,
  listed,
  NOT_FOUND,
} from "./state.ts";

export type Handler = (state: HarborState, call: Call) => Answer;

const PING_FAILED = failure(400, "BAD_REQUEST", "the registry is unhealthy");

type Probe = Pick<FakeRegistry, "type" | "url" | "accessKey" | "accessSecret">;

/** IsHealthy (src/controller/registry/controller.go): what an endpoint's adapter says; a failed sign-in at Docker Hub is an error. */
function pingProblem(state: HarborState, { type, url, accessKey, accessSecret }: Probe): Answer | undefined {
  const upstream = state.upstream(url);
  const isTaken = accessKey === "" || upstream.passwords.get(accessKey) === accessSecret;
  if (type === "docker-hub" && accessKey !== "" && !(upstream.answers && isTaken)) return INTERNAL;
  return upstream.answers && isTaken ? undefined : PING_FAILED;
}

/** validate (src/controller/registry/controller.go), then what the database says of the name. */
function writeProblem(state: HarborState, registry: FakeRegistry): Answer | undefined {
  if (registry.name === "") return failure(400, "BAD_REQUEST", "name cannot be empty");
  if (registry.name.length > 64) return failure(400, "BAD_REQUEST", "the max length of name is 64");
  const problem = pingProblem(state, registry);
  if (problem !== undefined) return problem;
  const other = state.registryNamed(registry.name);
  return other === undefined || other.id === registry.id
    ? undefined
    : failure(409, "CONFLICT", `registry ${registry.name} already exists`);
}

/** convertRegistry (src/server/v2.0/handler/replication.go): the secret is five stars. */
function shownRegistry(one: FakeRegistry): object {
  const { id, name, type, url, insecure, ca, description, accessKey, accessSecret, status, created } = one;
  const credential =
    accessKey === ""
      ? {}
      : { type: "basic", access_key: accessKey, ...(accessSecret !== "" && { access_secret: "*****" }) };
  const more = { ...(description !== "" && { description }), ...(ca !== "" && { ca_certificate: ca }) };
  return { id, name, type, url, insecure, status, credential, ...more, creation_time: created, update_time: created };
}

function shownProject(one: FakeProject): object {
  const { id, name, registryId, metadata, repositories, created } = one;
  return {
    project_id: id,
    name,
    owner_id: 1,
    owner_name: "admin",
    ...(registryId > 0 && { registry_id: registryId }),
    repo_count: repositories.size,
    metadata: { ...metadata },
    cve_allowlist: {
      id,
      project_id: id,
      items: [],
      creation_time: "0001-01-01T00:00:00.000Z",
      update_time: "0001-01-01T00:00:00.000Z",
    },
    creation_time: created,
    update_time: created,
  };
}

const text = (value: unknown, otherwise = ""): string => (typeof value === "string" ? value : otherwise);
const OK: Answer = { status: 200 };
const idOf = ({ values }: Call): number => Number(values.get("id"));

/** UpdateRegistry (src/server/v2.0/handler/registry.go): another URL without a secret blanks the secret. */
function changed(state: HarborState, known: FakeRegistry, body: Call["body"]): FakeRegistry {
  const isMoved = text(body["url"], known.url) !== known.url && body["access_secret"] === undefined;
  const accessKey = text(body["access_key"], known.accessKey);
  return {
    ...known,
    name: text(body["name"], known.name),
    description: text(body["description"], known.description),
    url: text(body["url"], known.url),
    ca: state.keepsCertificates ? text(body["ca_certificate"], known.ca) : "",
    accessKey,
    // toDaoModel (src/pkg/reg/manager.go) keeps no secret without a key
    accessSecret: accessKey === "" || isMoved ? "" : text(body["access_secret"], known.accessSecret),
  };
}

const registryHandlers: Readonly<Record<string, Handler>> = {
  listRegistries: (state, { query }) =>
    state.isAdmin
      ? listed(
          [...state.registries.values()].map((one) => ({ name: one.name, shown: shownRegistry(one) })),
          query,
        )
      : FORBIDDEN,
  createRegistry: (state, { body }) => {
    if (!state.isAdmin) return FORBIDDEN;
    const credential = (body["credential"] ?? {}) as Readonly<Record<string, unknown>>;
    const registry = {
      id: 0,
      name: text(body["name"]),
      type: text(body["type"]),
      url: text(body["url"]),
      insecure: body["insecure"] === true,
      ca: state.keepsCertificates ? text(body["ca_certificate"]) : "",
      description: text(body["description"]),
      accessKey: text(credential["access_key"]),
      accessSecret: text(credential["access_secret"]),
      status: "healthy",
      created: "",
    };
    const problem = writeProblem(state, registry);
    if (problem !== undefined) return problem;
    const { id } = state.addRegistry({ ...registry, id: state.nextId(), created: state.now() });
    return { status: 201, headers: { location: `/api/v2.0/registries/${id}` } };
  },
  updateRegistry: (state, call) => {
    if (!state.isAdmin) return FORBIDDEN;
    const known = state.registries.get(idOf(call));
    if (known === undefined) return NOT_FOUND;
    const next = changed(state, known, call.body);
    const problem = writeProblem(state, next);
    if (problem !== undefined) return problem;
    state.registries.set(known.id, { ...next, status: "healthy" });
    return OK;
  },
  deleteRegistry: (state, call) => {
    const id = idOf(call);
    if (!state.isAdmin) return FORBIDDEN;
    if ([...state.projects.values()].some(({ registryId }) => registryId === id))
      return failure(412, "PRECONDITION", `the registry ${id} is referenced by proxy cache project, cannot delete it`);
    return state.registries.delete(id) ? OK : NOT_FOUND;
  },
  pingRegistry: (state, { body }) => {
    const probe = {
      type: text(body["type"]),
      url: text(body["url"]),
      accessKey: text(body["access_key"]),
      accessSecret: text(body["access_secret"]),
    };
    return pingProblem(state, probe) ?? OK;
  },
};

const MAX_STORAGE = 2 ** 50; // src/lib/quota_storage_limit.go

/** validateProjectReq and what comes before it (src/server/v2.0/handler/project.go). */
function projectProblem(state: HarborState, body: Call["body"]): Answer | undefined {
  if (!state.isAdmin) return failure(403, "FORBIDDEN", "Only system admin can create proxy cache project");
  const registry = state.registries.get(Number(body["registry_id"]));
  if (registry === undefined) return INTERNAL; // a plain error: "failed to get the registry"
  if (!state.permitted.includes(registry.type))
    return failure(400, "BAD_REQUEST", `bad request: unsupported registry type ${registry.type}`);
  const metadata = (body["metadata"] ?? {}) as Readonly<Record<string, string>>;
  for (const key of ["proxy_speed_kb", "max_upstream_conn"])
    if (metadata[key] !== undefined && !/^-?[0-9]{1,10}$/.test(metadata[key]))
      return failure(400, "BAD_REQUEST", `metadata.${key} should be an int`);
  const limit = Number(body["storage_limit"] ?? -1);
  if (limit !== -1 && !(limit > 0 && limit <= MAX_STORAGE)) return failure(400, "BAD_REQUEST", "invalid quota limit");
  const name = text(body["project_name"]);
  if (!/^[a-z0-9]+(?:[._-][a-z0-9]+)*$/.test(name))
    return failure(400, "BAD_REQUEST", "project name is not in lower case or contains illegal characters");
  return state.projectNamed(name) === undefined
    ? undefined
    : failure(409, "CONFLICT", `The project named ${name} already exists`);
}

function kept(state: HarborState, metadata: unknown): Record<string, string> {
  const entries = Object.entries((metadata ?? {}) as Record<string, string>);
  return Object.fromEntries(entries.filter(([key]) => !state.unknownMetadata.has(key)));
}

/** parseProjectNameOrID (src/server/v2.0/handler/util.go): digits are an id unless the header says otherwise. */
function projectNamed(state: HarborState, { values, isName }: Call): FakeProject | undefined {
  const asked = values.get("project_name_or_id");
  if (asked === undefined) return state.projectNamed(values.get("project_name") ?? "");
  return /^[0-9]+$/.test(asked) && !isName ? state.projects.get(Number(asked)) : state.projectNamed(asked);
}

const projectHandlers: Readonly<Record<string, Handler>> = {
  listProjects: (state, { query }) =>
    listed(
      [...state.projects.values()].map((one) => ({ name: one.name, shown: shownProject(one) })),
      query,
    ),
  createProject: (state, { body }) => {
    const problem = projectProblem(state, body);
    if (problem !== undefined) return problem;
    const project = state.addProject(
      text(body["project_name"]),
      Number(body["registry_id"]),
      kept(state, body["metadata"]),
    );
    if (state.breaksNextProject) {
      state.breaksNextProject = false;
      return INTERNAL; // the project's transaction is over, quota and retention follow outside of it
    }
    if (state.hasQuotas) state.quotas.set(project.id, Number(body["storage_limit"] ?? -1));
    project.metadata["retention_id"] = String(state.nextId());
    return { status: 201, headers: { location: `/api/v2.0/projects/${project.id}` } };
  },
  updateProject: (state, call) => {
    const project = projectNamed(state, call);
    if (project === undefined || !state.isAdmin) return FORBIDDEN; // RequireProjectAccess comes first
    const metadata = kept(state, call.body["metadata"]);
    if ("retention_id" in metadata)
      return failure(
        400,
        "BAD_REQUEST",
        "the retention_id in the request's payload when updating a project should be omitted",
      );
    Object.assign(project.metadata, metadata);
    return OK;
  },
  deleteProject: (state, call) => {
    const project = projectNamed(state, call);
    if (project === undefined || !state.isAdmin) return FORBIDDEN;
    if (project.repositories.size > 0)
      return failure(412, "PRECONDITION", "the project contains repositories, can not be deleted");
    state.projects.delete(project.id);
    state.quotas.delete(project.id);
    return OK;
  },
  listRepositories: (state, call) => {
    const project = projectNamed(state, call);
    if (project === undefined) return FORBIDDEN;
    const shown = [...project.repositories].map((name, at) => ({
      name,
      shown: { id: at + 1, project_id: project.id, name: `${project.name}/${name}`, artifact_count: 1, pull_count: 0 },
    }));
    return listed(shown, call.query);
  },
  deleteRepository: (state, call) => {
    const project = projectNamed(state, call);
    if (project === undefined) return FORBIDDEN;
    // "If it contains slash, encode it twice" (the contract): one layer goes with the path, which a bare slash would end.
    const asked = call.values.get("repository_name") ?? "";
    if (asked.includes("/")) return failure(404, "NOT_FOUND", "path not found");
    const name = decodeURIComponent(asked);
    return project.repositories.delete(name) ? OK : NOT_FOUND;
  },
  listQuotas: (state, { query }) => {
    if (!state.isAdmin) return FORBIDDEN;
    const id = Number(query.get("reference_id"));
    const hard = state.quotas.get(id);
    const quota = {
      id: 10_000 + id,
      ref: { id, name: "", owner_name: "admin" },
      hard: { storage: hard },
      used: { storage: 0 },
    };
    return {
      status: 200,
      headers: { "x-total-count": hard === undefined ? "0" : "1" },
      body: hard === undefined ? [] : [quota],
    };
  },
  updateQuota: (state, call) => {
    const id = idOf(call) - 10_000;
    if (!state.isAdmin) return FORBIDDEN;
    if (!state.quotas.has(id)) return NOT_FOUND;
    state.quotas.set(id, Number((call.body["hard"] as Readonly<Record<string, unknown>>)["storage"]));
    return OK;
  },
};

/** By operation id of the contract. What they cite is Harbor's source. */
export const HANDLERS: Readonly<Record<string, Handler>> = { ...registryHandlers, ...projectHandlers };
