import { isDigest } from "../image/reference.ts";
import { fieldsOf } from "../json.ts";
import type { AttestationFact, AuthorityMatch, AuthorityMatches, SignatureFact } from "../policy/types.ts";

const OPTIONAL = [
  "subject",
  "issuer",
  "githubWorkflowTrigger",
  "githubWorkflowSha",
  "githubWorkflowName",
  "githubWorkflowRepo",
  "githubWorkflowRef",
] as const satisfies readonly (keyof SignatureFact)[];

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

function signatureOf(value: unknown): SignatureFact | undefined {
  const fields = fieldsOf(value);
  const id = textOf(fields?.["id"]);
  if (fields === undefined || id === undefined) return undefined;
  const optional = OPTIONAL.flatMap((name) => {
    const text = textOf(fields[name]);
    return text === undefined ? [] : [[name, text] as const];
  });
  return { id, ...Object.fromEntries(optional) };
}

function attestationOf(value: unknown): AttestationFact | undefined {
  const signature = signatureOf(value);
  const predicateType = textOf(fieldsOf(value)?.["predicateType"]);
  const digest = textOf(fieldsOf(value)?.["digest"]);
  if (signature === undefined || predicateType === undefined || digest === undefined) return undefined;
  return isDigest(digest) ? { ...signature, predicateType, digest } : undefined;
}

function listOf<T>(value: unknown, read: (item: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = value.map(read);
  return items.every((item) => item !== undefined) ? items : undefined;
}

function recordOf<T>(value: unknown, read: (item: unknown) => T | undefined): Readonly<Record<string, T>> | undefined {
  const fields = fieldsOf(value);
  if (fields === undefined) return undefined;
  const entries = Object.entries(fields).map(([name, item]) => [name, read(item)] as const);
  return entries.every((entry): entry is readonly [string, T] => entry[1] !== undefined)
    ? Object.fromEntries(entries)
    : undefined;
}

/** Values are texts: the annotation is read without YAML's types. */
function matchOf(value: unknown): AuthorityMatch | undefined {
  const fields = fieldsOf(value);
  if (fields === undefined) return undefined;
  const { signatures: some, attestations: others, static: fixed } = fields;
  const signatures = some === undefined ? undefined : listOf(some, signatureOf);
  const attestations = others === undefined ? undefined : recordOf(others, (item) => listOf(item, attestationOf));
  if (some !== undefined && signatures === undefined) return undefined;
  if (others !== undefined && attestations === undefined) return undefined;
  if (fixed !== undefined && fixed !== "true") return undefined;
  if (signatures === undefined && attestations === undefined && fixed === undefined) return undefined;
  return {
    ...(signatures !== undefined && { signatures }),
    ...(attestations !== undefined && { attestations }),
    ...(fixed !== undefined && { static: true }),
  };
}

/** What the authorities of a record established, as it stands in an annotation; undefined if it is nothing that this project writes. */
export function matchesOf(value: unknown): AuthorityMatches | undefined {
  return recordOf(value, matchOf);
}
