/** What the API server must take and must refuse of what rules say of one product alone. */
import { type InvalidObject, type InvalidUpdate, rule, type ValidObject } from "./crd-objects.ts";

const option = (options: object, more: object = {}) => rule({ options, ...more });
const template = (repositoryTemplate: object) => option({ ecr: { repositoryTemplate } });
const cleanup = (policy: object) =>
  option({ artifactRegistry: { cleanupPolicies: [{ id: "old", action: "Delete", ...policy }] } });
const ROLE = "arn:aws:iam::111122223333:role/ecr-templates";

export const VALID_RULE_SPECS: readonly ValidObject[] = [
  { name: "a rule with a name of its own", object: rule({ remoteName: "Hub-nginx-1" }) },
  { name: "a rule that takes its images along", object: rule({ deletionPolicy: "DeleteWithImages" }) },
  { name: "a rule with empty options", object: option({}) },
  {
    name: "a rule with a template of ECR",
    object: template({
      description: "the team's",
      encryption: { type: "KMS", kmsKey: "arn:aws:kms:eu-central-1:111122223333:key/k" },
      imageTagMutability: "MUTABLE",
      lifecyclePolicy: "{}",
      repositoryPolicy: "{}",
      resourceTags: { team: "shop", empty: "" },
      customRoleArn: ROLE,
    }),
  },
  {
    name: "a rule with Google's options",
    object: option({
      artifactRegistry: {
        labels: { team: "shop" },
        cleanupPolicies: [
          { id: "old", action: "Delete", tagState: "Any", tagPrefixes: ["pr-"], olderThan: "720h", newerThan: "1h30m" },
          { id: "newest", action: "Keep", keepCount: 5 },
        ],
      },
    }),
  },
  {
    name: "a rule with Harbor's options",
    object: option({
      harbor: {
        public: true,
        bandwidthKbps: 1000,
        maxUpstreamConnections: 5,
        serveWhenUpstreamMissing: true,
        storageLimit: "100Gi",
      },
    }),
  },
  {
    name: "a rule with zot's options",
    object: option({
      zot: { onlySigned: true, preserveDigest: true, pollInterval: "6h", manifestCheckInterval: "90s" },
    }),
  },
];

const DURATION = "not a duration: write a number with its unit, e.g. 90m, 24h or 168h";
const OPTIONS = "set only the block of the registry's provider: ecr, artifactRegistry, harbor or zot";
const TAGS = "resourceTags need customRoleArn: without it ECR cannot tag what it makes, and pulls fail";
const KEEP = "keepCount stands alone, with action Keep";
const SIZE = "not a size: write a positive quantity, e.g. 100Gi";
const REMOTE_NAME = "not a name of a cache rule: write 5 to 50 letters, digits and -";

export const INVALID_RULE_SPECS: readonly InvalidObject[] = [
  { name: "a name of its own that is too short", object: rule({ remoteName: "hub" }), says: REMOTE_NAME },
  { name: "a name of its own that is too long", object: rule({ remoteName: "n".repeat(51) }), says: REMOTE_NAME },
  { name: "a name of its own with a dot", object: rule({ remoteName: "hub.nginx" }), says: REMOTE_NAME },
  { name: "options of two products", object: option({ zot: {}, harbor: {} }), says: OPTIONS },
  { name: "tags without the role to set them", object: template({ resourceTags: { a: "b" } }), says: TAGS },
  {
    name: "another encryption",
    object: template({ encryption: { type: "AES128" } }),
    says: 'supported values: "AES256", "KMS", "KMS_DSSE"',
    alone: false,
  },
  {
    name: "an encryption of no type",
    object: template({ encryption: { kmsKey: "k" } }),
    says: "encryption.type: Required value",
    alone: false,
  },
  {
    name: "another mutability",
    object: template({ imageTagMutability: "IMMUTABLE_WITH_EXCLUSION" }),
    says: 'supported values: "MUTABLE", "IMMUTABLE"',
    alone: false,
  },
  { name: "a count of versions to delete", object: cleanup({ keepCount: 3 }), says: KEEP },
  { name: "a count and an age", object: cleanup({ action: "Keep", keepCount: 3, olderThan: "1h" }), says: KEEP },
  {
    name: "a count and an age to be under",
    object: cleanup({ action: "Keep", keepCount: 3, newerThan: "1h" }),
    says: KEEP,
  },
  {
    name: "a count and a tag state",
    object: cleanup({ action: "Keep", keepCount: 3, tagState: "Tagged" }),
    says: KEEP,
  },
  {
    name: "a count and tag prefixes",
    object: cleanup({ action: "Keep", keepCount: 3, tagPrefixes: ["v"] }),
    says: KEEP,
  },
  {
    name: "a count of nothing",
    object: cleanup({ action: "Keep", keepCount: 0 }),
    says: "keepCount in body should be greater than or equal to 1",
  },
  { name: "an age in days", object: cleanup({ olderThan: "30d" }), says: DURATION },
  { name: "an age to be under, in words", object: cleanup({ newerThan: "a week" }), says: DURATION },
  { name: "a policy's name in upper case", object: cleanup({ id: "Old" }), says: "in body should match" },
  { name: "a quota of nothing", object: option({ harbor: { storageLimit: "0" } }), says: SIZE },
  { name: "a quota in words", object: option({ harbor: { storageLimit: "plenty" } }), says: SIZE },
  {
    name: "a bandwidth of nothing",
    object: option({ harbor: { bandwidthKbps: 0 } }),
    says: "bandwidthKbps in body should be greater than or equal to 1",
  },
  { name: "a poll interval in words", object: option({ zot: { pollInterval: "daily" } }), says: DURATION },
  { name: "a check interval of no unit", object: option({ zot: { manifestCheckInterval: "90" } }), says: DURATION },
];

export const INVALID_RULE_UPDATES: readonly InvalidUpdate[] = [
  {
    name: "a rule's name in the product",
    from: rule({ remoteName: "hub-nginx" }),
    to: rule({ remoteName: "hub-httpd" }),
    says: "remoteName cannot be changed: create a CacheRule of another name, then delete this one",
  },
  {
    name: "a rule's name in the product, set later",
    from: rule(),
    to: rule({ remoteName: "hub-nginx" }),
    says: "remoteName cannot be set or removed later: create a CacheRule of another name, then delete this one",
  },
  {
    name: "a rule's name in the product, taken away",
    from: rule({ remoteName: "hub-nginx" }),
    to: rule(),
    says: "remoteName cannot be set or removed later: create a CacheRule of another name, then delete this one",
  },
];
