import { startServer } from "../../adapters/http/server.ts";
import { createLog } from "../../adapters/telemetry/log.ts";
import { buildRoutes } from "../../core/cacherule/routes.ts";
import type { CacheRuleView } from "../../core/cacherule/servable.ts";
import { parseCatalogRequest } from "../../core/gateway/catalog.ts";
import { Backends } from "../../gateway/backend.ts";
import { BackendCatalogs, CATALOG_LIMITS, type CatalogLimits, serveCatalog } from "../../gateway/catalog.ts";
import type { Cleanup } from "../integration/gateway-harness.ts";

export interface CatalogSettings {
  readonly origins: Readonly<Record<string, string>>;
  readonly rules: readonly CacheRuleView[];
  readonly mayList?: (upstreamHost: string, marked?: boolean) => boolean;
  readonly limits?: Partial<CatalogLimits>;
}

export interface CatalogAnswer {
  readonly status: number;
  readonly names: readonly string[];
  readonly headers: Headers;
  readonly text: string;
}

/** A gateway's catalogue on a port of its own; gives what asks it. `settings` may be changed between requests. */
export async function startCatalog(
  cleanup: Cleanup,
  settings: CatalogSettings,
): Promise<(query?: string, method?: string) => Promise<CatalogAnswer>> {
  const backends = new Backends();
  const catalogs = new BackendCatalogs(backends, { ...CATALOG_LIMITS, ...settings.limits });
  const server = await startServer({
    port: 0,
    host: "127.0.0.1",
    log: createLog("gateway", "error"),
    handler: async (req, res) => {
      const parsed = parseCatalogRequest(req.method ?? "", req.url ?? "");
      if (parsed === undefined) return void res.writeHead(404).end();
      await serveCatalog(
        {
          registry: "main",
          table: buildRoutes(settings.rules, "main"),
          catalogs,
          originOf: (host) => settings.origins[host] ?? "http://127.0.0.1:9",
          mayList: settings.mayList ?? (() => true),
        },
        parsed,
        res,
      );
    },
  });
  cleanup.add(() => backends.close());
  cleanup.add(() => server.close());
  return async (query = "", method = "GET") => {
    const answer = await fetch(`http://127.0.0.1:${server.port}/v2/_catalog${query}`, { method });
    const text = await answer.text();
    const { repositories = [] } =
      answer.status === 200 && text !== "" ? (JSON.parse(text) as { repositories: string[] }) : {};
    return { status: answer.status, names: repositories, headers: answer.headers, text };
  };
}
