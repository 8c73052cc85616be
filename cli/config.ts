/** What the commands take from their environment. */
export interface CliConfig {
  /** Where Entrepot runs. */
  readonly systemNamespace: string;
  /** Where the kubeconfig is looked for. */
  readonly env: NodeJS.ProcessEnv;
}

/** Reads the environment of this process. */
export function readCliConfig(): CliConfig {
  return { systemNamespace: process.env["SYSTEM_NAMESPACE"] ?? "cosign-system", env: process.env };
}
