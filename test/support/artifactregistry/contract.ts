import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Ajv, type ValidateFunction } from "ajv";
import { type Fields, fieldsOf, isFields } from "../../../core/json.ts";
import { wheelFile } from "../wheel.ts";

interface Method {
  readonly id: string;
  readonly httpMethod: string;
  readonly flatPath: string;
  readonly path: string;
  readonly parameters?: Readonly<Record<string, Fields>>;
  readonly request?: { readonly $ref: string };
  readonly response?: { readonly $ref: string };
}

/** A request as the contract understands it: which method, the body with enums by name, and what is wrong with it. */
export interface Understood {
  readonly method: Method;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly deviations: readonly string[];
}

const DOCUMENT = "googleapiclient/discovery_cache/documents/artifactregistry.v1.json";
/** System parameters of Google's REST APIs that discovery documents leave out; the SDK always asks for enums as numbers. */
const ENUMS_AS_NUMBERS = ["$alt", "json;enum-encoding=int"] as const;
const FORMATS: Readonly<Record<string, RegExp>> = {
  "google-datetime": /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/,
  "google-duration": /^-?\d{1,12}(\.\d{1,9})?s$/,
  "google-fieldmask": /^[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*(,[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*)*$/,
  int64: /^-?\d{1,19}$/,
};

/**
 * The vendor's contract: the discovery document of Artifact Registry v1 (as google-api-python-client 2.202.0 carries it), and for the numbers
 * of enums the SDK's own protobufs. Undefined when the wheel can't be had.
 */
export async function readContract(): Promise<Contract | undefined> {
  const bytes = await wheelFile("google-api-python-client", "2.202.0", DOCUMENT);
  if (bytes === undefined) return undefined;
  const protos = createRequire(import.meta.url).resolve("@google-cloud/artifact-registry/build/protos/protos.json");
  return new Contract(JSON.parse(bytes.toString()) as Fields, JSON.parse(readFileSync(protos, "utf8")) as Fields);
}

export class Contract {
  readonly #schemas: Readonly<Record<string, Fields>>;
  readonly #methods: readonly Method[];
  readonly #enums: readonly Readonly<Record<string, number>>[];
  readonly #ajv: Ajv;
  readonly #global: Readonly<Record<string, Fields>>;

  constructor(discovery: Fields, protos: Fields) {
    this.#schemas = discovery["schemas"] as Record<string, Fields>;
    this.#global = discovery["parameters"] as Record<string, Fields>;
    this.#methods = [...methodsBelow(discovery)];
    this.#enums = [...enumsBelow(protos)];
    this.#ajv = new Ajv({
      allErrors: true,
      strict: false,
      formats: { ...FORMATS, int32: true, double: true, byte: true },
    });
    const definitions = Object.fromEntries(Object.entries(this.#schemas).map(([id, schema]) => [id, closed(schema)]));
    this.#ajv.addSchema({ $id: "discovery", $defs: definitions });
  }

  /** Reads a request; undefined when no method has its verb and path. */
  understand(verb: string, target: string, text: string): Understood | undefined {
    const url = new URL(target, "https://contract");
    const method = this.#methods.find(
      ({ httpMethod, flatPath }) => httpMethod === verb && pathPattern(flatPath).test(url.pathname),
    );
    if (method === undefined) return undefined;
    const body: unknown = text === "" ? undefined : JSON.parse(text);
    const named = method.request === undefined ? body : this.#translate(method.request.$ref, body, "toNames");
    const deviations = [
      ...this.#queryDeviations(method, url.searchParams),
      ...(method.request === undefined
        ? text === "" || text === "{}"
          ? []
          : [`${method.id} takes no body`]
        : this.#deviations(method.request.$ref, named, `${method.id} request`)),
    ];
    return { method, query: url.searchParams, body: named, deviations };
  }

  /** What is wrong with an answer to `method`, whose enums are by name. */
  answerDeviations({ id, response }: Method, answer: unknown): readonly string[] {
    return response === undefined ? [] : this.#deviations(response.$ref, answer, `${id} response`);
  }

  /** The answer as it goes over the network: with numbers for enums where they were asked for. */
  encode({ response }: Method, query: URLSearchParams, answer: unknown): unknown {
    const [name, value] = ENUMS_AS_NUMBERS;
    return response === undefined || query.get(name) !== value
      ? answer
      : this.#translate(response.$ref, answer, "toNumbers");
  }

  #deviations(id: string, value: unknown, where: string): readonly string[] {
    const validate = this.#ajv.getSchema(`discovery#/$defs/${id}`) as ValidateFunction;
    if (validate(value)) return [];
    return (validate.errors ?? []).map(({ instancePath, message, params }) =>
      [where, instancePath, message, JSON.stringify(params)].join(" "),
    );
  }

  #queryDeviations({ id, parameters = {} }: Method, query: URLSearchParams): readonly string[] {
    const missing = Object.entries(parameters)
      .filter(([name, { location, required }]) => location === "query" && required === true && !query.has(name))
      .map(([name]) => `${id} needs the parameter ${name}`);
    const wrong = [...query].flatMap(([name, value]) => {
      if (name === ENUMS_AS_NUMBERS[0]) return value === ENUMS_AS_NUMBERS[1] ? [] : [`${id} $alt=${value}`];
      const parameter = parameters[name]?.["location"] === "query" ? parameters[name] : this.#global[name];
      if (parameter === undefined) return [`${id} has no parameter ${name}`];
      const format = FORMATS[String(parameter["format"] ?? "")];
      const isInteger = parameter["type"] !== "integer" || /^\d+$/.test(value);
      return isInteger && (format === undefined || format.test(value)) ? [] : [`${id} ${name}=${value}`];
    });
    return [...missing, ...wrong];
  }

  #translate(ref: string, value: unknown, direction: "toNames" | "toNumbers"): unknown {
    return this.#walk(this.#schemas[ref] ?? {}, value, direction);
  }

  #walk(schema: Fields, value: unknown, direction: "toNames" | "toNumbers"): unknown {
    if (typeof schema["$ref"] === "string") return this.#translate(schema["$ref"], value, direction);
    if (Array.isArray(schema["enum"])) return this.#enumValue(schema["enum"] as string[], value, direction);
    if (Array.isArray(value)) return value.map((item) => this.#walk(fieldsOf(schema["items"]) ?? {}, item, direction));
    if (!isFields(value)) return value;
    const properties = fieldsOf(schema["properties"]) ?? {};
    const others = fieldsOf(schema["additionalProperties"]) ?? {};
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key,
        this.#walk(fieldsOf(properties[key]) ?? others, inner, direction),
      ]),
    );
  }

  #enumValue(names: readonly string[], value: unknown, direction: "toNames" | "toNumbers"): unknown {
    const overlap = (numbers: Readonly<Record<string, number>>): number =>
      names.filter((name) => name in numbers).length;
    const [numbers = {}] = this.#enums.toSorted((a, b) => overlap(b) - overlap(a));
    if (direction === "toNumbers") return typeof value === "string" ? (numbers[value] ?? value) : value;
    return typeof value === "number" ? (Object.keys(numbers).find((name) => numbers[name] === value) ?? value) : value;
  }
}

function* methodsBelow(node: Fields): Iterable<Method> {
  for (const method of Object.values(fieldsOf(node["methods"]) ?? {})) yield method as Method;
  for (const resource of Object.values(fieldsOf(node["resources"]) ?? {})) yield* methodsBelow(resource as Fields);
}

function* enumsBelow(node: Fields): Iterable<Readonly<Record<string, number>>> {
  if (isFields(node["values"])) yield node["values"] as Record<string, number>;
  for (const inner of Object.values(fieldsOf(node["nested"]) ?? {})) yield* enumsBelow(inner as Fields);
}

function pathPattern(flatPath: string): RegExp {
  return new RegExp(`^/${flatPath.replaceAll(/[.]/g, "\\.").replaceAll(/\{[^}]+\}/g, "[^/]+")}$`);
}

/** A discovery schema as JSON Schema, in which an object has no fields but those that are named. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (!isFields(node)) return node;
  if (typeof node["$ref"] === "string") return { $ref: `discovery#/$defs/${node["$ref"]}` };
  if (node["type"] === "any") return {};
  const { type, format, enum: names, items, properties, additionalProperties } = node;
  const named = fieldsOf(properties);
  return {
    type,
    ...(typeof format === "string" && { format }),
    ...(names !== undefined && { enum: names }),
    ...(items !== undefined && { items: closed(items) }),
    ...(named && { properties: Object.fromEntries(Object.entries(named).map(([key, value]) => [key, closed(value)])) }),
    ...(type === "object" && {
      additionalProperties: additionalProperties === undefined ? false : closed(additionalProperties),
    }),
  };
}
