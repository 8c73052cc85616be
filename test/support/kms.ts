import type { KmsSettings } from "../../adapters/kms/client.ts";
import { KmsError, type KmsErrorCode } from "../../adapters/kms/errors.ts";

/** Settings that know nothing but what a test says. */
export function kmsSettings(change: Partial<KmsSettings> = {}): KmsSettings {
  return { aws: {}, azure: {}, google: {}, ...change };
}

/** Awaits a `KmsError` of that code and gives its message. */
export async function kmsFailure(code: KmsErrorCode, promise: Promise<string>): Promise<string> {
  const thrown = await promise.then(
    (value) => `success: ${value}`,
    (error: unknown) => error,
  );
  if (thrown instanceof KmsError && thrown.code === code) return thrown.message;
  throw new Error(`expected a KmsError ${code}, got ${String(thrown)}`, { cause: thrown });
}

/** Sets variables of the environment, which the vendors' SDKs read by themselves; gives what puts them back. */
export function withEnvironment(variables: Readonly<Record<string, string | undefined>>): () => void {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  const assign = (values: Readonly<Record<string, string | undefined>>): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  assign(variables);
  return () => assign(before);
}
