/** Pod security of everything that the operator makes: passes the `restricted` Pod Security Standard. */
export const NON_ROOT = {
  runAsNonRoot: true,
  runAsUser: 65532,
  runAsGroup: 65532,
  seccompProfile: { type: "RuntimeDefault" },
} as const;

/** Container security of the same standard, with a root file system that can't be written. */
export function hardened(): object {
  return { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } };
}
