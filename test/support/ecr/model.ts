import { gunzipSync } from "node:zlib";
import { Ajv, type ValidateFunction } from "ajv";
import { wheelFile } from "../wheel.ts";

interface Shape {
  readonly type: string;
  readonly required?: readonly string[];
  readonly members?: Readonly<Record<string, { readonly shape: string }>>;
  readonly member?: { readonly shape: string };
  readonly value?: { readonly shape: string };
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly min?: number;
  readonly max?: number;
  readonly exception?: boolean;
}

interface Operation {
  readonly input: { readonly shape: string };
  readonly output: { readonly shape: string };
  readonly errors: readonly { readonly shape: string }[];
}

interface Service {
  readonly metadata: { readonly targetPrefix: string; readonly jsonVersion: string; readonly signingName: string };
  readonly operations: Readonly<Record<string, Operation>>;
  readonly shapes: Readonly<Record<string, Shape>>;
}

function bounds({ min, max }: Shape, least: string, most: string): Record<string, number> {
  return { ...(min !== undefined && { [least]: min }), ...(max !== undefined && { [most]: max }) };
}

/** The JSON Schema of a shape as the protocol awsJson1.1 puts it on the wire: timestamps are seconds, patterns hold for the whole text. */
function schemaOf(shapes: Service["shapes"], name: string): object {
  const shape = shapes[name];
  if (shape === undefined) throw new Error(`the service model has no shape ${name}`);
  switch (shape.type) {
    case "structure": {
      const members = Object.entries(shape.members ?? {});
      const properties = Object.fromEntries(members.map(([key, of]) => [key, { $ref: `#/definitions/${of.shape}` }]));
      return { type: "object", properties, required: shape.required ?? [], additionalProperties: false };
    }
    case "list":
      return {
        type: "array",
        items: { $ref: `#/definitions/${shape.member?.shape ?? ""}` },
        ...bounds(shape, "minItems", "maxItems"),
      };
    case "map":
      return { type: "object", additionalProperties: { $ref: `#/definitions/${shape.value?.shape ?? ""}` } };
    case "string":
      return {
        type: "string",
        ...bounds(shape, "minLength", "maxLength"),
        ...(shape.pattern !== undefined && { pattern: `^(?:${shape.pattern})$` }),
        ...(shape.enum !== undefined && { enum: shape.enum }),
      };
    case "integer":
    case "long":
      return { type: "integer", ...bounds(shape, "minimum", "maximum") };
    case "boolean":
      return { type: "boolean" };
    case "timestamp":
    case "double":
    case "float":
      return { type: "number" };
    case "blob":
      return { type: "string" };
    default:
      throw new Error(`the service model has a shape of the unknown type ${shape.type}`);
  }
}

// Errors of every AWS service, which no operation lists ("Common Error Types" of the ECR API reference).
const COMMON = new Set([
  "AccessDeniedException",
  "ExpiredTokenException",
  "IncompleteSignature",
  "InvalidSignatureException",
  "RequestExpired",
  "ThrottlingException",
  "UnknownOperationException",
  "UnrecognizedClientException",
]);

/** Says of requests and answers whether they obey ECR's service model as botocore ships it. */
export class EcrModel {
  readonly #service: Service;
  readonly #ajv: Ajv;

  constructor(service: Service) {
    this.#service = service;
    // The patterns are not written for JavaScript's flag "u".
    this.#ajv = new Ajv({ allErrors: true, strict: false, unicodeRegExp: false });
    const names = Object.keys(service.shapes);
    const definitions = Object.fromEntries(names.map((name) => [name, schemaOf(service.shapes, name)]));
    this.#ajv.addSchema({ $id: "ecr", definitions });
  }

  get targetPrefix(): string {
    return this.#service.metadata.targetPrefix;
  }

  get contentType(): string {
    return `application/x-amz-json-${this.#service.metadata.jsonVersion}`;
  }

  has(operation: string): boolean {
    return Object.hasOwn(this.#service.operations, operation);
  }

  #problems(shape: string, value: unknown): readonly string[] {
    const validate: ValidateFunction | undefined = this.#ajv.getSchema(`ecr#/definitions/${shape}`);
    if (validate === undefined) throw new Error(`the service model has no shape ${shape}`);
    if (validate(value)) return [];
    return (validate.errors ?? []).map(({ instancePath, message }) => `${shape}${instancePath}: ${message ?? ""}`);
  }

  #operation(name: string): Operation {
    const operation = this.#service.operations[name];
    if (operation === undefined) throw new Error(`the service model has no operation ${name}`);
    return operation;
  }

  request(operation: string, body: unknown): readonly string[] {
    return this.#problems(this.#operation(operation).input.shape, body);
  }

  response(operation: string, body: unknown): readonly string[] {
    return this.#problems(this.#operation(operation).output.shape, body);
  }

  /** An error answer: of a kind that the operation may give, in its shape. */
  error(operation: string, type: string, body: Readonly<Record<string, unknown>>): readonly string[] {
    if (COMMON.has(type)) return [];
    const listed = this.#operation(operation).errors.some(({ shape }) => shape === type);
    return listed ? this.#problems(type, body) : [`${operation} can't answer ${type}`];
  }
}

const SOURCE = ["botocore", "1.44.5", "botocore/data/ecr/2015-09-21/service-2.json.gz"] as const;

/** ECR's service model; undefined when its wheel can't be had. */
export async function ecrModel(): Promise<EcrModel | undefined> {
  const file = await wheelFile(...SOURCE);
  return file && new EcrModel(JSON.parse(gunzipSync(file).toString()) as Service);
}
