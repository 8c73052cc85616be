import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { Entry } from "../oci/tar.ts";
import { file, folder, text } from "../oci/tree.ts";

/** The user that our images run as: by number, because Kubernetes cannot check a name for `runAsNonRoot`. */
export const NONROOT = "65532:65532";

const CA_BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/** The certificate authorities that programs look for, where `SSL_CERT_FILE` says. */
export const CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt";

/** What every image has: users, name resolution order, certificate authorities, a temporary folder. */
export function baseFiles(): Entry[] {
  const bundle = CA_BUNDLES.find(existsSync);
  if (bundle === undefined)
    throw new Error(`no bundle of certificate authorities in ${CA_BUNDLES.join(", ")}: install ca-certificates`);
  return [
    text("etc/passwd", "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"),
    text("etc/group", "root:x:0:\nnonroot:x:65532:\n"),
    text("etc/nsswitch.conf", "hosts: files dns\n"),
    file(CA_BUNDLE, bundle),
    folder("tmp", 0o1777),
  ];
}

/** The shared libraries that a program needs, under the very names that its loader asks for, and on Debian the records of their packages, for scanners. */
export function libraries(elf: string): Entry[] {
  const paths = [...execFileSync("ldd", [elf], { encoding: "utf8" }).matchAll(/(\/\S+) \(0x/g)].flatMap(
    (match) => match[1] ?? [],
  );
  if (paths.length === 0) throw new Error(`ldd names no library of ${elf}`);
  return [...paths.map((path) => file(path, path, 0o755)), ...packageRecords(paths)];
}

/** What Debian says of the packages that own `paths`: their status, where images without dpkg keep it, and their licences. */
function packageRecords(paths: readonly string[]): Entry[] {
  const owners = query("-S", ...paths.flatMap((path) => [path, `/usr${path}`])); // the merged /usr: either name may be on record
  const names = new Set(["ca-certificates", ...[...owners.matchAll(/^(\S+): /gm)].flatMap((match) => match[1] ?? [])]);
  const statuses = query("-s", ...[...names].sort()).split(/\n\n(?=Package: )/);
  return statuses.flatMap((status) => {
    const name = /^Package: (\S+)$/m.exec(status)?.[1];
    if (name === undefined) return [];
    const copyright = `/usr/share/doc/${name}/copyright`;
    const record = text(`var/lib/dpkg/status.d/${name}`, `${status.trimEnd()}\n`);
    return [record, ...(existsSync(copyright) ? [file(copyright, copyright)] : [])];
  });
}

/** What dpkg-query answers: nothing where there is none; of several names, about those that it knows. */
function query(...args: string[]): string {
  return spawnSync("dpkg-query", args, { encoding: "utf8" }).stdout ?? "";
}
