/** Objects of entrepot.dev that the API server must take and must refuse, with what it must say. */

import { INVALID_CACHE_SPECS, INVALID_CACHE_UPDATES, VALID_CACHE_SPECS } from "./crd-cases-cache.ts";
import { INVALID_RULE_SPECS, INVALID_RULE_UPDATES, VALID_RULE_SPECS } from "./crd-cases-products.ts";
import { BAD_REGISTRIES } from "./crd-cases-registries.ts";
import { BAD_RULES } from "./crd-cases-rules.ts";
import {
  ARN,
  artifactRegistry,
  azure,
  claim,
  ecr,
  harbor,
  type InvalidObject,
  type InvalidUpdate,
  inCluster,
  own,
  PEM,
  ROLE,
  registry,
  rule,
  SECRET,
  VAULT,
  type ValidObject,
  VERSION,
} from "./crd-objects.ts";

export const VALID_OBJECTS: readonly ValidObject[] = [
  { name: "an exact rule", object: rule() },
  { name: "a rule without library/", object: rule({ source: "docker.io/nginx" }) },
  { name: "a rule for a path", object: rule({ source: "ghcr.io/acme/*", target: "acme/*" }) },
  { name: "a rule for a path to the root", object: rule({ source: "ghcr.io/acme/*", target: "*" }) },
  { name: "a rule for a host", object: rule({ source: "quay.io/*", target: "quay/*" }) },
  {
    name: "a rule for a host with a port",
    object: rule({ source: "registry.local:5000/a/b_c/d--e", target: "a.b/c__d" }),
  },
  { name: "a rule for localhost", object: rule({ source: "localhost/a" }) },
  {
    name: "a rule with everything",
    object: rule({
      refresh: { interval: "1h30m", tags: [{ glob: "v1.*" }, { semver: ">=1.0.0 <2" }], keep: 3 },
      rewrite: "Never",
      deletionPolicy: "Retain",
      adoptionPolicy: "Never",
      suspend: true,
    }),
  },
  {
    name: "a rule of the longest names",
    object: rule({ source: `ghcr.io/${"a".repeat(247)}`, target: "b".repeat(255) }),
  },
  { name: "an in-cluster registry", object: inCluster() },
  { name: "one by a host name", object: inCluster({ pullHost: "cache.example.com" }) },
  {
    name: "one with everything",
    object: inCluster(
      {
        replicas: 3,
        image: "registry.example.com/distribution:3.0.0",
        service: { type: "NodePort", nodePort: 30500 },
        storage: { persistentVolumeClaim: { size: "10Gi", storageClassName: "fast", accessModes: ["ReadWriteOnce"] } },
        ttl: "0s",
      },
      {
        upstreams: [
          { host: "docker.io", credentials: SECRET },
          { host: "registry.local:5000", plainHTTP: true, credentials: SECRET },
          { host: "harbor.example.com", caBundle: PEM },
          { host: "plain.example.com", plainHTTP: false, caBundle: PEM },
        ],
        limit: 100,
        driftInterval: "10s",
      },
    ),
  },
  { name: "one with a claim of fractions", object: claim({ size: "1.5Ti" }) },
  { name: "one with a limited emptyDir", object: inCluster({ storage: { emptyDir: { sizeLimit: "5Gi" } } }) },
  {
    name: "Azure",
    object: registry({
      ...azure({ endpoint: "https://management.chinacloudapi.cn" }),
      upstreams: [
        { host: "docker.io", credentials: VAULT },
        { host: "ghcr.io", credentials: { credentialSetName: "hub-creds" } },
      ],
    }),
  },
  { name: "Azure with a client secret", object: registry(azure({ auth: { clientSecretRef: { name: "s" } } })) },
  {
    name: "Amazon",
    object: registry({
      ...ecr(),
      upstreams: [
        { host: "docker.io", credentials: { secretsManagerArn: ARN } },
        { host: "111122223333.dkr.ecr.eu-west-1.amazonaws.com", credentials: { roleArn: ROLE } },
      ],
    }),
  },
  {
    name: "Google",
    object: registry({ ...artifactRegistry(), upstreams: [{ host: "docker.io", credentials: VERSION }] }),
  },
  {
    name: "Harbor",
    object: registry({
      ...harbor({ caBundleRef: { name: "ca", key: "ca.crt" } }),
      upstreams: [{ host: "docker.io", credentials: SECRET, caBundle: PEM }],
    }),
  },
  {
    name: "zot",
    object: registry({
      zot: { ...own, credentialsSecretName: "creds" },
      upstreams: [{ host: "docker.io", credentials: SECRET }],
    }),
  },
  { name: "distribution", object: registry({ distribution: own }) },
  ...VALID_RULE_SPECS,
  ...VALID_CACHE_SPECS,
];

export const INVALID_OBJECTS: readonly InvalidObject[] = [
  ...BAD_RULES,
  ...BAD_REGISTRIES,
  ...INVALID_RULE_SPECS,
  ...INVALID_CACHE_SPECS,
];

export const INVALID_UPDATES: readonly InvalidUpdate[] = [
  {
    name: "a rule's registry",
    from: rule(),
    to: rule({ registryRef: { name: "other" } }),
    says: "registryRef cannot be changed: create a CacheRule of another name, then delete this one",
  },
  {
    name: "a rule's source",
    from: rule(),
    to: rule({ source: "docker.io/library/httpd" }),
    says: "source cannot be changed: create a CacheRule of another name, then delete this one",
  },
  {
    name: "a rule's target",
    from: rule(),
    to: rule({ target: "other" }),
    says: "target cannot be changed: create a CacheRule of another name, then delete this one",
  },
  {
    name: "a registry's provider",
    from: inCluster(),
    to: registry(harbor()),
    says: "the provider cannot be changed: create another CacheRegistry and move the rules to it",
  },
  {
    name: "a claim's storage class",
    from: claim({ storageClassName: "slow" }),
    to: claim({ storageClassName: "fast" }),
    says: "the storage class of a claim cannot be changed: create another CacheRegistry",
  },
  {
    name: "a claim's storage class, taken away",
    from: claim({ storageClassName: "slow" }),
    to: claim({}),
    says: "the storage class of a claim cannot be changed: create another CacheRegistry",
  },
  {
    name: "a claim's access modes",
    from: claim({ accessModes: ["ReadWriteOnce"] }),
    to: claim({ accessModes: ["ReadWriteMany"] }),
    says: "the access modes of a claim cannot be changed: create another CacheRegistry",
  },
  {
    name: "a claim's size to a smaller one",
    from: claim({ size: "10Gi" }),
    to: claim({ size: "9Gi" }),
    says: "a claim cannot shrink: keep the size or raise it",
  },
  ...INVALID_RULE_UPDATES,
  ...INVALID_CACHE_UPDATES,
];
