// What Kubernetes lets things be called (k8s.io/apimachinery pkg/util/validation, pkg/api/validation/generic.go). What has no such name does not exist:
// it need not be asked for, and must not be remembered. The length is looked at first, for texts of others are as long as they like.

/** Longest DNS-1123 subdomain: names of Pods, workloads, Secrets and custom resources, API groups. */
export const NAME_LIMIT = 253;
/** Longest label: namespaces, versions, kinds, plurals. */
export const LABEL_LIMIT = 63;

const LABEL = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const KIND = /^[A-Za-z](?:[-A-Za-z0-9]*[A-Za-z0-9])?$/; // a DNS-1035 label in any case (apiextensions-apiserver, ValidateCustomResourceDefinitionNames)

/** Whether a namespace can be called so: an RFC 1123 label. */
export function isNamespaceName(text: string): boolean {
  return text.length <= LABEL_LIMIT && LABEL.test(text);
}

/** Whether a Pod, a workload, a Secret or a custom resource can be called so: a DNS-1123 subdomain. */
export function isObjectName(text: string): boolean {
  return text.length <= NAME_LIMIT && SUBDOMAIN.test(text);
}

/** Whether a kind can be called so. */
export function isKindName(text: string): boolean {
  return text.length <= LABEL_LIMIT && KIND.test(text);
}

/** Whether the API server may have made this UID: a UUID, which it is not held to (k8s.io/apimachinery pkg/types). */
export function isUid(text: string): boolean {
  return text !== "" && text.length <= LABEL_LIMIT;
}

/** Whether it is `version` or `group/version`. */
export function isApiVersion(text: string): boolean {
  if (text.length > NAME_LIMIT + 1 + LABEL_LIMIT) return false;
  const [first = "", second, ...rest] = text.split("/");
  if (rest.length > 0) return false;
  return second === undefined ? isNamespaceName(first) : isObjectName(first) && isNamespaceName(second);
}
