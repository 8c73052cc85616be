import type { ApiServer } from "../test/support/api-server.ts";

/** How many requests the API server has answered, less those that are nobody's admission: see `countRequests`. */
export async function kubeRequests(api: ApiServer): Promise<number> {
  return countRequests(String(await api.must({ method: "GET", path: "/metrics" })));
}

/**
 * Sums `apiserver_request_total` on a metrics page without Pods created on trial (the bench's own), renewals of leases, watches (counted when they
 * end, whenever that is) and requests for no resource (health, discovery, this page).
 */
export function countRequests(page: string): number {
  let sum = 0;
  for (const line of page.split("\n")) {
    if (!line.startsWith("apiserver_request_total{")) continue;
    const labels = labelsOf(line);
    const isTrial = labels.get("resource") === "pods" && labels.get("dry_run") === "All";
    const isNobodys =
      labels.get("resource") === "" || labels.get("resource") === "leases" || labels.get("verb") === "WATCH";
    if (!isTrial && !isNobodys) sum += Number(line.slice(line.lastIndexOf(" ")));
  }
  return sum;
}

function labelsOf(line: string): ReadonlyMap<string, string> {
  const pairs = [...line.matchAll(/(\w+)="([^"]*)"/g)];
  return new Map(pairs.map(([, name = "", value = ""]) => [name, value]));
}
