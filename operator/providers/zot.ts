import type { Upstream } from "../../core/cacheregistry/types.ts";
import { isPlainHttp, upstreamUrl } from "../../core/cacheregistry/upstream.ts";
import { normaliseHost } from "../../core/image/reference.ts";
import { fieldsOf, parseJson } from "../../core/json.ts";
import { rulesNote } from "../../core/product/rendered.ts";
import { renderZot, ZOT_CREDENTIALS_KEY, zotCredentials, zotRefusal } from "../../core/product/zot.ts";
import { ZOT_FORMAT, zotDocument } from "../../core/product/zot-document.ts";
import { zotProblems } from "../../core/product/zot-validate.ts";
import { type CacheRegistryObject, REASON } from "../../crds/index.ts";
import type { ExaminedUpstream } from "../incluster/upstreams.ts";
import type { Pending, Refusal, RegistryPlanView, RuleRequest } from "./provider.ts";
import { mountedFile } from "./workload.ts";
import {
  type LiveRegistry,
  type OwnRegistry,
  pending,
  type RenderedContext,
  type WantedRegistry,
} from "./workload-config.ts";
import { WorkloadRegistry } from "./workload-registry.ts";
import { isOwnSecret, textsOf } from "./workload-secret.ts";

/**
 * A zot in this cluster: `extensions.sync` of its configuration is rendered from the rules, and its workload rolled. zot tells
 * nobody what it loaded, so that a rule is in sync means that it is rendered and that every Pod is newer than that.
 */
export class ZotRegistry extends WorkloadRegistry {
  readonly name = "zot";

  constructor(context: RenderedContext) {
    super(context, ZOT_FORMAT, "extensions.sync");
  }

  protected override block(registry: CacheRegistryObject): OwnRegistry | undefined {
    return registry.spec.zot;
  }

  protected override refusal(request: RuleRequest): Refusal | undefined {
    const message = zotRefusal(request.host, this.entry(request));
    return message === undefined ? undefined : { reason: "UnsupportedUpstream", message };
  }

  protected override readonly emptyCredentials = { [ZOT_CREDENTIALS_KEY]: "{}" };

  protected override render(
    registry: CacheRegistryObject,
    block: OwnRegistry,
    live: LiveRegistry,
    { rules }: RegistryPlanView,
    upstreams: readonly ExaminedUpstream[],
  ): WantedRegistry | Pending {
    const known = upstreams.map((one) =>
      one.kind === "upstream" ? one.upstream : this.#kept(registry, live, one.host),
    );
    const file = zotCredentials(known);
    const path = this.#credentialsPath(block, live, file !== undefined);
    if (typeof path === "object") return path;
    const { section, beaten } = renderZot(rules, new Map(known.map((one) => [one.host, one])), path);
    const text = this.config.preview(block, live, section);
    if (typeof text !== "string") return text;
    const [problem] = section === undefined ? [] : zotProblems(zotDocument(text));
    if (problem !== undefined) return pending(REASON.InvalidSpec, `zot would not take the configuration: ${problem}`);
    const noted = rules.map(({ rule }) => {
      const winner = beaten.get(rule.metadata.uid);
      return { rule, ...(winner !== undefined && { beaten: winner }) };
    });
    const credentials = file === undefined ? this.emptyCredentials : { [ZOT_CREDENTIALS_KEY]: file };
    return { section, credentials: { texts: credentials, required: file !== undefined }, rules: rulesNote(noted) };
  }

  /** Where zot finds its credentials, if there are any. */
  #credentialsPath(block: OwnRegistry, { workload }: LiveRegistry, any: boolean): string | Pending | undefined {
    const secret = block.credentialsSecretName;
    if (!any || secret === undefined) return undefined;
    const path = mountedFile(workload, secret, ZOT_CREDENTIALS_KEY);
    if (path !== undefined) return path;
    return pending(
      REASON.InvalidSpec,
      `${workload.kind} "${workload.metadata.name}" does not mount Secret "${secret}", into which upstream credentials are written; add a volume with it (optional: true) and mount it in zot's container`,
    );
  }

  /** An upstream whose Secret can't be read at the moment: with the credentials that zot has for it already. */
  #kept(registry: CacheRegistryObject, { secret }: LiveRegistry, host: string): Upstream {
    const entry = registry.spec.upstreams?.find((one) => normaliseHost(one.host) === host);
    const plainHTTP = isPlainHttp({ host, ...(entry?.plainHTTP !== undefined && { plainHTTP: entry.plainHTTP }) });
    const file = isOwnSecret(secret, registry) ? textsOf(secret)[ZOT_CREDENTIALS_KEY] : undefined;
    const known = fieldsOf(fieldsOf(parseJson(file ?? ""))?.[new URL(upstreamUrl({ host, plainHTTP })).host]);
    const { username, password } = known ?? {};
    const found = typeof username === "string" && typeof password === "string";
    return { host, plainHTTP, ...(found && { credentials: { username, password } }) };
  }

  protected override beatenMessage(winner: string): string {
    return `its names and those of CacheRule "${winner}" overlap, which is of another upstream or has other options: zot would answer a failure at one with the other's image; give it a target of its own`;
  }

  protected override mayRoll(): undefined {
    return undefined; // zot starts whether its upstreams answer or not
  }
}
