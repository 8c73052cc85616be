import { readFileSync } from "node:fs";
import { Ajv, type ValidateFunction } from "ajv";
import formats from "ajv-formats";
import { load } from "js-yaml";

type Json = Readonly<Record<string, unknown>>;

interface Parameter {
  readonly $ref?: string;
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly type?: string;
  readonly maximum?: number;
  readonly schema?: Json;
}

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly responses: Readonly<Record<string, { readonly $ref?: string; readonly schema?: Json }>>;
}

interface Swagger {
  readonly basePath: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly responses: Readonly<Record<string, { readonly schema?: Json }>>;
  readonly definitions: Readonly<Record<string, Json>>;
}

/** A request with its answer, as far as the contract speaks of them. Bodies are undefined where there is none. */
export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly requestBody?: unknown;
  readonly status: number;
  readonly body?: unknown;
}

/** Answers that the description leaves out, each with the source that gives them. */
const UNDESCRIBED = new Set([
  "createProject 403", // src/server/v2.0/handler/project.go: "Only system admin can create proxy cache project"
]);

/** Harbor's own description of its API (Swagger 2.0), as a judge of requests and answers. Stricter than Harbor in one thing: it drops unknown fields silently, here they are deviations. */
export class HarborContract {
  readonly #swagger: Swagger;
  readonly #ajv = new Ajv({ strict: false, allErrors: true });
  readonly #compiled = new Map<string, ValidateFunction>();

  constructor(file: string) {
    this.#swagger = load(readFileSync(file, "utf8")) as Swagger;
    formats.default(this.#ajv, ["date-time"]);
    for (const integer of ["int32", "int64", "int"]) this.#ajv.addFormat(integer, true);
    const definitions = Object.entries(this.#swagger.definitions).map(([name, schema]) => [name, adapt(schema)]);
    this.#ajv.addSchema({ $id: "swagger", definitions: Object.fromEntries(definitions) });
  }

  /** What is wrong with the exchange; nothing, if it keeps to the contract. */
  deviations(exchange: Exchange): readonly string[] {
    const what = `${exchange.method} ${exchange.path.split("?")[0]}`;
    const found = this.#operation(exchange.method, exchange.path);
    if (found === undefined) return [`${what}: the contract has no such operation`];
    const parameters = (found.operation.parameters ?? []).map((each) => this.#parameter(each));
    const problems = [
      ...parameters.flatMap((parameter) => this.#parameterProblems(parameter, found.values, exchange)),
      ...unknownQuery(parameters, exchange.path),
      ...this.#answerProblems(found.operation, exchange),
    ];
    return problems.map((problem) => `${what}: ${problem}`);
  }

  /** The operation's id and the values of its path. */
  match(
    method: string,
    path: string,
  ): { readonly id: string; readonly values: ReadonlyMap<string, string> } | undefined {
    const found = this.#operation(method, path);
    return found && { id: found.operation.operationId, values: found.values };
  }

  #operation(method: string, path: string): { operation: Operation; values: ReadonlyMap<string, string> } | undefined {
    const { pathname } = new URL(path, "https://host");
    // Fixed paths first: /registries/ping is no id.
    const templates = Object.entries(this.#swagger.paths).sort(
      ([a], [b]) => Number(a.includes("{")) - Number(b.includes("{")),
    );
    for (const [template, methods] of templates) {
      const operation = methods[method.toLowerCase()];
      const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");
      const pattern = `^${this.#swagger.basePath}${template.replace(/\{\w+\}/g, "([^/]+)")}$`;
      const match = new RegExp(pattern).exec(pathname);
      if (operation === undefined || match === null) continue;
      return { operation, values: new Map(names.map((name, at) => [name, decodeURIComponent(match[at + 1] ?? "")])) };
    }
    return undefined;
  }

  #parameter(parameter: Parameter): Parameter {
    const name = parameter.$ref?.split("/").at(-1);
    return name === undefined ? parameter : (this.#swagger.parameters[name] ?? parameter);
  }

  #parameterProblems(parameter: Parameter, values: ReadonlyMap<string, string>, exchange: Exchange): readonly string[] {
    const { name, required = false, schema = {}, type, maximum = Number.POSITIVE_INFINITY } = parameter;
    if (parameter.in === "body") {
      if (exchange.requestBody === undefined) return required ? ["no body"] : [];
      const isJson = exchange.headers["content-type"] === "application/json";
      return [...(isJson ? [] : ["the body is not said to be JSON"]), ...this.#problems(schema, exchange.requestBody)];
    }
    const query = new URL(exchange.path, "https://host").searchParams.get(name) ?? undefined;
    const value = { path: values.get(name), query, header: exchange.headers[name.toLowerCase()]?.toString() }[
      parameter.in
    ];
    if (value === undefined) return required ? [`no ${parameter.in} ${name}`] : [];
    const isFit =
      type === "integer"
        ? /^[0-9]+$/.test(value) && Number(value) <= maximum
        : type !== "boolean" || /^(?:true|false)$/.test(value);
    return isFit ? [] : [`${parameter.in} ${name} is "${value}"`];
  }

  #answerProblems({ operationId, responses }: Operation, { status, body }: Exchange): readonly string[] {
    if (UNDESCRIBED.has(`${operationId} ${status}`)) return this.#problems({ $ref: "#/definitions/Errors" }, body);
    const described = responses[String(status)];
    if (described === undefined) return [`status ${status} is not among those of ${operationId}`];
    const name = described.$ref?.split("/").at(-1);
    const { schema } = name === undefined ? described : (this.#swagger.responses[name] ?? described);
    if (schema === undefined) return body === undefined ? [] : [`${status} has a body, and should have none`];
    return this.#problems(schema, body);
  }

  #problems(schema: Json, value: unknown): readonly string[] {
    const key = JSON.stringify(schema);
    const known = this.#compiled.get(key) ?? this.#ajv.compile(adapt(schema, "swagger") as Json);
    this.#compiled.set(key, known);
    if (known(value)) return [];
    return (known.errors ?? []).map(
      ({ instancePath, message, params }) => `${instancePath || "body"} ${message ?? ""} ${JSON.stringify(params)}`,
    );
  }
}

function unknownQuery(parameters: readonly Parameter[], path: string): readonly string[] {
  const known = new Set(parameters.filter((one) => one.in === "query").map(({ name }) => name));
  return [...new URL(path, "https://host").searchParams.keys()]
    .filter((name) => !known.has(name))
    .map((name) => `no query ${name} is described`);
}

/** Swagger 2.0 to JSON Schema: `x-nullable`, and objects take the properties that they list and no others. */
function adapt(schema: unknown, base = ""): unknown {
  if (Array.isArray(schema)) return schema.map((each) => adapt(each, base));
  if (typeof schema !== "object" || schema === null) return schema;
  const from = schema as Json;
  if (typeof from["$ref"] === "string") return { $ref: `${base}${from["$ref"]}` };
  const { example: _, ...rest } = from;
  const adapted: Record<string, unknown> = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key, adapt(value, base)]),
  );
  if (from["x-nullable"] === true && typeof from["type"] === "string") adapted["type"] = [from["type"], "null"];
  if (from["type"] === "object" && from["properties"] !== undefined && from["additionalProperties"] === undefined)
    adapted["additionalProperties"] = false;
  return adapted;
}
