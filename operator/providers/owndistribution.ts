import { shownHost } from "../../core/cacheregistry/upstream.ts";
import {
  DISTRIBUTION_FORMAT,
  distributionCredentials,
  distributionSection,
  distributionShape,
  distributionUpstream,
  PASSWORD_VARIABLE,
  USERNAME_VARIABLE,
} from "../../core/product/owndistribution.ts";
import { rulesNote } from "../../core/product/rendered.ts";
import { type CacheRegistryObject, REASON } from "../../crds/index.ts";
import { canRoll, type ExaminedUpstream, hostOf } from "../incluster/upstreams.ts";
import type { Pending, Refusal, RegistryPlanView, RuleRequest } from "./provider.ts";
import { hasVariable } from "./workload.ts";
import {
  type LiveRegistry,
  type OwnRegistry,
  pending,
  type RenderedContext,
  type WantedRegistry,
} from "./workload-config.ts";
import { WorkloadRegistry } from "./workload-registry.ts";

/**
 * A CNCF distribution in this cluster: `proxy.remoteurl` of its `config.yml` is rendered from its one rule, `<host>/*` to `*`, and its
 * workload rolled. Credentials reach it as environment variables from a Secret that the workload names.
 */
export class OwnDistributionRegistry extends WorkloadRegistry {
  readonly name = "distribution";
  readonly limit = 1;

  constructor(context: RenderedContext) {
    super(context, DISTRIBUTION_FORMAT, "proxy.remoteurl");
  }

  protected override block(registry: CacheRegistryObject): OwnRegistry | undefined {
    return registry.spec.distribution;
  }

  protected override refusal(request: RuleRequest): Refusal | undefined {
    const shape = distributionShape(request.mapping);
    if (shape !== undefined) return { reason: "UnsupportedShape", message: shape };
    const message = distributionUpstream(request.host, this.entry(request));
    return message === undefined ? undefined : { reason: "UnsupportedUpstream", message };
  }

  protected override readonly emptyCredentials = { [USERNAME_VARIABLE]: "", [PASSWORD_VARIABLE]: "" };

  protected override render(
    _registry: CacheRegistryObject,
    block: OwnRegistry,
    live: LiveRegistry,
    { rules }: RegistryPlanView,
    upstreams: readonly ExaminedUpstream[],
  ): WantedRegistry | Pending {
    const empty = { texts: this.emptyCredentials, required: false };
    const [request, ...others] = rules;
    if (request === undefined) return { section: undefined, credentials: empty, rules: "" };
    const examined = upstreams.find((one) => hostOf(one) === request.host);
    if (examined?.kind !== "upstream") {
      return pending(
        examined?.reason ?? REASON.Unknown,
        examined?.message ?? `upstream ${shownHost(request.host)} is not in the plan`,
      );
    }
    const texts = distributionCredentials(examined.upstream);
    const missing = this.#missingVariable(block, live, texts ?? {});
    if (missing !== undefined) return missing;
    const name = request.rule.metadata.name;
    const noted = [{ rule: request.rule }, ...others.map(({ rule }) => ({ rule, beaten: name }))];
    return {
      section: distributionSection(examined.upstream),
      credentials: texts === undefined ? empty : { texts, required: true },
      rules: rulesNote(noted),
    };
  }

  #missingVariable({ credentialsSecretName: secret }: OwnRegistry, { workload }: LiveRegistry, texts: object) {
    if (secret === undefined) return undefined;
    const missing = Object.keys(texts).find((name) => !hasVariable(workload, secret, name));
    if (missing === undefined) return undefined;
    return pending(
      REASON.InvalidSpec,
      `${workload.kind} "${workload.metadata.name}" does not take ${missing} from Secret "${secret}", into which upstream credentials are written; add envFrom with a secretRef to it (optional: true)`,
    );
  }

  protected override beatenMessage(winner: string): string {
    return `a CNCF distribution serves one rule, and has CacheRule "${winner}"; use another CacheRegistry`;
  }

  /** A distribution asks its upstream when it starts, and ends without an answer: Pods that run are left alone until there is one. */
  protected override mayRoll(upstreams: readonly ExaminedUpstream[]): Pending | undefined {
    const one = upstreams.find((upstream) => upstream.kind === "upstream" && !canRoll(upstream));
    if (one?.kind !== "upstream") return undefined;
    const why = one.health.kind === "reachable" ? "it does not answer" : one.health.message;
    return pending(
      REASON.UpstreamUnreachable,
      `upstream ${shownHost(hostOf(one))} can't be reached: ${why}. The workload is left as it is: a distribution does not start without its upstream`,
    );
  }
}
