// Where images stand in objects, what is named how, and what happens to an object that exists.
import { type Kind, pod, type Row, type Scenario, workload } from "./model.ts";
import { by } from "./rows-authorities.ts";

const KINDS: readonly Kind[] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"];

const ofKind = (kind: Kind): readonly Row[] => [
  { name: `${kind}, signed`, ask: (at) => workload(kind, at.image("signed").pinned), theirs: "admitted" },
  {
    name: `${kind}, unsigned`,
    ask: (at) => workload(kind, at.image("unsigned").pinned),
    theirs: { refused: "template.spec.containers[0].image" },
  },
  {
    name: `${kind}, by tag`,
    ask: (at) => workload(kind, at.image("signed").tagged),
    theirs: "admitted",
    differs: { because: "pins-are-on-pods", ours: "admitted" },
  },
];

const NOT_ROOT = { spec: { paused: true, replicas: 3 } };

export const workloads: readonly Scenario[] = [
  {
    name: "kinds",
    images: ["signed", "unsigned"],
    policies: (at) => ({ p: { images: [{ glob: at.glob }], authorities: [by(at, "a")] } }),
    rows: [
      ...KINDS.flatMap(ofKind),
      {
        name: "a namespace that takes no part",
        exempt: true,
        ask: (at) => pod(at.image("unsigned").tagged),
        theirs: "admitted",
      },
      {
        name: "an unsigned tag",
        ask: (at) => pod(at.image("unsigned").tagged),
        theirs: { refused: "unsigned:v1@sha256:" },
      },
      {
        name: "an unsigned tag and digest",
        ask: (at) => pod(at.image("unsigned").both),
        theirs: { refused: "unsigned:v1@sha256:" },
      },
      {
        name: "two containers, one unsigned",
        ask: (at) => pod([at.image("signed").pinned, at.image("unsigned").pinned]),
        theirs: { refused: "spec.containers[1].image" },
      },
      {
        name: "two containers, both unsigned",
        ask: (at) => pod([at.image("unsigned").pinned, at.image("unsigned").pinned]),
        theirs: { refused: "spec.containers[0].image, spec.containers[1].image" },
      },
      {
        name: "an init container",
        ask: (at) =>
          pod(at.image("signed").pinned, {
            podSpec: { initContainers: [{ name: "i", image: at.image("unsigned").pinned }] },
          }),
        theirs: { refused: "spec.initContainers[0].image" },
      },
      {
        name: "an init container and a container",
        ask: (at) =>
          pod(at.image("unsigned").pinned, {
            podSpec: { initContainers: [{ name: "i", image: at.image("unsigned").pinned }] },
          }),
        theirs: { refused: "spec.containers[0].image, spec.initContainers[0].image" },
      },
      {
        name: "an image volume",
        ask: (at) =>
          pod(at.image("signed").pinned, {
            podSpec: { volumes: [{ name: "v", image: { reference: at.image("unsigned").pinned } }] },
          }),
        theirs: "admitted",
        differs: { because: "image-volumes", ours: { refused: "spec.volumes[0].image" } },
      },
      {
        name: "an unsigned ephemeral container",
        before: (at) => pod(at.image("signed").pinned),
        subresource: "ephemeralcontainers",
        ask: (at) => ephemeral(at.image("unsigned").pinned),
        theirs: { refused: "spec.ephemeralContainers[0].image" },
      },
      {
        name: "a signed ephemeral container",
        before: (at) => pod(at.image("signed").pinned),
        subresource: "ephemeralcontainers",
        ask: (at) => ephemeral(at.image("signed").pinned),
        theirs: "admitted",
      },
      {
        name: "a signed ephemeral container by tag",
        before: (at) => pod(at.image("signed").pinned),
        subresource: "ephemeralcontainers",
        ask: (at) => ephemeral(at.image("signed").tagged),
        theirs: { refused: "must be an image digest: spec.ephemeralContainers[0].image" },
        differs: { because: "ephemeral-containers", ours: "admitted" },
      },
      {
        name: "a new unsigned image for a Deployment",
        before: (at) => workload("Deployment", at.image("signed").pinned, NOT_ROOT),
        ask: (at) =>
          patched({ template: { spec: { containers: [{ name: "c0", image: at.image("unsigned").pinned }] } } }),
        theirs: { refused: "spec.template.spec.containers[0].image" },
      },
      {
        name: "scaling down what is unsigned",
        before: (at) => workload("Deployment", at.image("unsigned").pinned, NOT_ROOT),
        ask: () => patched({ replicas: 1 }),
        theirs: "admitted",
      },
      {
        name: "scaling up what is unsigned",
        before: (at) => workload("Deployment", at.image("unsigned").pinned, NOT_ROOT),
        ask: () => patched({ replicas: 5 }),
        theirs: { refused: "failed policy: kinds-p" },
        differs: { because: "unchanged-images", ours: "admitted" },
      },
      {
        name: "scaling down with a new unsigned image",
        before: (at) => workload("Deployment", at.image("signed").pinned, NOT_ROOT),
        ask: (at) =>
          patched({
            replicas: 1,
            template: { spec: { containers: [{ name: "c0", image: at.image("unsigned").pinned }] } },
          }),
        theirs: "admitted",
        differs: { because: "scale-down", ours: { refused: "failed policy: kinds-p" } },
      },
      {
        name: "a label on what is signed",
        before: (at) => pod(at.image("signed").pinned),
        ask: () => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "x", labels: { l: "new" } }, spec: {} }),
        theirs: "admitted",
      },
      {
        name: "a label on what is unsigned",
        before: (at) => pod(at.image("unsigned").pinned),
        ask: () => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "x", labels: { l: "new" } }, spec: {} }),
        theirs: { refused: "no signatures found" },
        differs: { because: "unchanged-images", ours: "admitted" },
      },
    ],
  },
  {
    name: "pins-everywhere",
    config: { "dev.entrepot.resolve-digests": "all" }, // which policy-controller does not know, and always does
    images: ["signed"],
    policies: (at) => ({ p: { images: [{ glob: at.glob }], authorities: [by(at, "a")] } }),
    rows: [
      ...(["Pod", ...KINDS] as const).map(
        (kind): Row => ({
          name: `${kind}, by tag`,
          ask: (at) => workload(kind, at.image("signed").tagged),
          theirs: "admitted",
        }),
      ),
    ],
  },
  {
    name: "references",
    images: ["signed"],
    policies: (at) => ({ p: { images: [{ glob: at.glob }], authorities: [by(at, "a")] } }),
    rows: [
      {
        name: "none",
        ask: () => pod("not a reference"),
        theirs: { refused: "could not parse reference: " },
        differs: { because: "reference-errors", ours: { refused: "could not parse reference: " } },
      },
      {
        name: "capital letters",
        ask: (at) => pod(`${at.prefix}/Signed:v1`),
        theirs: { refused: "could not parse reference: " },
        differs: { because: "reference-errors", ours: { refused: "could not parse reference: " } },
      },
      {
        name: "a short digest",
        ask: (at) => pod(`${at.prefix}/signed@sha256:abc`),
        theirs: { refused: "could not parse reference: " },
        differs: { because: "reference-errors", ours: { refused: "could not parse reference: " } },
      },
      {
        name: "a repository of one letter",
        ask: () => pod(`references.invalid/x@sha256:${"1".repeat(64)}`),
        theirs: { refused: "could not parse reference: " },
        differs: { because: "one-letter-repositories", ours: { refused: "no matching policies: " } },
      },
      {
        name: "a digest that is not there",
        ask: (at) => pod(`${at.prefix}/signed@sha256:${"1".repeat(64)}`),
        theirs: { refused: "no signatures found" },
      },
    ],
  },
];

function ephemeral(image: string) {
  const container = { name: "debug", image, targetContainerName: "c0" };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "x" },
    spec: { ephemeralContainers: [container] },
  } as const;
}

function patched(spec: object) {
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "x" }, spec } as const;
}
