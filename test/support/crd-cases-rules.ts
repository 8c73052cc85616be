/** CacheRules that the API server must refuse. */
import { type InvalidObject, rule } from "./crd-objects.ts";

const IMAGE_NAME =
  "not an image name: write <host>/<path>, <host>/<path>/* or <host>/*, path segments of letters, digits and . _ - between them";
const CACHE_NAME =
  "not a name in the cache: write path segments of letters, digits and . _ - between them, separated by /, e.g. hub/nginx";
const TAG = "remove the tag or digest: a rule covers every tag of an image";
const BEGIN = "begin with the registry's host, e.g. docker.io/library/nginx";
const STARS = "use * only as the last path segment, e.g. ghcr.io/acme/* or quay.io/*";
const BOTH_STARS = "end both source and target with /* (the target may be * alone), or neither";
const DIGEST = `sha256:${"a".repeat(64)}`;
const REFRESH = "not an interval: write a duration of at least 1m, e.g. 30m, 6h or 24h";
export const BAD_RULES: readonly InvalidObject[] = [
  {
    name: "a rule with an upper-case source",
    object: rule({ source: "docker.io/Nginx" }),
    says: "write the source in lower case: registries know no other names",
  },
  { name: "a rule with a tag", object: rule({ source: "docker.io/nginx:1.27" }), says: TAG },
  { name: "a rule with a numeric tag", object: rule({ source: "docker.io/nginx:1" }), says: TAG },
  { name: "a rule with a digest", object: rule({ source: `docker.io/nginx@${DIGEST}` }), says: TAG },
  {
    name: "a rule with a scheme",
    object: rule({ source: "https://docker.io/nginx" }),
    says: "remove the scheme: a source begins with the registry's host, e.g. docker.io/library/nginx",
  },
  { name: "a rule without a host", object: rule({ source: "library/nginx" }), says: BEGIN },
  { name: "a rule of one word", object: rule({ source: "nginx" }), says: BEGIN },
  { name: "a rule of a host alone", object: rule({ source: "docker.io" }), says: BEGIN },
  { name: "a rule with a star in a segment", object: rule({ source: "ghcr.io/ac*/x" }), says: STARS },
  { name: "a rule with a star in the middle", object: rule({ source: "ghcr.io/*/x" }), says: STARS },
  { name: "a rule with two stars", object: rule({ source: "ghcr.io/**", target: "g/*" }), says: STARS, alone: false },
  { name: "a rule with an empty segment", object: rule({ source: "docker.io//nginx" }), says: IMAGE_NAME },
  { name: "a rule with a slash at the end", object: rule({ source: "docker.io/nginx/" }), says: IMAGE_NAME },
  { name: "a rule with a segment of a wrong form", object: rule({ source: "docker.io/-nginx" }), says: IMAGE_NAME },
  { name: "a rule with an impossible host", object: rule({ source: "do_cker.io/nginx" }), says: IMAGE_NAME },
  {
    name: "a rule with an upper-case target",
    object: rule({ target: "Nginx" }),
    says: "write the target in lower case: registries know no other names",
  },
  {
    name: "a rule with a tag in its target",
    object: rule({ target: "nginx:1" }),
    says: "remove the host, tag or digest: a target is a path in the cache, e.g. hub/nginx",
  },
  {
    name: "a rule with a star in its target",
    object: rule({ source: "ghcr.io/acme/*", target: "a*/*" }),
    says: "use * alone or as the last path segment, e.g. hub/*",
  },
  { name: "a rule with a slash before its target", object: rule({ target: "/nginx" }), says: CACHE_NAME },
  { name: "a rule with a target of dots", object: rule({ target: "../nginx" }), says: CACHE_NAME },
  {
    name: "a rule with a star in its source alone",
    object: rule({ source: "ghcr.io/acme/*", target: "acme" }),
    says: BOTH_STARS,
  },
  { name: "a rule with a star in its target alone", object: rule({ target: "hub/*" }), says: BOTH_STARS },
  {
    name: "a rule with a source too long",
    object: rule({ source: `ghcr.io/${"a".repeat(248)}` }),
    says: "may not be more than 255 bytes",
    alone: false,
  },
  {
    name: "a rule without a target",
    object: rule({ target: undefined }),
    says: "spec.target: Required value",
    alone: false,
  },
  {
    name: "a rule of another deletion policy",
    object: rule({ deletionPolicy: "Keep" }),
    says: 'supported values: "Delete", "DeleteWithImages", "Retain"',
    alone: false,
  },
  { name: "a refresh too often", object: rule({ refresh: { interval: "1s" } }), says: REFRESH },
  { name: "a refresh of no duration", object: rule({ refresh: { interval: "daily" } }), says: REFRESH },
  {
    name: "a refresh of both kinds of tags",
    object: rule({ refresh: { interval: "1h", tags: [{ glob: "a", semver: "1" }] } }),
    says: "set exactly one of glob and semver in each entry of tags",
  },
  {
    name: "a refresh of an empty entry",
    object: rule({ refresh: { interval: "1h", tags: [{}] } }),
    says: "set exactly one of glob and semver in each entry of tags",
  },
  {
    name: "a refresh of no tag",
    object: rule({ refresh: { interval: "1h", tags: [{ glob: "a/b" }] } }),
    says: "not a tag pattern: write letters, digits, . _ - and *",
  },
];
