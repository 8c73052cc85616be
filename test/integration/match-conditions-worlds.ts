// The webhook code in this process, in every state of its world: which policies, the cache on or off, everything passing or nothing.
import type { AdmissionRequest } from "../../core/admission/request.ts";
import { WORKLOAD_KINDS } from "../../core/admission/workload.ts";
import { joinReads, type PolicyReads, readsOf } from "../../core/webhookconfig/reads.ts";
import { APP, annotation, Outside, type Replica, replica, SIGNED, workload } from "../support/scripted-admission.ts";
import type { Phase } from "./match-conditions-harness.ts";
import type { Seals } from "./match-conditions-stage.ts";

const JUDGED = { type: "cue", data: "x" };
const IMAGES = { images: [{ glob: "ghcr.io/team/**" }] };
const PASS = [{ static: { action: "pass" } }];
/** Objects come under these, and leave them, by a label. */
const LABELLED = {
  match: WORKLOAD_KINDS.map(({ group, versions: [version], plural: resource }) => ({
    ...{ group, version, resource },
    selector: { matchLabels: { tier: "b" } },
  })),
};
const POLICIES: readonly (readonly object[])[] = [
  [{ images: [{ glob: "nowhere.example/**" }] }],
  [{}, { policy: { ...JUDGED, includeTypeMeta: true, fetchConfigFile: true }, authorities: PASS }],
  [{ policy: { ...JUDGED, includeSpec: true } }],
  [{ policy: { ...JUDGED, includeObjectMeta: true } }],
  [{ policy: { ...JUDGED, includeSpec: true } }, { policy: { ...JUDGED, includeObjectMeta: true }, authorities: PASS }],
  [{ ...LABELLED, policy: { ...JUDGED, includeSpec: true } }, LABELLED],
  [{ ...LABELLED, policy: { ...JUDGED, includeTypeMeta: true }, authorities: PASS }],
];

export interface World {
  readonly name: string;
  readonly reads: PolicyReads;
  readonly webhook: Replica;
}

async function world(policies: readonly object[], flag: string, good: boolean): Promise<Omit<World, "name">> {
  const outside = new Outside();
  const tags = [APP, "ghcr.io/team/init:v1", "ghcr.io/team/data:v1"];
  outside.tags = new Map(good ? tags.map((tag) => [tag, SIGNED]) : []);
  if (!good) {
    outside.outcome = () => ({ kind: "failed", message: "no signatures found" });
    outside.evaluation = () => ({ kind: "undecided", message: "no time left" });
  }
  const [spec = {}, ...rest] = policies;
  const data = { "dev.entrepot.resolve-digests": good ? "all" : "pods" };
  const others = rest.map((other) => ({ ...IMAGES, ...other }));
  const reads = joinReads(policies.map((one) => readsOf({ spec: { ...IMAGES, ...one } })));
  return { reads, webhook: await replica(outside, { flag, spec, data, others }) };
}

export async function worlds(): Promise<readonly World[]> {
  const found: World[] = [];
  for (const [index, policies] of POLICIES.entries())
    for (const flag of ["true", "false"])
      for (const good of [true, false]) {
        const name = `policies ${index}, cache ${flag}, ${good ? "all passes" : "nothing passes"}`;
        found.push({ name, ...(await world(policies, flag, good)) });
      }
  return found;
}

/** Seals of these worlds, for two images. */
export async function seals(): Promise<Seals> {
  const { webhook } = await world(POLICIES[1] ?? [], "true", true);
  const sealOf = async (image: string) => {
    const { object } = await webhook.send("CREATE", workload("Deployment", "d", image));
    return annotation(object) ?? "";
  };
  return { own: await sealOf(APP), other: await sealOf("ghcr.io/team/init:v1") };
}

/** Whether the code has anything to say about a request: a patch, a warning, a refusal. */
export async function speaks({ webhook }: World, phase: Phase, request: AdmissionRequest): Promise<boolean> {
  const { allowed, patch, warnings } = await webhook.ask(phase === "mutate" ? "/mutations" : "/validations", request);
  return !allowed || patch !== undefined || (warnings ?? []).length > 0;
}
