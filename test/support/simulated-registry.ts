import { ProductProvider } from "../../operator/providers/product.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";
import { SimulatedProduct } from "./simulated-product.ts";

/** `restart` ends the operator and starts another one over the same objects and the same product; gives the cluster as it is then. */
type Use = (
  cluster: SimulatedCluster,
  product: SimulatedProduct,
  restart: () => Promise<SimulatedCluster>,
) => Promise<void>;

/** Runs `use` with a CacheRegistry `main` of a simulated product, just made, under the real reconcilers. */
export async function withCluster(use: Use): Promise<void> {
  const product = new SimulatedProduct();
  const provider = () => new ProductProvider(product);
  let cluster = new SimulatedCluster(provider());
  const restart = async (): Promise<SimulatedCluster> => {
    await cluster.stop();
    cluster = new SimulatedCluster(provider(), cluster);
    return cluster;
  };
  try {
    cluster.applyRegistry("main", {});
    await use(cluster, product, restart);
  } finally {
    await cluster.stop();
  }
}

/** The same, some seconds later. */
export async function withRestedCluster(use: Use): Promise<void> {
  await withCluster(async (cluster, ...more) => {
    await cluster.advance(10);
    await use(cluster, ...more);
  });
}
