import type { NamedRule } from "../cachenames/types.ts";
import type { RulePattern } from "../cacherule/pattern.ts";
import { comment, header, leftOutLines, ruleLine } from "./comment.ts";
import { type ImageExpression, imageExpressions } from "./expressions.ts";
import { below, type CacheTree, joined, transplantOf } from "./overlaps.ts";
import { type LeftOut, type RuleSelection, sourceText } from "./rules.ts";

/** Before a name that is final: no expression matches it any more. */
const DONE = "!";

interface Step {
  readonly expression: string;
  readonly replacement: string;
}

const anchored = (body: string): string => `^${body}$`;

function renaming({ prefix }: NamedRule, { body, rest }: ImageExpression): Step {
  return { expression: anchored(body), replacement: `${DONE}${joined(prefix.host, prefix.path)}${rest}` };
}

const keeping = (body: string): Step => ({ expression: anchored(`(${body})`), replacement: `${DONE}$1` });

function keepingAll(pattern: RulePattern): readonly Step[] {
  return imageExpressions(pattern).map(({ body }) => keeping(body));
}

const isAllOfHub = ({ mapping: { source } }: NamedRule): boolean =>
  source.host === "index.docker.io" && source.wildcard && source.path === "";

/** Images of a rule whose names in the cache another rule has for other images: they keep theirs. */
function exceptions(rule: NamedRule, tree: CacheTree): readonly Step[] {
  const { source } = rule.mapping;
  if (!source.wildcard) return [];
  return tree.strangersBelow(transplantOf(rule)).flatMap((stranger) => {
    const path = joined(source.path, below(stranger.prefix.path, rule.prefix.path) ?? "");
    return keepingAll({ host: source.host, path, wildcard: stranger.mapping.source.wildcard });
  });
}

function stepsOf(rule: NamedRule, tree: CacheTree): readonly Step[] {
  if (!rule.rewrites) return keepingAll(rule.mapping.source);
  const local = isAllOfHub(rule) ? [keeping("localhost/.*")] : []; // a host, though it has neither dot nor port
  const renamed = imageExpressions(rule.mapping.source).map((expression) => renaming(rule, expression));
  return [...local, ...exceptions(rule, tree), ...renamed];
}

const stepText = ({ expression, replacement }: Step): string =>
  `regex_replace_all('${expression}', @, '${replacement}')`;

/** The name of an image as a pipeline of JMESPath: the first expression that matches decides. */
function pipeline(rules: readonly NamedRule[], tree: CacheTree): readonly string[] {
  const ordered = [...rules.filter((rule) => !isAllOfHub(rule)), ...rules.filter(isAllOfHub)];
  const steps = ordered.flatMap((rule) => stepsOf(rule, tree));
  const begin = { expression: `^${DONE}`, replacement: DONE + DONE }; // as somebody wrote it
  const end = { expression: `^${DONE}`, replacement: "" };
  return ["element.image", ...[begin, ...steps, end].map((step) => `| ${stepText(step)}`)];
}

/** Of rules with one source only the first is ever asked. */
function distinct(rules: readonly NamedRule[]): {
  readonly kept: readonly NamedRule[];
  readonly out: readonly LeftOut[];
} {
  const first = new Map<string, NamedRule>();
  const out: LeftOut[] = [];
  for (const rule of rules) {
    const source = sourceText(rule);
    const known = first.get(source);
    if (known === undefined) first.set(source, rule);
    else out.push({ rule: rule.rule, reason: `CacheRule "${known.rule}" has the same source and is older` });
  }
  return { kept: [...first.values()], out };
}

const LIMITS = [
  "It renames images of Pods as they are created and of ephemeral containers as they are added. What it does not do, and Entrepot's own",
  "rewriting does: follow the rules (render it anew when they change), leave names alone while a cache does not answer or a rule is not",
  "Ready, rename image volumes, add imagePullSecrets, keep the name as written in an annotation. Every image is held against every",
  "expression: it is for some hundred rules. spec.rules[].match is where namespaces are chosen.",
];

/** Where a Pod that can't be pulled would take the cluster, Kyverno or Entrepot down. */
const EXCLUDED = ["kube-system", "kube-public", "kube-node-lease", "kyverno"];

function foreach(list: string, variable: readonly string[], preconditions: readonly string[] = []): readonly string[] {
  return [
    `        - list: "request.object.spec.${list}[] || \`[]\`"`,
    "          context:",
    "            - name: cachedName",
    "              variable:",
    ...variable,
    "          preconditions:",
    "            all:",
    ...preconditions,
    `              - key: "{{ cachedName }}"`,
    "                operator: NotEquals",
    `                value: "{{ element.image }}"`,
    "          patchesJson6902: |-",
    "            - op: replace",
    `              path: /spec/${list}/{{ elementIndex }}/image`,
    `              value: "{{ cachedName }}"`,
  ];
}

function ruleHead(name: string, kind: string, operation: string, excluded: readonly string[]): readonly string[] {
  return [
    `    - name: ${name}`,
    "      match:",
    "        any:",
    "          - resources:",
    `              kinds: [${kind}]`,
    `              operations: [${operation}]`,
    "      exclude:",
    "        any:",
    "          - resources:",
    `              namespaces: [${excluded.join(", ")}]`,
    "      mutate:",
    "        foreach:",
  ];
}

/** A ClusterPolicy of Kyverno's (kyverno.io/v1) that gives Pods the names that the index has for their images. Pods of the system namespace keep theirs. */
export function kyvernoPolicy(selection: RuleSelection, systemNamespace: string): string {
  const { registry, accepted } = selection;
  const { kept, out } = distinct(selection.rules);
  const names = pipeline(kept, accepted.tree).map((line) => `                  ${line}`);
  const excluded = [...EXCLUDED, systemNamespace];
  const again = ["                jmesPath: *cachedName"];
  const isNew = [
    `              - key: "{{ element.name }}"`,
    "                operator: AnyNotIn",
    `                value: "{{ request.oldObject.spec.ephemeralContainers[].name || \`[]\` }}"`,
  ];
  return [
    ...comment([
      ...header("Kyverno: the names of images in caches", selection),
      "Apply it with kubectl apply -f, where Kyverno is installed.",
      ...LIMITS,
      "The first that matches decides:",
      ...kept.map((rule) => `  ${ruleLine(rule)}${rule.rewrites ? "" : "; rewrite: Never, so that the name is kept"}`),
      ...leftOutLines([...selection.leftOut, ...out]),
    ]),
    "apiVersion: kyverno.io/v1",
    "kind: ClusterPolicy",
    "metadata:",
    `  name: entrepot-cached-names${registry === undefined ? "" : `-${registry}`}`,
    "  annotations:",
    "    pod-policies.kyverno.io/autogen-controllers: none # templates stay as they are",
    "spec:",
    "  background: false",
    "  rules:",
    ...ruleHead("new-pods", "Pod", "CREATE", excluded),
    ...foreach("containers", ["                jmesPath: &cachedName >-", ...names]),
    ...foreach("initContainers", again),
    ...ruleHead("new-ephemeral-containers", "Pod/ephemeralcontainers", "UPDATE", excluded),
    ...foreach("ephemeralContainers", again, isNew),
  ].join("\n");
}
