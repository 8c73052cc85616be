import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatAccessDocument } from "../../core/gatewayaccess/document.ts";
import { ACCESS_FILE, UPSTREAMS_FILE } from "../../core/gatewayaccess/names.ts";
import { formatUpstreams } from "../../core/gatewayaccess/upstreams.ts";
import type { ClusterHandle, ExtraRegistry } from "../../test/support/cluster.ts";
import { LocalProduct } from "../local/product.ts";
import { password } from "./stage.ts";

/**
 * Where no node can run (no root, no Linux): operator, webhook and gateway as processes, and the CNCF distribution that the operator would run as a
 * Pod started by hand, with the same settings. What the kubelet would mount into the gateway is written into `directory`.
 */
export async function localProduct(
  cluster: ClusterHandle,
  upstream: ExtraRegistry,
  directory: string,
): Promise<LocalProduct> {
  console.log("No node can run here: operator, webhook and gateway run as processes against the control plane.");
  const remoteurl = `http://${upstream.address}`;
  const proxy = await cluster.startRegistry({ name: "proxy", proxy: { remoteurl, ...password({ upstream }) } });
  const mounted = join(directory, "gateway");
  mkdirSync(mounted);
  const direct = { host: upstream.address, plainHTTP: true, credentials: password({ upstream }) };
  writeFileSync(join(mounted, ACCESS_FILE), formatAccessDocument({ users: [] }));
  writeFileSync(join(mounted, UPSTREAMS_FILE), formatUpstreams([direct]));
  const gateway = { registry: "in-cluster", origins: { [upstream.address]: `http://${proxy.address}` } };
  return await LocalProduct.start(cluster, gateway, { gateway: { env: { ACCESS_DIR: mounted } } });
}
