// Builds the image of Entrepot without Docker: node hack/image.ts [--push HOST/REPOSITORY:TAG]; writes an OCI layout to out/image.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { entrepotImage } from "./images/entrepot.ts";
import { push } from "./oci/push.ts";
import { BlobStore } from "./oci/store.ts";
import { ensurePolicyEngine } from "./policy-engine.ts";
import { settingsFrom } from "./testcluster/settings.ts";

const { values } = parseArgs({ options: { push: { type: "string" } } });
const settings = settingsFrom(process.env);
const { root, cache } = settings;
const began = performance.now();
const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;

const store = new BlobStore(join(cache, "oci"));
const image = entrepotImage(store, root, cache, await ensurePolicyEngine(settings));
const out = join(root, "out/image");
store.export(image, "dev", out);
const { layers } = store.manifest(image.digest);
const megabytes = layers.reduce((sum, layer) => sum + layer.size, 0) / 1e6;
console.error(`out/image: ${layers.length} layers, ${megabytes.toFixed(1)} MB compressed, ${seconds()}`);
if (values.push !== undefined) {
  const [, registry, repository, tag] = /^([^/]+)\/(.+):([^:/]+)$/.exec(values.push) ?? [];
  if (!registry || !repository || !tag) throw new Error(`--push ${values.push}: want HOST/REPOSITORY:TAG`);
  const { sent, bytes } = await push(store, image, { registry: `http://${registry}`, repository, tag });
  console.error(`pushed to ${values.push}: ${sent} blobs, ${(bytes / 1e6).toFixed(1)} MB sent, ${seconds()}`);
}
console.log(image.digest);
