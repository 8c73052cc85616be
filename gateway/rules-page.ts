import { EMPTY_ROUTES, type RouteTable } from "../core/cacherule/routes.ts";
import type { BackendProbe } from "./probe.ts";

/** One served rule, as the operator reads it to tell whether the rule is Ready. */
export interface RulesPageEntry {
  readonly uid: string;
  readonly generation: number;
  readonly target: string;
  /** The origin of the backend that answers for it. */
  readonly backend: string;
  /** Whether that backend answers `/v2/` to this gateway. */
  readonly backendReady: boolean;
  /** Why not. */
  readonly reason?: string;
}

/** The body of `GET /-/rules`. */
export interface RulesPage {
  readonly registry: string;
  /** False before the rules are known for the first time: then `rules` is empty, and nothing is served. */
  readonly synced: boolean;
  readonly rules: Readonly<Record<string, RulesPageEntry>>;
  /** Rules marked Accepted that this gateway does not serve, with the reason. */
  readonly refused: Readonly<Record<string, string>>;
}

/** What this gateway serves at this moment, each backend asked for its health. Takes two seconds at most. */
export async function rulesPage(
  registry: string,
  known: RouteTable | undefined,
  probe: BackendProbe,
  originOf: (upstreamHost: string) => string,
): Promise<RulesPage> {
  const table = known ?? EMPTY_ROUTES;
  const health = await probe.check(table.routes.map((route) => originOf(route.mapping.source.host)));
  const entry = (route: RouteTable["routes"][number]): RulesPageEntry => {
    const backend = originOf(route.mapping.source.host);
    const state = health.get(backend);
    const { uid, generation, target } = route;
    return {
      uid,
      generation,
      target,
      backend,
      backendReady: state?.ready === true,
      ...(state?.ready === false && { reason: state.reason }),
    };
  };
  return {
    registry,
    synced: known !== undefined,
    rules: Object.fromEntries(table.routes.map((route) => [route.rule, entry(route)])),
    refused: Object.fromEntries(table.refused.map(({ rule, message }) => [rule, message])),
  };
}
