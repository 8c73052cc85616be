import type { BlobStore, Descriptor } from "../oci/store.ts";
import { file, folder, text } from "../oci/tree.ts";
import { baseFiles, CA_BUNDLE, NONROOT } from "./debian.ts";

const DEFAULT_CONFIG = `version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}
http: {addr: ":5000"}
`;

/** CNCF distribution, started as its official image is (`registry serve /etc/distribution/config.yml`), but not as root. `binary` is static. */
export function distributionImage(store: BlobStore, binary: string): Descriptor {
  const layers = [
    store.layer("base", [
      ...baseFiles(),
      folder("var/lib/registry", 0o777),
      text("etc/distribution/config.yml", DEFAULT_CONFIG),
    ]),
    store.layer("registry", [file("bin/registry", binary, 0o755)]),
  ];
  return store.image(layers, {
    User: NONROOT,
    Entrypoint: ["registry"],
    Cmd: ["serve", "/etc/distribution/config.yml"],
    Env: ["PATH=/bin", "OTEL_TRACES_EXPORTER=none", `SSL_CERT_FILE=/${CA_BUNDLE}`],
  });
}
