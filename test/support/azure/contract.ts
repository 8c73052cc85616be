import { readFileSync } from "node:fs";
import type { ValidateFunction } from "ajv";
import { Ajv2019 } from "ajv/dist/2019.js";
import formats from "ajv-formats";

type Json = Readonly<Record<string, unknown>>;

interface Parameter extends Json {
  readonly $ref?: string;
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly Parameter[];
  readonly responses: Readonly<
    Record<string, { readonly schema?: { readonly $ref: string }; readonly headers?: Json }>
  >;
}

interface Swagger {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly definitions: Readonly<Record<string, Json>>;
  readonly parameters: Readonly<Record<string, Parameter>>;
}

/** An exchange, as far as the contract speaks of it. `body` is undefined where there is none. */
export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly requestBody?: unknown;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/**
 * Where the real service, as recorded, does not keep to its own description (see the recording's README): the case of enums in answers,
 * null for a credential set that a rule is to lose (exchange 14), `innererror` in errors (ARM's common error format).
 */
const OPEN = new Set(["ErrorResponse", "ErrorDetail", "ErrorAdditionalInfo", "SystemData"]);
const ARM_ID = /^\/subscriptions\/[0-9a-f-]{36}\/resourceGroups\/[^/]+\/providers\/Microsoft\.ContainerRegistry\/.+/i;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Azure's own description of its API (Swagger 2.0), as a judge of requests and answers. */
export class AzureContract {
  readonly #swagger: Swagger;
  readonly #requests: Ajv2019;
  readonly #answers: Ajv2019;

  constructor(file: string) {
    this.#swagger = JSON.parse(readFileSync(file, "utf8")) as Swagger;
    this.#requests = this.#schemas("request");
    this.#answers = this.#schemas("answer");
  }

  /** What is wrong with the exchange; nothing, if it keeps to the contract. Paths of operations under way are not described by it. */
  deviations(exchange: Exchange): readonly string[] {
    const { method, path } = exchange;
    const what = `${method} ${path.split("?")[0]}`;
    const found = this.#operation(method, path);
    if (found === undefined) return [`${what}: the contract has no such operation`];
    const { operation, values } = found;
    const parameters = operation.parameters.map((each) => this.#resolve(each));
    const problems = [
      ...parameters.flatMap((parameter) => this.#parameterProblems(parameter, values, exchange)),
      ...this.#answerProblems(operation, exchange),
    ];
    return problems.map((problem) => `${what}: ${problem}`);
  }

  /** The operation's id, and whether the contract has one for this path. */
  operationOf(method: string, path: string): string | undefined {
    return this.#operation(method, path)?.operation.operationId;
  }

  #operation(method: string, path: string): { operation: Operation; values: ReadonlyMap<string, string> } | undefined {
    const url = new URL(path, "https://host");
    for (const [template, methods] of Object.entries(this.#swagger.paths)) {
      const operation = methods[method.toLowerCase()];
      const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");
      const match = new RegExp(`^${template.replace(/\{\w+\}/g, "([^/]+)")}$`, "i").exec(url.pathname);
      if (operation === undefined || match === null) continue;
      const values = new Map(names.map((name, at) => [name, decodeURIComponent(match[at + 1] ?? "")]));
      for (const [name, value] of url.searchParams) values.set(name, value);
      return { operation, values };
    }
    return undefined;
  }

  #resolve(parameter: Parameter): Parameter {
    const name = parameter.$ref?.split("/").at(-1);
    return name === undefined ? parameter : (this.#swagger.parameters[name] ?? parameter);
  }

  #parameterProblems(parameter: Parameter, values: ReadonlyMap<string, string>, exchange: Exchange): readonly string[] {
    if (parameter.in === "body")
      return this.#problems(this.#requests, (parameter["schema"] as { $ref: string }).$ref, exchange.requestBody);
    const value = values.get(parameter.name);
    if (value === undefined) return parameter.required === true ? [`no ${parameter.in} ${parameter.name}`] : [];
    const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern = "" } = parameter;
    const isFit = value.length >= minLength && value.length <= maxLength && new RegExp(pattern).test(value);
    return isFit ? [] : [`${parameter.in} ${parameter.name} is "${value}"`];
  }

  #answerProblems({ responses }: Operation, { status, body, headers }: Exchange): readonly string[] {
    const response = responses[String(status)] ?? (status >= 400 ? responses["default"] : undefined);
    if (response === undefined) return [`status ${status} is not among those of the operation`];
    const needed = Object.keys(response.headers ?? {}).filter((name) => name !== "Retry-After"); // never recorded
    const missing = needed.filter((name) => headers[name.toLowerCase()] === undefined).map((name) => `no ${name}`);
    return response.schema === undefined
      ? missing
      : [...missing, ...this.#problems(this.#answers, response.schema.$ref, body)];
  }

  #problems(ajv: Ajv2019, ref: string, value: unknown): readonly string[] {
    const validate = ajv.getSchema(`swagger${ref}`) as ValidateFunction;
    if (validate(value)) return [];
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath || "body"} ${message ?? ""}`);
  }

  #schemas(kind: "request" | "answer"): Ajv2019 {
    const ajv = new Ajv2019({ strict: false, allErrors: true });
    formats.default(ajv);
    ajv.addFormat("arm-id", ARM_ID);
    const bases = JSON.stringify(this.#swagger.definitions).matchAll(/"allOf":\[\{"\$ref":"#\/definitions\/(\w+)"/g);
    const inherited = new Set([...bases].map(([, name]) => name));
    const definitions = Object.entries(this.#swagger.definitions).map(([name, schema]) => {
      const isClosed = isObject(schema["properties"]) && !OPEN.has(name) && !inherited.has(name);
      return [
        name,
        { ...(this.#adapt(schema, kind) as Json), ...(isClosed && { unevaluatedProperties: false }) },
      ] as const;
    });
    ajv.addSchema({ $id: "swagger", definitions: Object.fromEntries(definitions) });
    return ajv;
  }

  /** Read-only properties have no place in requests; enums in answers come in any case. */
  #adapt(schema: unknown, kind: "request" | "answer"): unknown {
    if (Array.isArray(schema)) return schema.map((each) => this.#adapt(each, kind));
    if (!isObject(schema)) return schema;
    if (kind === "request" && schema["readOnly"] === true) return false;
    const values = schema["enum"];
    if (kind === "answer" && Array.isArray(values)) return { type: "string", enum: values.flatMap(spellings) };
    const adapted = Object.entries(schema).map(([key, value]) => {
      const isNullable = kind === "request" && key === "credentialSetResourceId";
      return [key, isNullable ? { type: ["string", "null"] } : this.#adapt(value, kind)] as const;
    });
    return Object.fromEntries(adapted);
  }
}

function spellings(value: unknown): readonly string[] {
  const text = String(value);
  return [...new Set([text, text.toLowerCase(), `${text[0]?.toLowerCase()}${text.slice(1)}`])];
}
