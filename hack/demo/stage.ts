import type { ClusterHandle, ExtraRegistry } from "../../test/support/cluster.ts";
import type { LocalProduct } from "../local/product.ts";
import type { Terminal } from "./terminal.ts";

/** What the chapters of the demo share. */
export interface Stage {
  readonly cluster: ClusterHandle;
  readonly terminal: Terminal;
  /** The private upstream registry. */
  readonly upstream: ExtraRegistry;
  /** A folder for the demo's files. */
  readonly directory: string;
  /** The name by which the cache is pulled from. */
  readonly pullHost: string;
  /** The product as processes, where no node can run its Pods. */
  readonly local?: LocalProduct;
}

/** The password of the private upstream, which the demo has just made. */
export function password({ upstream }: Pick<Stage, "upstream">): {
  readonly username: string;
  readonly password: string;
} {
  if (upstream.user === undefined) throw new Error("the upstream registry asks for no user");
  return upstream.user;
}
