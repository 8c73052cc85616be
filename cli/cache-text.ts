import { dump } from "js-yaml";
import type { AnnotationView, RecordView } from "../core/cache/view.ts";
import { type Fields, fieldsOf, stringField } from "../core/json.ts";
import type { OutputFormat } from "./cache-arguments.ts";

/** What is printed of one object. */
export interface Report extends Partial<AnnotationView> {
  readonly object: string;
  /** What is to be known besides. */
  readonly notes: readonly string[];
}

const LABEL = 12;
const line = (label: string, text: string, indent = ""): string => `${indent}${label.padEnd(LABEL)}${text}`;

function sealLines(seal: AnnotationView["seal"]): readonly string[] {
  if (seal.holds) {
    const state = seal.retired === undefined ? "it still seals" : `retired ${seal.retired}`;
    return [line("Seal", "holds"), line("Sealed by", `key ${seal.kid} (made ${seal.made}, ${state})`)];
  }
  const claimed = seal.claimedKid === undefined ? [] : [line("Claims", `key ${seal.claimedKid}`)];
  return [line("Seal", `DOES NOT HOLD (${seal.reason}): ${seal.why}`), ...claimed];
}

function signerOf(fact: Fields): string {
  const subject = stringField(fact, "subject");
  const issuer = stringField(fact, "issuer");
  const who = subject === undefined ? [] : [`by ${subject}${issuer === undefined ? "" : ` (${issuer})`}`];
  return [...who, `id ${(stringField(fact, "id") ?? "").slice(0, 16)}`].join(", ");
}

const list = (value: unknown): readonly Fields[] =>
  Array.isArray(value) ? value.map((item) => fieldsOf(item) ?? {}) : [];

function foundBy(name: string, match: unknown): readonly string[] {
  const { signatures, attestations, static: fixed } = fieldsOf(match) ?? {};
  const found = [
    ...(fixed === true ? ["static: pass"] : []),
    ...list(signatures).map((fact) => `signature ${signerOf(fact)}`),
    ...Object.entries(fieldsOf(attestations) ?? {}).flatMap(([attestation, facts]) =>
      list(facts).map((fact) => `attestation ${attestation} (${stringField(fact, "predicateType")}) ${signerOf(fact)}`),
    ),
  ];
  return found.map((text) => `authority ${name}: ${text}`);
}

function recordLines(record: RecordView): readonly string[] {
  const { policy, scope, issued, expires, expiresIn, authorities, reasons, hints } = record;
  const left = expiresIn.startsWith("-") ? `${expiresIn.slice(1)} ago` : `in ${expiresIn}`;
  return [
    line("Policy", `${policy.name} (uid ${policy.uid}, resourceVersion ${policy.resourceVersion})`, "  "),
    ...(record.valid ? [line("Valid", "yes", "  ")] : reasons.map((why) => line("Valid", `NO: ${why}`, "  "))),
    ...hints.map((hint) => line("Perhaps not", hint, "  ")),
    line("Issued", issued, "  "),
    line("Expires", `${expires} (${left})`, "  "),
    ...(scope === undefined ? [] : [line("Scope", `namespace ${scope}: with the policy's own credentials`, "  ")]),
    ...(record.config ? [line("Config", "the image's configuration is sealed too", "  ")] : []),
    ...Object.entries(authorities)
      .flatMap(([name, match]) => foundBy(name, match))
      .map((text, index) => line(index === 0 ? "Found" : "", text, "  ")),
  ];
}

function reportText(report: Report): string {
  const { object, notes, seal, cluster, epoch, pins = {}, records = [] } = report;
  const images = [...new Set(records.map(({ image }) => image))];
  return [
    object,
    ...(seal === undefined ? [] : sealLines(seal)),
    ...(cluster === undefined ? [] : [line("Cluster", cluster)]),
    ...(epoch === undefined ? [] : [line("Epoch", epoch)]),
    ...Object.entries(pins).map(([tag, digest]) => line("Pin", `${tag} = ${digest}`)),
    ...notes.map((note) => line("Note", note)),
    ...images.flatMap((image) => [
      "",
      line("Image", image),
      ...records.filter((record) => record.image === image).flatMap(recordLines),
    ]),
  ].join("\n");
}

/** The reports as they are printed; as JSON or YAML a single one stands alone, several in a list. */
export function render(reports: readonly Report[], output: OutputFormat): string {
  if (output === "text") return reports.map(reportText).join("\n\n");
  const [first, ...more] = reports;
  const value = more.length === 0 ? first : reports;
  return output === "json"
    ? JSON.stringify(value, undefined, 2)
    : dump(value, { lineWidth: -1, noRefs: true }).trimEnd();
}
