import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { arch, platform } from "node:os";
import { join } from "node:path";
import { goBuild } from "./gobuild.ts";
import { withLock } from "./lock.ts";
import { startProgress } from "./progress.ts";
import type { Settings } from "./settings.ts";

export type ToolName =
  | "kube"
  | "registry"
  | "cosign"
  | "pause"
  | "policycontroller"
  | "fulcio"
  | "timestampauthority"
  | "rekortiles"
  | "vault"
  | "helm"
  | "kyverno"
  | "crane"
  | "referrers"
  | "argocd";

interface Recipe {
  readonly folder: string;
  /** The module in go.mod whose version is the tool's. */
  readonly versioned?: string;
  readonly target: string;
  readonly cgo: boolean;
  readonly ldflags: (version: string) => string;
}

const VERSION_OF_KUBERNETES = "k8s.io/component-base/version";

// Versions are not here but in each folder's go.mod.
const RECIPES: Readonly<Record<ToolName, Recipe>> = {
  kube: {
    folder: "kubernetes",
    versioned: "k8s.io/kubernetes",
    target: ".",
    cgo: true,
    ldflags: (version) => {
      const [major, minor] = version.slice(1).split(".");
      return `-X ${VERSION_OF_KUBERNETES}.gitVersion=${version} -X ${VERSION_OF_KUBERNETES}.gitMajor=${major} -X ${VERSION_OF_KUBERNETES}.gitMinor=${minor}`;
    },
  },
  registry: {
    folder: "registry",
    versioned: "github.com/distribution/distribution/v3",
    target: "github.com/distribution/distribution/v3/cmd/registry",
    cgo: false,
    ldflags: (version) => `-X github.com/distribution/distribution/v3/version.version=${version}`,
  },
  cosign: {
    folder: "cosign",
    versioned: "github.com/sigstore/cosign/v3",
    target: "github.com/sigstore/cosign/v3/cmd/cosign",
    cgo: false,
    ldflags: (version) => `-X sigs.k8s.io/release-utils/version.gitVersion=${version}`,
  },
  policycontroller: {
    folder: "policycontroller",
    versioned: "github.com/sigstore/policy-controller",
    target: "github.com/sigstore/policy-controller/cmd/webhook",
    cgo: false,
    ldflags: () => "",
  },
  fulcio: {
    folder: "fulcio",
    versioned: "github.com/sigstore/fulcio",
    target: "github.com/sigstore/fulcio",
    cgo: false,
    ldflags: () => "",
  },
  timestampauthority: {
    folder: "timestampauthority",
    versioned: "github.com/sigstore/timestamp-authority/v2",
    target: ".",
    cgo: false,
    ldflags: () => "",
  },
  rekortiles: {
    folder: "rekortiles",
    versioned: "github.com/sigstore/rekor-tiles/v2",
    target: "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
    cgo: false,
    ldflags: () => "",
  },
  vault: { folder: "vault", versioned: "github.com/hashicorp/vault", target: ".", cgo: false, ldflags: () => "" },
  helm: {
    folder: "helm",
    versioned: "helm.sh/helm/v4",
    target: "helm.sh/helm/v4/cmd/helm",
    cgo: false,
    ldflags: (version) => `-X helm.sh/helm/v4/internal/version.version=${version}`,
  },
  kyverno: {
    folder: "kyverno",
    versioned: "github.com/kyverno/kyverno",
    target: "github.com/kyverno/kyverno/cmd/kyverno",
    cgo: false,
    ldflags: (version) => `-X github.com/kyverno/kyverno/pkg/version.BuildVersion=${version}`,
  },
  crane: {
    folder: "crane",
    versioned: "github.com/google/go-containerregistry",
    target: "github.com/google/go-containerregistry/cmd/crane",
    cgo: false,
    ldflags: (version) => `-X github.com/google/go-containerregistry/cmd/crane/cmd.Version=${version}`,
  },
  referrers: {
    folder: "referrers",
    versioned: "github.com/google/go-containerregistry",
    target: ".",
    cgo: false,
    ldflags: () => "",
  },
  argocd: {
    folder: "argocd",
    versioned: "github.com/argoproj/argo-cd/v3",
    target: ".",
    cgo: false,
    ldflags: (version) => `-X github.com/argoproj/argo-cd/v3/common.version=${version.slice(1)}`,
  },
  pause: { folder: "pause", target: ".", cgo: false, ldflags: () => "" },
};

/** The names that the multi-call binary answers to. */
export const KUBE_PARTS = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kubelet",
  "kube-proxy",
  "kubectl",
  "coredns",
] as const;

/** The version of a tool, from its go.mod (`v1.2.3`); `v0` for what is ours. */
export function toolVersion(settings: Settings, tool: ToolName): string {
  const { folder, versioned } = RECIPES[tool];
  if (versioned === undefined) return "v0";
  const mod = readFileSync(join(settings.root, "hack/tools", folder, "go.mod"), "utf8");
  const version = new RegExp(`^(?:require)?\\s+${versioned.replaceAll(".", "\\.")} (v\\S+)`, "m").exec(mod)?.[1];
  if (version === undefined) throw new Error(`hack/tools/${folder}/go.mod requires no ${versioned}`);
  return version;
}

/** The folder of a built tool; its name changes with whatever the binary depends on. */
export function toolDir(settings: Settings, tool: ToolName): string {
  const recipe = RECIPES[tool];
  const version = toolVersion(settings, tool);
  const hash = createHash("sha256").update(
    JSON.stringify([recipe.target, recipe.cgo, recipe.ldflags(version), platform(), arch()]),
  );
  const folder = join(settings.root, "hack/tools", recipe.folder);
  for (const file of readdirSync(folder)
    .filter((name) => /\.go$|^go\.(mod|sum)$/.test(name))
    .sort()) {
    hash.update(`\0${file}\0`).update(readFileSync(join(folder, file)));
  }
  return join(settings.cache, `${tool}-${version}-${hash.digest("hex").slice(0, 12)}`);
}

/** The path of a tool's binary; builds it if the cache has none. Two processes never build the same tool at once. */
export async function ensureTool(settings: Settings, tool: ToolName): Promise<string> {
  const dir = toolDir(settings, tool);
  const binary = join(dir, tool);
  if (existsSync(binary)) return binary;
  const what = `${tool} ${toolVersion(settings, tool)}`;
  return withLock(
    join(settings.cache, "build"), // one at a time: the compiler uses all cores by itself
    async () => {
      if (!existsSync(binary)) await build(settings, tool, dir, what);
      return binary;
    },
    () => process.stderr.write(`${what}: another run is building; waiting for it\n`),
  );
}

async function build(settings: Settings, tool: ToolName, dir: string, what: string): Promise<void> {
  const recipe = RECIPES[tool];
  const unfinished = `${dir}.tmp`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  const progress = startProgress(`Building ${what}`);
  const version = toolVersion(settings, tool);
  await goBuild(
    {
      module: join(settings.root, "hack/tools", recipe.folder),
      target: recipe.target,
      ldflags: `-s -w ${recipe.ldflags(version)}`.trim(),
      cgo: recipe.cgo,
      output: join(unfinished, tool),
    },
    progress,
  );
  if (tool === "kube") for (const part of KUBE_PARTS) symlinkSync("kube", join(unfinished, part));
  renameSync(unfinished, dir);
  progress.done(`built into ${dir}`);
}
