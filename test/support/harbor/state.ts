/** What the fake Harbor holds, and what its handlers answer. */

export interface FakeRegistry {
  readonly id: number;
  name: string;
  type: string;
  url: string;
  insecure: boolean;
  ca: string;
  description: string;
  accessKey: string;
  accessSecret: string;
  status: string;
  readonly created: string;
}

export interface FakeProject {
  readonly id: number;
  readonly name: string;
  readonly registryId: number;
  readonly metadata: Record<string, string>;
  readonly repositories: Set<string>;
  readonly created: string;
}

/** How an upstream is for Harbor, by the URL of an endpoint. */
export interface FakeUpstream {
  answers: boolean;
  /** Credentials that it takes; without any it takes none. Anonymous requests are answered always. */
  readonly passwords: Map<string, string>;
}

export interface Call {
  /** X-Is-Resource-Name. */
  readonly isName: boolean;
  readonly values: ReadonlyMap<string, string>;
  readonly query: URLSearchParams;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export class HarborState {
  readonly registries = new Map<number, FakeRegistry>();
  readonly projects = new Map<number, FakeProject>();
  /** Project id → hard limit. */
  readonly quotas = new Map<number, number>();
  readonly upstreams = new Map<string, FakeUpstream>();
  /** Metadata that this version does not know yet: dropped, as go-swagger drops unknown fields. */
  readonly unknownMetadata = new Set<string>();
  hasQuotas = true;
  /** Versions before ca_certificate drop it. */
  keepsCertificates = true;
  /** The next project is made, and then a 500 keeps it without quota and retention. */
  breaksNextProject = false;
  /** The account may read and write what belongs to the system. */
  isAdmin = true;
  /** PERMITTED_REGISTRY_TYPES_FOR_PROXY_CACHE of the installer's default. */
  permitted =
    "docker-hub,harbor,azure-acr,ali-acr,aws-ecr,google-gcr,docker-registry,github-ghcr,jfrog-artifactory".split(",");
  #serial = 0;
  #clockMs = Date.parse("2026-03-01T08:00:00.000Z");

  nextId(): number {
    this.#serial += 1;
    return this.#serial;
  }

  /** strfmt.DateTime; later at each call. */
  now(): string {
    this.#clockMs += 1_000;
    return new Date(this.#clockMs).toISOString();
  }

  upstream(url: string): FakeUpstream {
    const known = this.upstreams.get(url) ?? { answers: true, passwords: new Map<string, string>() };
    this.upstreams.set(url, known);
    return known;
  }

  registryNamed(name: string): FakeRegistry | undefined {
    return [...this.registries.values()].find((one) => one.name === name);
  }

  projectNamed(name: string): FakeProject | undefined {
    return [...this.projects.values()].find((one) => one.name === name);
  }

  /** A registry endpoint that somebody else made. */
  addRegistry(change: Partial<FakeRegistry> & { name: string }): FakeRegistry {
    const registry: FakeRegistry = {
      id: this.nextId(),
      type: "docker-registry",
      url: "https://elsewhere.example.com",
      insecure: false,
      ca: "",
      description: "",
      accessKey: "",
      accessSecret: "",
      status: "healthy",
      created: this.now(),
      ...change,
    };
    this.registries.set(registry.id, registry);
    return registry;
  }

  /** A project that somebody else made. */
  addProject(name: string, registryId: number, metadata: Record<string, string> = { public: "false" }): FakeProject {
    const project = {
      id: this.nextId(),
      name,
      registryId,
      metadata,
      repositories: new Set<string>(),
      created: this.now(),
    };
    this.projects.set(project.id, project);
    if (this.hasQuotas) this.quotas.set(project.id, -1);
    return project;
  }
}

/** Errors as Harbor writes them (src/lib/http/error.go). */
export function failure(status: number, code: string, message: string): Answer {
  return { status, body: { errors: [{ code, message }] } };
}

export const NOT_FOUND = failure(404, "NOT_FOUND", "resource not found");
export const FORBIDDEN = failure(403, "FORBIDDEN", "forbidden");
/** Whatever the cause, a client reads this (src/lib/http/error.go). */
export const INTERNAL = failure(500, "UNKNOWN", "internal server error");

/** One page of a list with its total, and `q` of the two kinds that matter here (src/lib/q/builder.go). */
export function listed(
  all: readonly { readonly name: string; readonly shown: unknown }[],
  query: URLSearchParams,
): Answer {
  const [, fuzzy, wanted = ""] = /^name=(~?)(.*)$/.exec(query.get("q") ?? "") ?? [];
  const matching = all.filter(({ name }) => (fuzzy === "~" ? name.includes(wanted) : wanted === "" || name === wanted));
  const size = Number(query.get("page_size") ?? 10);
  const from = (Number(query.get("page") ?? 1) - 1) * size;
  const body = matching.slice(from, from + size).map(({ shown }) => shown);
  return { status: 200, headers: { "x-total-count": String(matching.length) }, body };
}
