import type { BlobStore, Descriptor } from "../oci/store.ts";
import { file, text } from "../oci/tree.ts";
import { NONROOT } from "./debian.ts";

/** An image that does nothing until it is stopped. Each `marker` gives an image of its own digest. `pause` is the static binary. */
export function workloadImage(store: BlobStore, pause: string, marker: string): Descriptor {
  const layers = [
    store.layer("pause", [file("pause", pause, 0o755)]),
    store.layer("marker", [text("marker", `${marker}\n`)]),
  ];
  return store.image(layers, { User: NONROOT, Entrypoint: ["/pause"] });
}

/** The image that holds a Pod's namespaces. */
export function pauseImage(store: BlobStore, pause: string): Descriptor {
  return store.image([store.layer("pause", [file("pause", pause, 0o755)])], { User: NONROOT, Entrypoint: ["/pause"] });
}
