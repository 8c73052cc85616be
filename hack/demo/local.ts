import type { ClusterHandle, ExtraRegistry } from "../../test/support/cluster.ts";
import { LocalProduct } from "../local/product.ts";
import { password } from "./stage.ts";

/**
 * Where no node can run (no root, no Linux): operator, webhook and gateway as processes, and the CNCF distribution that the operator would run as a
 * Pod started by hand, with the same settings.
 */
export async function localProduct(cluster: ClusterHandle, upstream: ExtraRegistry): Promise<LocalProduct> {
  console.log("No node can run here: operator, webhook and gateway run as processes against the control plane.");
  const remoteurl = `http://${upstream.address}`;
  const proxy = await cluster.startRegistry({ name: "proxy", proxy: { remoteurl, ...password({ upstream }) } });
  return await LocalProduct.start(cluster, {
    registry: "in-cluster",
    origins: { [upstream.address]: `http://${proxy.address}` },
  });
}
